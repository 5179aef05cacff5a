"""The game's picture for people: the shape of its pixels, and the agent's saliency."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (height, width, 3)

ATARI_WIDTH = 160  # pixels; a television showed each about twice as wide as high
GLOW = np.array((255, 70, 0), np.float32)


def size_of(picture: Picture) -> tuple[int, int]:
    """Width and height at which the pixels have their shape: 320x210 for Atari's 160x210."""
    height, width = picture.shape[:2]
    return (2 * width if width == ATARI_WIDTH and height >= 200 else width), height


def scaled(picture: Picture, width: int, height: int) -> Picture:
    """`picture` in another size, with sharp pixels."""
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_NEAREST))


def glowing(picture: Picture, heat: NDArray[np.float32]) -> Picture:
    """`picture` darkened, and red where `heat` (any height and width, zero or more) is high."""
    height, width = picture.shape[:2]
    smooth = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    brightest = max(float(np.quantile(smooth, 0.995)), 1e-12)  # single pixels may be far above
    share = np.minimum(smooth / brightest, 1)[..., None]
    glowing = picture * np.float32(0.75) * (1 - share) + GLOW * share
    return np.asarray(glowing.astype(np.uint8))
