"""Alternatives to the layers in network.py."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from config import NetworkSettings
from engine.layer import Layer
from network import Features, NatureFeatures, filters


class NIPSFeatures(nn.Module):
    """The two convolutions of Mnih et al. 2013."""

    block, hidden, in_order = 4, 256, True

    def __init__(self, settings: NetworkSettings) -> None:
        """For states of the settings' shape."""
        super().__init__()
        s, width = settings, settings.network_width
        state = (s.history_length, s.screen_height, s.screen_width)
        # "The first hidden layer convolves 16 8x8 filters with stride 4 with the input image and
        # applies a rectifier nonlinearity. The second hidden layer convolves 32 4x4 filters with
        # stride 2, again followed by a rectifier nonlinearity."
        self.first = Layer(
            s, state, filters(16, width), size=8, stride=4, padding=s.padding, block=self.block
        )
        self.second = Layer(s, self.first.output_shape, filters(32, width), size=4, stride=2)
        self.output_shape = self.second.output_shape

    def forward(self, x: Tensor) -> Tensor:
        """(N, 32, 9, 9) of the input of states with screens of 84x84."""
        features: Tensor = self.second(self.first(x))
        return features


class Residual(nn.Module):
    """x + convolution(relu(convolution(relu(x))))."""

    def __init__(self, settings: NetworkSettings, image: tuple[int, ...]) -> None:
        """From `image` (channels, height, width) to the same shape."""
        super().__init__()
        self.first = Layer(settings, image, image[0], size=3, padding=1)
        self.second = Layer(settings, image, image[0], size=3, padding=1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, height, width)."""
        change: Tensor = self.second(self.first(x.relu()))
        return x + change


class ImpalaFeatures(nn.Module):
    """The 15 convolutions of Espeholt et al. 2018 (arXiv:1802.01561, figure 3, right)."""

    block, hidden, in_order = 1, 256, False

    def __init__(self, settings: NetworkSettings) -> None:
        """For states of the settings' shape."""
        super().__init__()
        s = settings
        image: tuple[int, ...] = (s.history_length, s.screen_height, s.screen_width)
        stages = []
        for channels in (16, 32, 32):
            entry = Layer(
                s, image, filters(channels, s.network_width), size=3, padding=1, relu=False
            )
            image = (entry.outputs, *((n + 1) // 2 for n in image[1:]))
            pool = nn.MaxPool2d(3, stride=2, padding=1)
            stages.append(nn.Sequential(entry, pool, Residual(s, image), Residual(s, image)))
        self.stages = nn.Sequential(*stages)
        self.output_shape = image

    def forward(self, x: Tensor) -> Tensor:
        """(N, 32, 11, 11) of the input of states with screens of 84x84."""
        features: Tensor = self.stages(x)
        return F.relu(features)


FEATURES: dict[str, Any] = {
    "nature": NatureFeatures,
    "nips": NIPSFeatures,
    "impala": ImpalaFeatures,
}


def make_features(settings: NetworkSettings, seed: int) -> Features:
    """The layers that --network names; `seed` draws the weights of modules that are not Layers."""
    if settings.network in FEATURES:
        features: Features = FEATURES[settings.network](settings)
        return features
    from variants.custom import custom_features

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return custom_features(settings)
