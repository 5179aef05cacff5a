"""Divides the weights among threads, which each update their share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from engine.flat import Flat

SMALL = 1 << 16  # numbers: a parameter that has no more is not worth dividing


class Piece(NamedTuple):
    """Some rows of a parameter, which one thread updates."""

    number: int  # of the parameter
    rows: Any  # a slice, or ... for all
    tensors: list[Tensor]  # these rows of the parameter and of its states, views
    copy: Tensor | None  # the same rows of its copy in lower precision


def whole(flats: Sequence[Flat], copies: Flat | None) -> list[list[Piece]]:
    """One share: all parameters, and their states, as one. `flats` are weights and states."""
    return [[Piece(0, ..., [flat.whole for flat in flats], copies.whole if copies else None)]]


def cut(flats: Sequence[Flat], copies: Flat | None, shares: int) -> list[list[Piece]]:
    """Shares of about equal size, by rows of each parameter."""
    found: list[list[Piece]] = [[] for _ in range(shares)]
    for n, w in enumerate(flats[0].parts):
        count = shares if w.numel() > SMALL and len(w) >= shares else 1
        for k in range(count):
            rows = slice(len(w) * k // count, len(w) * (k + 1) // count) if count > 1 else ...
            tensors = [flat.parts[n][rows] for flat in flats]
            found[k].append(Piece(n, rows, tensors, copies.parts[n][rows] if copies else None))
    return found
