"""Finds the pixels of a screen that the network's convolutions never reach."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from config import StateSettings
from snapshot.layers import MAX_SIZE, SavedLayer

logger = logging.getLogger(__name__)

TOLERATED = 1  # pixels: DeepMind's network does not reach the last of 84


def seen(size: int, convolutions: Sequence[SavedLayer]) -> int:
    """How many of `size` pixels in a row, from the first one, reach the last convolution."""
    sizes = [size]
    for layer in convolutions:
        c = layer.config
        sizes.append((sizes[-1] + 2 * c["padding"] - c["size"]) // c["stride"] + 1)
    reached = sizes[-1]
    for layer, inputs in zip(reversed(convolutions), reversed(sizes[:-1]), strict=True):
        c = layer.config
        reached = min((reached - 1) * c["stride"] + c["size"] - c["padding"], inputs)
    return reached


def warn_of_unseen(settings: StateSettings, layers: Sequence[SavedLayer]) -> None:
    """Warn if the network does not see the right or the lower edge of the screen."""
    convolutions = [layer for layer in layers if layer.kind == "Convolution"]
    for flag, size in (
        ("screen_width", settings.screen_width),
        ("screen_height", settings.screen_height),
    ):
        reached = seen(size, convolutions)
        if size - reached <= TOLERATED:
            continue
        whole = [n for n in range(1, MAX_SIZE + 1) if n - seen(n, convolutions) <= TOLERATED]
        near = [max((n for n in whole if n < size), default=None)]
        near.append(min((n for n in whole if n > size), default=None))
        logger.warning(
            "The network sees only %d of %d pixels of --%s: with %s it sees all.",
            reached,
            size,
            flag,
            " or ".join(str(n) for n in near if n),
        )
