"""The last screens, for acting. The replay memory is separate: testing must not change it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class StateBuffer:
    """The state the agent acts on: the last `history_length` screens, oldest first."""

    def __init__(self, history_length: int, screen_height: int, screen_width: int) -> None:
        """Begin with black screens."""
        self.screens = np.zeros((history_length, screen_height, screen_width), np.uint8)

    def add(self, screen: NDArray[np.uint8]) -> None:
        """Add a new (height, width) uint8 screen; the oldest one is forgotten."""
        self.screens[:-1] = self.screens[1:]
        self.screens[-1] = screen

    def state(self) -> NDArray[np.uint8]:
        """The state, (history_length, height, width) uint8: a view, valid until the next `add`."""
        return self.screens

    def reset(self) -> None:
        """Back to black screens."""
        self.screens.fill(0)
