"""The network of the paper: its convolutions, its forward pass, and where its weights are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from config import NetworkSettings
from engine.layer import Layer, to_input
from engine.storage import MASTER_DTYPES, store

if TYPE_CHECKING:
    from heads import Head

SPECTRAL_STEPS = 15  # of power iteration with new weights; then one after each update


class Features(Protocol):
    """The layers of a network before its head; a module."""

    block: int  # its input has the screens in blocks of this many pixels (4 or 1)
    hidden: int  # units of the head's hidden layer
    in_order: bool  # whether it is a plain sequence of Layers
    output_shape: tuple[int, ...]  # (channels, height, width) or (features,)

    def __call__(self, x: Tensor) -> Tensor:
        """(N, *output_shape) of (N, channels * block^2, height / block, width / block) screens."""


@runtime_checkable
class Noisy(Protocol):
    """A layer that explores with noise in its weights."""

    def draw_noise(self, generator: torch.Generator | None) -> None:
        """Draw new noise; without a generator, no noise."""


def filters(count: int, width: float) -> int:
    """The number of filters, `count` in the paper, in a network `width` times as wide."""
    return max(1, round(count * width))


class NatureFeatures(nn.Module):
    """The three convolutions of Mnih et al. 2015."""

    block = 4  # pixels; the first convolution's stride
    hidden = 512
    in_order = True

    def __init__(self, settings: NetworkSettings) -> None:
        """Layers for states of the shape that the settings say."""
        super().__init__()
        s, width = settings, settings.network_width
        state = (s.history_length, s.screen_height, s.screen_width)
        # "The first hidden layer convolves 32 filters of 8x8 with stride 4 with the input image
        # and applies a rectifier nonlinearity."
        self.first = Layer(
            s, state, filters(32, width), size=8, stride=4, padding=s.padding, block=self.block
        )
        # "The second hidden layer convolves 64 filters of 4x4 with stride 2, again followed by a
        # rectifier nonlinearity."
        self.second = Layer(s, self.first.output_shape, filters(64, width), size=4, stride=2)
        # "This is followed by a third convolutional layer that convolves 64 filters of 3x3 with
        # stride 1 followed by a rectifier."
        self.third = Layer(s, self.second.output_shape, filters(64, width), size=3, stride=1)
        self.output_shape = self.third.output_shape

    def forward(self, x: Tensor) -> Tensor:
        """(N, 64, 7, 7) of the input of states with screens of 84x84."""
        features: Tensor = self.third(self.second(self.first(x)))
        return features


class Network(nn.Module):
    """Q(s, .) of a batch of states: features, and a head that turns them into outputs.

    The optimizer changes `masters`, which a snapshot keeps; the forward pass reads the modules'
    parameters. In 16 bits these are copies, see engine/storage.py; otherwise both are the same.
    """

    features: Features
    head: Head

    def __init__(
        self,
        features: Features,
        head: Head,
        settings: NetworkSettings,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        """A network that computes in `dtype`, with weights of zero until `initialize`."""
        super().__init__()
        self.features, self.head = features, head
        self.padding, self.pixel_max, self.dtype = settings.padding, settings.pixel_max, dtype
        self.block: int = features.block
        self.master_dtype = MASTER_DTYPES.get(dtype, dtype)
        self.to(device, self.master_dtype)
        self.weights, self.copies, self.masters = store(self, dtype)
        self.spectral = [pair for pair in self.layers().items() if pair[1].spectral]
        self.noisy = [layer for layer in self.modules() if isinstance(layer, Noisy)]

    def forward(
        self, states: Tensor, *, training: bool = False, taus: Tensor | None = None
    ) -> Tensor:
        """The head's outputs for states (N, history, height, width) uint8.

        With `training`, batch normalization uses the batch and updates its running statistics.
        `taus` (N, head.draws) are for heads that need random fractions.
        """
        if self.training != training:
            self.train(training)
        outputs: Tensor = self.head(self.features(self.input(states)), taus)
        return outputs

    def input(self, states: Tensor) -> Tensor:
        """The input of the features, (N, C, H, W) from 0 to --pixel_max."""
        return to_input(states, self.block, self.padding, self.pixel_max, self.dtype)

    def q_values(self, states: Tensor) -> Tensor:
        """Q(s, .), (N, num_actions)."""
        return self.head.q_values(self(states))

    def evaluate(self, states: Tensor, taus: Tensor | None) -> tuple[Tensor, Tensor]:
        """The outputs of states at `taus`, and the Q-values, which do not depend on `taus`."""
        if self.training:
            self.eval()
        features = self.features(self.input(states))
        outputs = self.head(features, taus)
        return outputs, self.head.q_values(outputs if taus is None else self.head(features))

    def layers(self) -> dict[str, Layer]:
        """The layers by name, in the order of the forward pass."""
        return {name: module for name, module in self.named_modules() if isinstance(module, Layer)}

    def initialize(self, init: str, rng: np.random.Generator, *, head_only: bool = False) -> None:
        """Draw new weights from `rng` by the rule `init`, for all layers or only the head's.

        Layers of other classes keep the weights that their constructors gave them.
        """
        for prefix, layer in self.layers().items():
            if head_only and not prefix.startswith("head."):
                continue
            for name, _ in layer.named_parameters(recurse=False):
                self.masters[f"{prefix}.{name}"].copy_(
                    layer.pack(name, layer.draw(name, init, rng))
                )
            if layer.batch_normalized:
                layer.mean.zero_()
                # 0 as in Neon; in the middle of a run that would spoil the targets.
                layer.variance.fill_(1.0 if head_only else 0.0)
        self.refresh()
        for _ in range(SPECTRAL_STEPS):
            self.follow_spectrum()

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the masters to the parameters."""
        if self.copies is not self.weights:
            self.copies.whole.copy_(self.weights.whole)

    def follow_spectrum(self) -> None:
        """One step of power iteration for spectral normalization."""
        for prefix, layer in self.spectral:
            layer.follow_spectrum(self.masters[f"{prefix}.weight"])

    def statistics(self) -> dict[str, Tensor]:
        """The running statistics of normalization layers by name, which a snapshot keeps."""
        kept = self.state_dict(keep_vars=True)
        # Weights that two layers share have a second name there.
        return {name: each for name, each in kept.items() if not isinstance(each, nn.Parameter)}

    def renew_noise(self, generator: torch.Generator | None) -> None:
        """Draw new noise in noisy layers; without a generator, no noise."""
        for layer in self.noisy:
            layer.draw_noise(generator)

    @torch.no_grad()
    def copy_from(self, other: Network) -> None:
        """Copy another network's weights and running statistics."""
        self.weights.whole.copy_(other.weights.whole)
        for mine, theirs in zip(self.buffers(), other.buffers(), strict=True):
            mine.copy_(theirs)
        self.refresh()
