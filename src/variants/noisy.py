"""Noisy networks: exploration by noise in the weights (Fortunato et al. 2018, arXiv:1706.10295)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from config import NetworkSettings
from engine.layer import Layer, flat

DEVIATION = 0.5  # sigma_0 of section 3.2


class NoisyLayer(nn.Module):
    """A linear layer y = (M + S * (e_out e_in^T)) x, the noise factorized (equations 9 to 11).

    It is computed as M x + e_out * (S (e_in * x)), two ordinary layers, so that no noisy copy of
    the weights is needed. The noise is zero until `draw_noise` is called.
    """

    noise_in: Tensor
    noise_out: Tensor

    def __init__(
        self,
        settings: NetworkSettings,
        inputs: Sequence[int],
        outputs: int,
        *,
        relu: bool = True,
        exact: bool = False,
        spectral: bool = False,
    ) -> None:
        """See Layer."""
        super().__init__()
        self.relu = relu
        size = math.prod(inputs)
        self.mean = Layer(settings, inputs, outputs, relu=False, exact=exact, spectral=spectral)
        self.deviation = Layer(
            settings, inputs, outputs, relu=False, exact=exact, constant=DEVIATION / math.sqrt(size)
        )
        self.register_buffer("noise_in", torch.zeros(size), persistent=False)
        self.register_buffer("noise_out", torch.zeros(outputs), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, outputs)."""
        x = flat(x)
        noise: Tensor = self.deviation(x * self.noise_in.to(x.dtype))
        y: Tensor = self.mean(x) + noise * self.noise_out.to(noise.dtype)
        return y.relu_() if self.relu else y

    @torch.no_grad()
    def draw_noise(self, generator: torch.Generator | None) -> None:
        """New noise f(e) = sign(e) sqrt|e| of Gaussian e; none without a generator."""
        for noise in (self.noise_in, self.noise_out):
            if generator is None:
                noise.zero_()
            else:
                e = torch.randn(noise.shape, generator=generator)
                noise.copy_(e.sign() * e.abs().sqrt())
