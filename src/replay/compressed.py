"""Screens compressed without loss: a million of one game take 100 to 350 MB instead of 7 GB.

Screens hardly change from one step to the next. GROUP consecutive ones become one LZ4 block: the
first as it is, the others as their difference from it (XOR), which is mostly zeros. Reading a
window of screens expands one block, or two if the window crosses a border. SEGMENT consecutive
screens become one immutable `bytes`: a table of where its blocks begin, then the blocks.
Checkpoints keep segments.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import lz4.block
import numpy as np
from numpy.typing import NDArray

GROUP = 8  # screens in a block: larger blocks take less memory but longer to read
SEGMENT = 256  # screens in a segment, a multiple of GROUP

Screens = NDArray[np.uint8]  # (n, height, width)


class CompressedScreens:
    """A ScreenStore (replay_memory.py): a ring of compressed screens for each game."""

    def __init__(self, games: int, slots: int, screen_height: int, screen_width: int) -> None:
        """Room for `slots` screens of each game; memory is allocated as they are written."""
        self.slots = slots
        self.rings = [CompressedRing(slots, screen_height, screen_width) for _ in range(games)]

    def write(self, slot: int, screen: NDArray[np.uint8]) -> None:
        """Keep `screen` (height, width) in `slot`, which follows the game's slot written last."""
        game, t = divmod(slot, self.slots)
        self.rings[game].write(t, screen)

    def read(self, first: int, last: int, out: Screens) -> None:
        """Copy the screens of a game's slots first .. last - 1 into `out`."""
        game, t = divmod(first, self.slots)
        self.rings[game].read(t, t + last - first, out)

    def windows(self, ends: NDArray[np.int64], out: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The screens up to each of the slots `ends` (batch,), in `out` (batch, n, ...)."""
        for screens, end in zip(out, ends.tolist(), strict=True):
            self.read(end + 1 - len(screens), end + 1, screens)
        return out


class CompressedRing:
    """The screens of one game, written one after the other."""

    def __init__(self, size: int, screen_height: int, screen_width: int) -> None:
        """Room for `size` screens."""
        self.size = size
        self.shape = (screen_height, screen_width)
        self.segments = [b""] * -(-size // SEGMENT)
        self.next = 0  # the slot written next
        # The segment being written: blocks that are done, and the screens of the next one. Slots
        # from `next` on are still in the segment that it will replace.
        self.blocks: list[bytes] = []
        self.pending = np.empty((GROUP, *self.shape), np.uint8)

    def write(self, slot: int, screen: NDArray[np.uint8]) -> None:
        """Keep `screen` (height, width) in `slot`, which follows the slot written last."""
        if slot != self.next:
            raise ValueError(f"slot {self.next} comes next, not {slot}")
        self.pending[slot % GROUP] = screen
        after = slot + 1
        if after % GROUP == 0 or after == self.size:
            self.blocks.append(_compress(self.pending[: slot % GROUP + 1]))
        if after % SEGMENT == 0 or after == self.size:
            self.segments[slot // SEGMENT] = _join(self.blocks)
            self.blocks = []
        self.next = after % self.size

    def read(self, first: int, last: int, out: Screens) -> None:
        """Copy the screens of slots first .. last - 1 into `out` (last - first, height, width)."""
        while first < last:
            group, a = divmod(first, GROUP)
            b = min(GROUP, a + last - first)
            self._read(group, a, b, out[: b - a])
            first, out = first + b - a, out[b - a :]

    def _read(self, group: int, a: int, b: int, out: Screens) -> None:
        segment, n = divmod(group, SEGMENT // GROUP)
        if segment == self.next // SEGMENT and group * GROUP + a < self.next:
            if n == len(self.blocks):
                out[:] = self.pending[a:b]
                return
            block: bytes | memoryview = self.blocks[n]
        else:
            block = _block(self.segments[segment], n)
        _expand(block, a, b, out)

    def restore(self, segments: Sequence[bytes], next: int) -> None:
        """Restore segments that `encode` made; `next` is the slot to be written next."""
        self.segments[: len(segments)] = segments
        self.blocks = []
        self.next = first = next // SEGMENT * SEGMENT
        if first < next:
            count = min(SEGMENT, self.size - first)
            for n, screen in enumerate(decode(segments[first // SEGMENT], count, *self.shape)):
                if first + n < next:
                    self.write(first + n, screen)


def encode(screens: Screens) -> bytes:
    """The screens (n, height, width) as a segment."""
    return _join([_compress(screens[n : n + GROUP]) for n in range(0, len(screens), GROUP)])


def decode(segment: bytes, count: int, screen_height: int, screen_width: int) -> Screens:
    """The `count` screens of a segment. Raises ValueError if it is damaged."""
    screens = np.empty((count, screen_height, screen_width), np.uint8)
    check_segment(segment, count)
    try:
        for n in range(0, count, GROUP):
            part = screens[n : n + GROUP]
            _expand(_block(segment, n // GROUP), 0, len(part), part)
    except (lz4.block.LZ4BlockError, ValueError, IndexError) as error:
        raise ValueError("a segment of screens is damaged") from error
    return screens


def check_segment(segment: bytes, count: int) -> None:
    """Raise ValueError unless `segment` has the table for `count` screens."""
    entries = -(-count // GROUP) + 1
    table = np.frombuffer(segment[: 4 * entries], "<u4").astype(np.int64)
    if len(table) != entries or table[0] != 4 * entries or table[-1] != len(segment):
        raise ValueError("a segment of screens is damaged")
    if (np.diff(table) <= 0).any():
        raise ValueError("a segment of screens is damaged")


def _compress(screens: Screens) -> bytes:
    deltas = screens.copy()
    deltas[1:] ^= screens[0]
    block: bytes = lz4.block.compress(deltas, store_size=False)
    return block


def _expand(block: bytes | memoryview, a: int, b: int, out: Screens) -> None:
    """Copy the screens a .. b - 1 of a block into `out`."""
    _, height, width = out.shape
    room = GROUP * height * width
    pixels = lz4.block.decompress(block, uncompressed_size=room)
    deltas = np.frombuffer(pixels, np.uint8).reshape(-1, height, width)
    np.bitwise_xor(deltas[a:b], deltas[0], out=out)
    if a == 0:
        out[0] = deltas[0]


def _join(blocks: Sequence[bytes]) -> bytes:
    """A segment: the places where blocks begin and the last one ends (u4), then the blocks."""
    head = 4 * (len(blocks) + 1)
    begins = np.cumsum([head, *map(len, blocks)])
    return b"".join([begins.astype("<u4").tobytes(), *blocks])


def _block(segment: bytes, n: int) -> memoryview:
    begin, end = struct.unpack_from("<2I", segment, 4 * n)
    return memoryview(segment)[begin:end]
