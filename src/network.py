"""The network of the paper: its convolutions, its forward pass, and where its weights are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from config import NetworkSettings
from engine.layer import Layer, to_input

if TYPE_CHECKING:
    from heads import Head


class NatureFeatures(nn.Module):
    """The three convolutions of Mnih et al. 2015."""

    block = 4  # pixels; the first convolution's stride

    def __init__(self, settings: NetworkSettings) -> None:
        """For states of the settings' shape."""
        super().__init__()
        s = settings
        state = (s.history_length, s.screen_height, s.screen_width)
        # "The first hidden layer convolves 32 filters of 8x8 with stride 4 with the input image
        # and applies a rectifier nonlinearity."
        self.first = Layer(s, state, 32, size=8, stride=4, padding=s.padding, block=self.block)
        # "The second hidden layer convolves 64 filters of 4x4 with stride 2, again followed by a
        # rectifier nonlinearity."
        self.second = Layer(s, self.first.image, 64, size=4, stride=2)
        # "This is followed by a third convolutional layer that convolves 64 filters of 3x3 with
        # stride 1 followed by a rectifier."
        self.third = Layer(s, self.second.image, 64, size=3, stride=1)
        self.image = self.third.image

    def forward(self, x: Tensor) -> Tensor:
        """(N, 64, 7, 7) of the input of states with screens of 84x84."""
        features: Tensor = self.third(self.second(self.first(x)))
        return features


class Network(nn.Module):
    """Q(s, .) of a batch of states: features, and a head that makes outputs of them.

    Weights live twice: `masters` are what the optimizer changes and a snapshot keeps; the modules'
    parameters are what the forward pass reads. In float32 and float64 they are the same tensors; in
    16 bits the parameters are copies, except those of the last layer and of normalization.
    """

    def __init__(
        self, features: Any, head: Head, padding: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Computes in `dtype`. All weights zero: see `initialize`."""
        super().__init__()
        self.features, self.head = features, head
        self.padding, self.dtype = padding, dtype
        self.block: int = features.block
        low = dtype in (torch.float16, torch.bfloat16)
        self.master_dtype = torch.float32 if low else dtype
        self.to(device, self.master_dtype)
        self.masters = {name: p.detach() for name, p in self.named_parameters()}
        if low:
            for name, parameter in self.named_parameters():
                layer = self.get_submodule(name.rpartition(".")[0])
                if name.endswith(("weight", "bias")) and getattr(layer, "relu", True):
                    parameter.data = parameter.data.to(dtype)

    def forward(self, states: Tensor, training: bool = False) -> Tensor:
        """The head's outputs of states (N, history, height, width) uint8.

        `training` normalizes by the batch and moves running statistics.
        """
        if self.training != training:
            self.train(training)
        x = to_input(states, self.block, self.padding, self.dtype)  # (N, C, H, W) from 0 to 1
        outputs: Tensor = self.head(self.features(x))
        return outputs

    def q_values(self, states: Tensor) -> Tensor:
        """Q(s, .), (N, num_actions)."""
        return self.head.q_values(self(states))

    def layers(self) -> dict[str, Layer]:
        """The layers by name, in the order of the forward pass."""
        return {name: module for name, module in self.named_modules() if isinstance(module, Layer)}

    def initialize(self, init: str, rng: np.random.Generator) -> None:
        """Draw new weights from `rng` by the rule `init`."""
        for prefix, layer in self.layers().items():
            for name, _ in layer.named_parameters(recurse=False):
                values = layer.draw(name, init, rng)
                self.masters[f"{prefix}.{name}"].copy_(layer.pack(name, values))
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Bring the lower-precision copies up to date with the masters."""
        for name, parameter in self.named_parameters():
            if parameter.data_ptr() != self.masters[name].data_ptr():
                parameter.copy_(self.masters[name])

    @torch.no_grad()
    def copy_from(self, other: Network) -> None:
        """Take over another network's weights and running statistics."""
        for name, master in self.masters.items():
            master.copy_(other.masters[name])
        for mine, theirs in zip(self.buffers(), other.buffers(), strict=True):
            mine.copy_(theirs)
        self.refresh()
