"""Screens on the GPU, where minibatches are assembled without copying screens from the CPU."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.device import OutOfMemory, to_device
from errors import UserError

AT_ONCE = 64  # screens that are copied to the GPU together


class GPUScreens:
    """A ScreenStore (replay_memory.py): uncompressed screens in a tensor.

    Copying a screen takes as long as copying many: new ones are kept here until they are read.
    """

    def __init__(self, size: int, screen_height: int, screen_width: int, device: str) -> None:
        """Room for `size` screens. Raises UserError if the GPU has too little memory."""
        shape = (size, screen_height, screen_width)
        try:
            self.screens = torch.zeros(shape, dtype=torch.uint8, device=device)
        except OutOfMemory as error:
            raise UserError(
                "The GPU has no room for the replay memory: use --replay_storage compressed."
            ) from error
        self.new = np.empty((AT_ONCE, *shape[1:]), np.uint8)  # screens that are not on the GPU yet
        self.rows: dict[int, int] = {}  # their rows in `new`, by slot

    def write(self, slot: int, screen: NDArray[np.uint8]) -> None:
        """Keep `screen` in `slot`."""
        self.new[self.rows.setdefault(slot, len(self.rows))] = screen
        if len(self.rows) == AT_ONCE:
            self._copy()

    def _copy(self) -> None:
        if count := len(self.rows):
            slots = to_device(np.array(list(self.rows)), self.screens.device)
            self.screens[slots] = to_device(self.new[:count], self.screens.device)
            self.rows.clear()

    def read(self, first: int, last: int, out: NDArray[np.uint8]) -> None:
        """Copy the screens of slots first .. last - 1 into `out`, which is on the CPU."""
        self._copy()
        out[:] = self.screens[first:last].cpu().numpy()

    def windows(self, ends: NDArray[np.int64], out: NDArray[np.uint8]) -> Tensor:
        """The screens up to each of the slots `ends` (batch,): a tensor of the shape of `out`."""
        self._copy()
        slots = ends[:, None] + np.arange(1 - out.shape[1], 1)  # (batch, n)
        return self.screens[to_device(slots, self.screens.device)]
