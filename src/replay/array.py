"""Screens in an array, uncompressed: height x width bytes each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class ScreenArray:
    """A ScreenStore (replay_memory.py); the system allocates its memory as screens are written."""

    def __init__(self, size: int, screen_height: int, screen_width: int) -> None:
        """Room for `size` screens."""
        self.screens = np.zeros((size, screen_height, screen_width), np.uint8)

    def write(self, slot: int, screen: NDArray[np.uint8]) -> None:
        """Keep `screen` (height, width) in `slot`."""
        self.screens[slot] = screen

    def read(self, first: int, last: int, out: NDArray[np.uint8]) -> None:
        """Copy the screens of slots first .. last - 1 into `out` (last - first, height, width)."""
        out[:] = self.screens[first:last]

    def windows(self, ends: NDArray[np.int64], out: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The screens up to each of the slots `ends` (batch,), in `out` (batch, n, ...)."""
        for screens, end in zip(out, ends.tolist(), strict=True):
            screens[:] = self.screens[end + 1 - len(screens) : end + 1]
        return out
