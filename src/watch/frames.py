"""Frames, for people and films; the agent sees screens."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Frame(NamedTuple):
    """One emulated frame."""

    rgb: NDArray[np.uint8]  # (height, width, 3)
    audio: NDArray[np.uint8] | None  # (512,) samples of this frame, or None without sound
    flickers: bool = False  # sprites may be drawn in every other frame only, as in Atari games


FrameListener = Callable[[Frame], None]
