"""The network of the paper: its layers, their weights, and the forward pass.

Weights live twice: `masters` are what the optimizer changes and a snapshot keeps; `weights` are
what the forward pass reads, the same tensors in float32 and float64, lower-precision copies in
float16 and bfloat16 (the last layer and batch normalization stay in float32 there).

Two arrangements make it fast and change no result. The first layer's 8x8 filters with stride 4 are
2x2 filters with stride 1 over blocks of 4x4 pixels, the block's 16 pixels as channels. Activations
keep their channels last in memory, the order the convolution kernels like best; the columns of the
linear layer are ordered to match. `pack` and `unpack` translate to the snapshot's arrangement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from errors import UserError

BLOCK = 4  # pixels; the first convolution's stride
NORM_DECAY = 0.9  # batch normalization: share of the old running mean and variance (Neon's rho)
NORM_EPSILON = 1e-3  # added to the variance


@dataclass(frozen=True)
class LayerShape:
    """A layer with weights, in the words of a snapshot."""

    kind: str  # "convolution" or "linear"
    inputs: int  # channels of a convolution, features of a linear layer
    outputs: int  # filters or units
    size: int = 1  # filter height and width in pixels
    stride: int = 1
    padding: int = 0
    relu: bool = True
    image: tuple[int, int, int] | None = None  # (channels, height, width) that a linear layer sees

    @property
    def fan_in(self) -> int:
        """Inputs that one output sees."""
        return self.inputs * self.size**2

    @property
    def weight_shape(self) -> tuple[int, int]:
        """Shape of W in a snapshot: (C*R*S, K) of a convolution, (nout, nin) of a linear layer."""
        if self.kind == "convolution":
            return (self.fan_in, self.outputs)
        return (self.outputs, self.inputs)


def nature_layers(
    num_actions: int, history_length: int, height: int, width: int, padding: int = 0
) -> list[LayerShape]:
    """The five layers of Mnih et al. 2015; `padding` pixels around the screen (Lua code: 1)."""
    layers, channels, image = [], history_length, [height, width]
    for outputs, size, stride, pad in ((32, 8, 4, padding), (64, 4, 2, 0), (64, 3, 1, 0)):
        layers.append(LayerShape("convolution", channels, outputs, size, stride, pad))
        channels = outputs
        image = [(n + 2 * pad - size) // stride + 1 for n in image]
        if min(image) < 1:
            raise UserError(
                f"A screen of {width}x{height} is too small for the network: "
                "--screen_width and --screen_height must be at least 36."
            )
    features = channels * image[0] * image[1]
    seen = (channels, image[0], image[1])
    layers.append(LayerShape("linear", features, 512, image=seen))
    layers.append(LayerShape("linear", 512, num_actions, relu=False))
    return layers


def to_blocks(screens: Tensor, padding: int = 0) -> Tensor:
    """(N, C, H, W) uint8 screens to (N, H/4, W/4, C*16): a 4x4 block's pixels side by side.

    What is left over below and to the right is what a stride of 4 would never reach.
    """
    if padding:
        screens = F.pad(screens, (padding,) * 4)
    count, channels, height, width = screens.shape
    rows, columns = height // BLOCK, width // BLOCK
    if (rows * BLOCK, columns * BLOCK) != (height, width):
        screens = screens[..., : rows * BLOCK, : columns * BLOCK]
    quads = screens.contiguous().view(torch.int32)  # four pixels at once: (N, C, H, W/4)
    quads = quads.view(count, channels, rows, BLOCK, columns).permute(0, 2, 4, 1, 3)
    return quads.contiguous().view(torch.uint8).view(count, rows, columns, -1)


class Network:
    """Q(s, .) for a batch of states."""

    def __init__(
        self,
        layers: Sequence[LayerShape],
        *,
        batch_norm: bool = False,
        bias: bool = False,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """All weights zero: see `initialize` and `load`."""
        self.layers = layers
        self.bias = bias
        self.batch_norm = batch_norm
        self.device = device
        self.dtype = dtype
        self.mixed = dtype in (torch.float16, torch.bfloat16)
        self.master_dtype = torch.float32 if self.mixed else dtype
        self.masters: list[Tensor] = []
        self.weights: list[Tensor] = []
        self.names: list[tuple[int, str]] = []  # (layer, "W" | "bias" | "beta" | "gamma")
        self.running: dict[int, tuple[Tensor, Tensor]] = {}  # layer: mean, variance
        for i, layer in enumerate(layers):
            normalized = batch_norm and layer.relu
            names = ["W"] + ["bias"] * bias + ["beta", "gamma"] * normalized
            for name in names:
                shape = layer.weight_shape if name == "W" else (layer.outputs,)
                master = self.pack(i, name, np.zeros(shape, np.float32))
                low = self.mixed and name in ("W", "bias") and layer.relu
                weight = master.to(self.dtype) if low else master
                self.masters.append(master)
                self.weights.append(weight.requires_grad_())
                self.names.append((i, name))
            if normalized:
                zeros = torch.zeros(layer.outputs, dtype=self.master_dtype, device=device)
                self.running[i] = (zeros, zeros.clone())

    def initialize(self, init: str, rng: np.random.Generator) -> None:
        """Draw new weights from `rng` by the rule `init`; gamma becomes 1, beta and biases 0.

        `uniform`: +-sqrt(3 / fan_in), Neon's Xavier. `gaussian`: deviation 0.01.
        `torch`: +-1 / sqrt(fan_in), biases too, as Lua Torch had it.
        """
        for (i, name), master in zip(self.names, self.masters, strict=True):
            layer = self.layers[i]
            shape = layer.weight_shape if name == "W" else (layer.outputs,)
            if name == "gamma":
                values = np.ones(shape)
            elif name == "beta" or (name == "bias" and init != "torch"):
                values = np.zeros(shape)
            elif init == "gaussian":
                values = rng.normal(0.0, 0.01, shape)
            else:
                k = math.sqrt((1 if init == "torch" else 3) / layer.fan_in)
                values = rng.uniform(-k, k, shape)
            with torch.no_grad():
                master.copy_(self.pack(i, name, values))
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Bring the lower-precision copies up to date with the masters."""
        for weight, master in zip(self.weights, self.masters, strict=True):
            if weight is not master:
                weight.copy_(master)

    @torch.no_grad()
    def copy_from(self, other: Network) -> None:
        """Take over another network's weights and running statistics."""
        for mine, theirs in zip(self.masters, other.masters, strict=True):
            mine.copy_(theirs)
        for i, (mean, variance) in other.running.items():
            self.running[i][0].copy_(mean)
            self.running[i][1].copy_(variance)
        self.refresh()

    def forward(self, blocks: Tensor, training: bool = False) -> Tensor:
        """Q-values (N, num_actions), float32 or float64, of `to_blocks` states.

        `training` normalizes by the batch and moves the running statistics; autograd records the
        pass unless it is off.
        """
        weights = iter(self.weights)
        x = blocks.to(self.dtype).div_(255).permute(0, 3, 1, 2)  # (N, C, H, W), channels last
        for i, layer in enumerate(self.layers):
            w = next(weights)
            b = next(weights) if self.bias else None
            if layer.kind == "convolution":
                stride = layer.stride if i else 1  # the first one's is in the blocks
                x = F.conv2d(x, w, b, stride)
            else:
                if layer.image:
                    x = x.permute(0, 2, 3, 1).flatten(1)  # (N, H*W*C)
                x = F.linear(x.to(w.dtype), w, b)
            if i in self.running:
                x = self._normalize(x, i, next(weights), next(weights), training)
            if layer.relu:
                x = x.relu_()
        return x

    def _normalize(self, x: Tensor, i: int, beta: Tensor, gamma: Tensor, training: bool) -> Tensor:
        """Neon's batch normalization: biased variance, statistics that start at zero."""
        running_mean, running_variance = self.running[i]
        y = x.to(self.master_dtype)
        if training:
            axes = [0, 2, 3] if y.dim() == 4 else [0]
            variance, mean = torch.var_mean(y, axes, correction=0)
            with torch.no_grad():
                running_mean.lerp_(mean, 1 - NORM_DECAY)
                running_variance.lerp_(variance, 1 - NORM_DECAY)
        else:
            mean, variance = running_mean, running_variance
        scale = gamma / (variance + NORM_EPSILON).sqrt()
        shape = (-1, 1, 1) if y.dim() == 4 else (-1,)
        y = (y - mean.view(shape)) * scale.view(shape) + beta.view(shape)
        return y.to(x.dtype)

    def pack(self, i: int, name: str, values: NDArray[np.floating]) -> Tensor:
        """From a snapshot's arrangement to the one that computes: a master-precision tensor."""
        w = torch.as_tensor(np.asarray(values), dtype=self.master_dtype)
        layer = self.layers[i]
        if name != "W":
            w = w.reshape(-1)
        elif layer.kind == "convolution":
            k, c, size = layer.outputs, layer.inputs, layer.size
            w = w.t().reshape(k, c, size, size)
            if i == 0:
                n = size // BLOCK
                w = w.reshape(k, c, n, BLOCK, n, BLOCK).permute(0, 1, 3, 5, 2, 4)
                w = w.reshape(k, c * BLOCK * BLOCK, n, n)
            w = w.contiguous(memory_format=torch.channels_last)
        elif layer.image:
            w = w.reshape(-1, *layer.image).permute(0, 2, 3, 1).reshape(layer.weight_shape)
        # A copy always: tensors made from arrays may share their memory.
        return w.to(self.device, copy=True)

    def unpack(self, i: int, name: str, tensor: Tensor) -> NDArray[np.float32]:
        """The inverse of `pack`, float32; biases and normalization as columns (n, 1)."""
        w = tensor.detach().to("cpu", torch.float32)
        layer = self.layers[i]
        if name != "W":
            w = w.reshape(-1, 1)
        elif layer.kind == "convolution":
            k, c, size = layer.outputs, layer.inputs, layer.size
            if i == 0:
                n = size // BLOCK
                w = w.reshape(k, c, BLOCK, BLOCK, n, n).permute(0, 1, 4, 2, 5, 3)
            w = w.reshape(k, layer.fan_in).t()
        elif layer.image:
            c, height, width = layer.image
            w = w.reshape(-1, height, width, c).permute(0, 3, 1, 2).reshape(layer.weight_shape)
        return np.ascontiguousarray(w.numpy())
