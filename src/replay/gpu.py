"""Screens kept on the GPU, where minibatches are put together without crossing to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.device import OutOfMemory
from errors import UserError
from replay_memory import ScreenStore


class DeviceScreens(ScreenStore):
    """Screens as they are, in a tensor; those of games side by side end to end in one."""

    joined = True

    def __init__(self, screens: Tensor, first: int, size: int) -> None:
        """`size` slots from `first` on of `screens`, (slots of all games, height, width)."""
        self.all = screens
        self.screens = screens[first : first + size]
        self.first = first

    def write(self, slot: int, screen: NDArray[np.uint8]) -> None:
        """Keep `screen` in `slot`."""
        self.screens[slot].copy_(torch.from_numpy(screen))

    def read(self, first: int, last: int, out: NDArray[np.uint8]) -> None:
        """Copy neighbouring screens into `out`, which is not on the device."""
        out[:] = self.screens[first:last].cpu().numpy()

    def windows(self, ends: NDArray[np.int64], out: NDArray[np.uint8]) -> Any:
        """The windows that end at slots `ends` (batch,) of all games: a tensor of `out`'s shape."""
        slots = ends[:, None] + np.arange(1 - out.shape[1], 1)  # (batch, history + 1)
        return self.all[torch.from_numpy(slots).to(self.all.device)]


def make_device_screens(
    size: int, parts: int, screen_height: int, screen_width: int, device: str
) -> list[DeviceScreens]:
    """Stores of `size` screens each for `parts` games. Raises UserError if there is no room."""
    shape = (parts * size, screen_height, screen_width)
    try:
        screens = torch.zeros(shape, dtype=torch.uint8, device=device)
    except OutOfMemory as error:
        raise UserError(
            "The GPU has no room for the replay memory: take --replay_storage compressed."
        ) from error
    return [DeviceScreens(screens, n * size, size) for n in range(parts)]
