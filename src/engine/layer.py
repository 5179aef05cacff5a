"""A layer with weights, and how the weights are arranged.

Two arrangements make layers fast and change no result. The 8x8 filters of the first layer with
stride 4 are computed as 2x2 filters with stride 1 over blocks of 4x4 pixels, with a block's 16
pixels as channels. Activations have their channels last in memory, which is the fastest order for
convolution kernels, and the columns of a linear layer are ordered to match. `pack` and `unpack`
convert from and to the arrangement of a snapshot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from config import NetworkSettings
from engine import compiled
from errors import UserError

NORM_DECAY = 0.9  # batch normalization: share of the old running mean and variance (Neon's rho)
NORM_EPSILON = 1e-3  # added to the variance
# In 16 bits a GPU's fast convolutions need a multiple of this many channels: black ones are added.
GPU_CHANNELS = 8
Array = NDArray[np.floating]


def to_input(
    states: Tensor, block: int, padding: int, pixel_max: float, dtype: torch.dtype
) -> Tensor:
    """(N, C, H, W) uint8 screens to (N, C*b*b, H/b, W/b) from 0 to `pixel_max`, channels last.

    The pixels of a block are adjacent in memory. Rows and columns that do not fill a block are cut
    off; a stride of b would not reach them either.
    """
    divisor = 255 / pixel_max
    if padding:
        states = F.pad(states, (padding,) * 4)
    if block == 1:
        return states.to(dtype, memory_format=torch.channels_last).div_(divisor)
    assert block == 4
    count, channels, height, width = states.shape
    rows, columns = height // 4, width // 4
    states = states[..., : rows * 4, : columns * 4].contiguous()
    x = compiled.to_blocks(states, divisor, dtype)
    if x is None:
        quads = states.view(torch.int32)  # four pixels at once: (N, C, H, W/4)
        quads = quads.view(count, channels, rows, 4, columns).permute(0, 2, 4, 1, 3)
        x = quads.contiguous().view(torch.uint8).view(count, rows, columns, -1)
        x = x.to(dtype).div_(divisor)
    return x.permute(0, 3, 1, 2)


def flat(x: Tensor) -> Tensor:
    """(N, C, H, W), or (N, F) as it is, to (N, H*W*C): the order of a linear layer's columns."""
    return x.permute(0, 2, 3, 1).flatten(1) if x.dim() == 4 else x


