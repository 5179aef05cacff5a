"""Screens on the GPU, where minibatches are assembled without copying screens from the CPU."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.device import OutOfMemory
from errors import UserError


class GPUScreens:
    """A ScreenStore (replay_memory.py): uncompressed screens in a tensor."""

    def __init__(self, size: int, screen_height: int, screen_width: int, device: str) -> None:
        """Room for `size` screens. Raises UserError if the GPU has too little memory."""
        shape = (size, screen_height, screen_width)
        try:
            self.screens = torch.zeros(shape, dtype=torch.uint8, device=device)
        except OutOfMemory as error:
            raise UserError(
                "The GPU has no room for the replay memory: take --replay_storage compressed."
            ) from error

    def write(self, slot: int, screen: NDArray[np.uint8]) -> None:
        """Keep `screen` in `slot`. NB! This waits until the GPU has copied it."""
        self.screens[slot].copy_(torch.from_numpy(screen))

    def read(self, first: int, last: int, out: NDArray[np.uint8]) -> None:
        """Copy the screens of slots first .. last - 1 into `out`, which is on the CPU."""
        out[:] = self.screens[first:last].cpu().numpy()

    def windows(self, ends: NDArray[np.int64], out: NDArray[np.uint8]) -> Tensor:
        """The screens up to each of the slots `ends` (batch,): a tensor of the shape of `out`."""
        slots = ends[:, None] + np.arange(1 - out.shape[1], 1)  # (batch, n)
        return self.screens[torch.from_numpy(slots).to(self.screens.device)]
