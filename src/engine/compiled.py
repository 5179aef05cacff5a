"""Compiled loops that read memory once where PyTorch's operations read it several times.

Numba compiles them for this processor on their first call, which takes half a second. They compute
the same as optimizers.py and layer.py do in PyTorch, except for the last bit, on a CPU in float32.
Without Numba the PyTorch code is used, and an update takes a tenth longer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Vector = NDArray[np.float32]
Loop = Callable[..., None]
logger = logging.getLogger(__name__)


def rmsprop(
    w: Vector,
    g: Vector,
    s: Vector,
    decay: np.float32,
    rest: np.float32,
    rate: np.float32,
    epsilon: np.float32,
) -> None:
    """Neon's: s = decay s + rest g^2, w -= rate g / (sqrt(s + epsilon) + epsilon)."""
    for i in range(w.size):
        s[i] = decay * s[i] + rest * g[i] * g[i]
        w[i] -= rate * g[i] / (np.sqrt(s[i] + epsilon) + epsilon)


def centered_rmsprop(
    w: Vector,
    g: Vector,
    s: Vector,
    m: Vector,
    decay: np.float32,
    rest: np.float32,
    rate: np.float32,
    epsilon: np.float32,
) -> None:
    """DeepMind's: also m = decay m + rest g, and the root is of s - m^2 + epsilon."""
    for i in range(w.size):
        m[i] = decay * m[i] + rest * g[i]
        s[i] = decay * s[i] + rest * g[i] * g[i]
        w[i] -= rate * g[i] / np.sqrt(s[i] - m[i] * m[i] + epsilon)


def adam(
    w: Vector,
    g: Vector,
    m: Vector,
    v: Vector,
    decay_1: np.float32,
    rest_1: np.float32,
    decay_2: np.float32,
    rest_2: np.float32,
    rate: np.float32,
    epsilon: np.float32,
) -> None:
    """m = decay_1 m + rest_1 g, v = decay_2 v + rest_2 g^2, w -= rate m / (sqrt(v) + epsilon)."""
    for i in range(w.size):
        m[i] = decay_1 * m[i] + rest_1 * g[i]
        v[i] = decay_2 * v[i] + rest_2 * g[i] * g[i]
        w[i] -= rate * m[i] / (np.sqrt(v[i]) + epsilon)


@cache
def inputs_of_pixels(divisor: float, dtype: torch.dtype) -> NDArray[Any]:
    """The network's input for each value of a pixel. NumPy has no bfloat16, so its bits."""
    inputs = torch.arange(256).to(dtype) / divisor
    return (inputs.view(torch.int16) if dtype == torch.bfloat16 else inputs).numpy()


def blocks(screens: NDArray[np.uint8], pixels: NDArray[Any], out: NDArray[Any]) -> None:
    """Screens (N, C, H/4, 4, W/4, 4) to 4x4 blocks (N, H/4, W/4, C * 16) of `pixels`' values."""
    count, channels, rows, _, columns, _ = screens.shape
    for n in range(count):
        for row in range(rows):
            for column in range(columns):
                block = out[n, row, column]
                for c in range(channels):
                    for y in range(4):
                        line = screens[n, c, row, y, column]
                        for x in range(4):
                            block[c * 16 + y * 4 + x] = pixels[line[x]]


@cache
def compiled(rule: Loop) -> Loop | None:
    """The loop as machine code, compiled on its first call; None without Numba."""
    try:
        import numba
    except ImportError as error:
        logger.warning("Weight updates are a tenth slower than with Numba: %s.", error)
        return None
    # Fused multiply-add is allowed. Python's lock is released, so that games run meanwhile.
    loop: Loop = numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})(rule)
    return loop


def run(rule: Loop, tensors: list[Tensor], *constants: float) -> bool:
    """Call a loop with dense float32 tensors of one layout; False if that is impossible."""
    first = tensors[0]
    dense = first.is_contiguous() or first.is_contiguous(memory_format=torch.channels_last)
    fit = dense and all(
        t.device.type == "cpu" and t.dtype == torch.float32 and t.stride() == first.stride()
        for t in tensors
    )
    loop = compiled(rule) if fit else None
    if not loop:
        return False
    vectors = [t.detach().as_strided((t.numel(),), (1,)).numpy() for t in tensors]
    loop(*vectors, *map(np.float32, constants))
    return True


def to_blocks(screens: Tensor, divisor: float, dtype: torch.dtype) -> Tensor | None:
    """Screens (N, C, H, W) uint8 to blocks (N, H/4, W/4, C * 16) of pixels divided by `divisor`.

    None if that is impossible.
    """
    fit = screens.device.type == "cpu" and dtype in (torch.float32, torch.bfloat16)
    loop = compiled(blocks) if fit else None
    if not loop:
        return None
    count, channels, height, width = screens.shape
    rows, columns = height // 4, width // 4
    out = torch.empty((count, rows, columns, channels * 16), dtype=dtype)
    bits = out.view(torch.int16) if dtype == torch.bfloat16 else out
    pixels = inputs_of_pixels(divisor, dtype)
    loop(screens.numpy().reshape(count, channels, rows, 4, columns, 4), pixels, bits.numpy())
    return out