class Layer(nn.Module):
    """A convolution or a linear layer with its bias, normalization and ReLU."""

    mean: Tensor  # (outputs,) running mean of batch normalization
    variance: Tensor
    left: Tensor  # (outputs,) and (inputs,): singular vectors of spectral normalization
    right: Tensor

    def __init__(
        self,
        settings: NetworkSettings,
        inputs: Sequence[int],
        outputs: int,
        *,
        size: int = 0,
        stride: int = 1,
        padding: int = 0,
        block: int = 1,
        relu: bool = True,
        exact: bool = False,
        spectral: bool = False,
        constant: float | None = None,
    ) -> None:
        """A layer with weights of zero. `inputs` is (channels, height, width) or (features,).

        `size` is the height and width of a convolution's filters; 0 makes a linear layer. `block`:
        the input has the screens in blocks of this many pixels, with `padding` already around them.
        `exact`: never computed in 16 bits. `spectral`: the layer that spectral normalization
        applies to. `constant`: the value of new weights, if they are not drawn.
        """
        super().__init__()
        self.inputs, self.outputs, self.relu = tuple(inputs), outputs, relu
        self.exact, self.constant = exact, constant
        self.size, self.stride, self.padding, self.block = size, stride, padding, block
        self.output_shape: tuple[int, ...] = (outputs,)
        if size:
            places = ((n + 2 * padding - size) // stride + 1 for n in inputs[1:])
            self.output_shape = (outputs, *places)
        if min(self.output_shape) < 1:
            raise UserError(
                f"A screen of {settings.screen_width}x{settings.screen_height} is too small for "
                "the network: make it larger. --network nature needs at least 36x36."
            )
        self.fan_in = inputs[0] * size**2 if size else math.prod(inputs)
        self.weight = nn.Parameter(self.pack("weight", np.zeros(self.shape("weight"))))
        if settings.bias:
            self.bias = nn.Parameter(torch.zeros(outputs))
        self.batch_normalized = settings.batch_norm and relu
        self.layer_normalized = settings.normalization == "layer" and relu
        self.spectral = settings.normalization == "spectral" and spectral
        if self.batch_normalized or self.layer_normalized:
            self.beta = nn.Parameter(torch.zeros(outputs))
            self.gamma = nn.Parameter(torch.ones(outputs))
        if self.batch_normalized:
            self.register_buffer("mean", torch.zeros(outputs))
            self.register_buffer("variance", torch.zeros(outputs))
        if self.spectral:
            self.register_buffer("left", torch.full((outputs,), outputs**-0.5))
            self.register_buffer("right", torch.zeros(self.fan_in))

    def forward(self, x: Tensor) -> Tensor:
        """The outputs for (N, channels, height, width) or (N, features)."""
        bias = getattr(self, "bias", None)
        weight: Tensor = self.weight
        if self.size:
            # A layer over blocks has its padding and its stride in the blocks already.
            padding = self.padding if self.block == 1 else 0
            if x.is_cuda and (missing := -x.shape[1] % GPU_CHANNELS) and x.element_size() == 2:
                x, weight = (F.pad(each, (0, 0, 0, 0, 0, missing)) for each in (x, weight))
            x = F.conv2d(x, weight, bias, self.stride // self.block, padding)
        elif self.spectral:
            left, right = self.left.to(weight.dtype), self.right.to(weight.dtype)
            # Dividing the few outputs by the norm of the many weights is dividing these.
            x = F.linear(flat(x).to(weight.dtype), weight) / (left @ (weight @ right))
            x = x if bias is None else x + bias
        else:
            x = F.linear(flat(x).to(weight.dtype), weight, bias)
        if self.batch_normalized:
            x = self._batch_normalize(x)
        if self.layer_normalized:
            x = self._layer_normalize(x)
        return x.relu_() if self.relu else x

    def _batch_normalize(self, x: Tensor) -> Tensor:
        """Neon's batch normalization: biased variance, statistics that start at zero."""
        y = x.to(self.gamma.dtype)
        mean, variance = self.mean, self.variance
        if self.training:
            variance, mean = torch.var_mean(y, [0, 2, 3] if y.dim() == 4 else [0], correction=0)
            with torch.no_grad():
                self.mean.lerp_(mean, 1 - NORM_DECAY)
                self.variance.lerp_(variance, 1 - NORM_DECAY)
        scale = self.gamma / (variance + NORM_EPSILON).sqrt()
        shape = (-1, 1, 1) if y.dim() == 4 else (-1,)
        y = (y - mean.view(shape)) * scale.view(shape) + self.beta.view(shape)
        return y.to(x.dtype)

    def _layer_normalize(self, x: Tensor) -> Tensor:
        """Layer normalization over the channels, as in Gallici et al. 2024 (arXiv:2407.04811)."""
        y = x.permute(0, 2, 3, 1) if x.dim() == 4 else x
        y = F.layer_norm(y.to(self.gamma.dtype), (self.outputs,), self.gamma, self.beta)
        return (y.permute(0, 3, 1, 2) if x.dim() == 4 else y).to(x.dtype)

    @torch.no_grad()
    def follow_spectrum(self, weight: Tensor) -> None:
        """One step of power iteration towards the largest singular value of `weight`."""
        self.right.copy_(F.normalize(self.left @ weight, dim=0))
        self.left.copy_(F.normalize(weight @ self.right, dim=0))

    def draw(self, name: str, init: str, rng: np.random.Generator) -> Array:
        """New values of a parameter by the rule `init`, arranged as in a snapshot.

        `uniform`: +-sqrt(3 / fan_in), Neon's Xavier. `gaussian`: standard deviation 0.01. `torch`:
        +-1 / sqrt(fan_in), also for biases, as in Lua Torch. Gamma is 1, beta and other biases 0.
        """
        if self.constant is not None:
            return np.full(self.shape(name), self.constant)
        if name not in ("weight", "bias") or (name == "bias" and init != "torch"):
            return np.full(self.shape(name), float(name == "gamma"))
        if init == "gaussian":
            return rng.normal(0.0, 0.01, self.shape(name))
        k = math.sqrt((1 if init == "torch" else 3) / self.fan_in)
        return rng.uniform(-k, k, self.shape(name))

    def shape(self, name: str) -> tuple[int, ...]:
        """A parameter's shape in a snapshot: W is (C*R*S, K) or (outputs, inputs)."""
        if name != "weight":
            return (self.outputs,)
        return (self.fan_in, self.outputs) if self.size else (self.outputs, self.fan_in)

    def pack(self, name: str, values: Array) -> Tensor:
        """Convert from a snapshot's arrangement to the layer's; the tensor is always a copy."""
        w = torch.tensor(np.asarray(values))
        if name != "weight":
            return w.reshape(-1)
        if self.size:
            k, c, b, n = self.outputs, self.inputs[0], self.block, self.size // self.block
            w = w.t().reshape(k, c, n, b, n, b).permute(0, 1, 3, 5, 2, 4)
            return w.reshape(k, c * b * b, n, n).contiguous(memory_format=torch.channels_last)
        if len(self.inputs) == 3:
            w = w.reshape(-1, *self.inputs).permute(0, 2, 3, 1).reshape(self.shape(name))
        return w.contiguous()

    def unpack(self, name: str, tensor: Tensor) -> NDArray[np.float32]:
        """The inverse of `pack`, float32; all parameters except weights are columns (n, 1)."""
        w = tensor.detach().to("cpu", torch.float32)
        if name != "weight":
            w = w.reshape(-1, 1)
        elif self.size:
            k, c, b, n = self.outputs, self.inputs[0], self.block, self.size // self.block
            w = w.reshape(k, c, b, b, n, n).permute(0, 1, 4, 2, 5, 3).reshape(k, -1).t()
        elif len(self.inputs) == 3:
            c, height, width = self.inputs
            w = w.reshape(-1, height, width, c).permute(0, 3, 1, 2).reshape(self.shape(name))
        return np.ascontiguousarray(w.numpy())
