"""The replay memory's screens in checkpoints.

They are saved in the compressed segments of replay/compressed.py. A segment is written once, into a
file of the first checkpoint that has it; later checkpoints only say where it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from checkpoint.files import Checkpoint
from replay.compressed import SEGMENT, CompressedScreens, check_segment, decode, encode
from replay_memory import ReplayMemory

# (segments, 4): version, number of the file, offset and length in it; zeros if there is no segment.
Places = NDArray[np.int64]


class SavedScreens:
    """Where the screens of a replay memory are saved."""

    def __init__(self, memory: ReplayMemory) -> None:
        """None are saved."""
        self.memory = memory
        segments = -(-memory.slots // SEGMENT)
        self.places: list[Places] = [np.zeros((segments, 4), np.int64) for _ in memory.added]

    def plan(self, number: int) -> list[Places]:
        """The places of all screens of now, by game. Those not yet saved go into file `number`;
        `new_segments` completes their places.
        """
        planned = []
        for game, before in enumerate(self.places):
            versions = self._versions(game)
            places = before.copy()
            new = versions != before[:, 0]
            places[new] = 0
            places[new, 0] = versions[new]
            places[new, 1] = number
            planned.append(places)
        return planned

    def new_segments(self, planned: list[Places], number: int) -> Iterator[bytes]:
        """The segments for file `number`; offsets and lengths are entered into `planned`."""
        offset = 0
        for game, places in enumerate(planned):
            for n in np.flatnonzero(places[:, 1] == number).tolist():
                segment = self._segment(game, n)
                places[n, 2:] = offset, len(segment)
                offset += len(segment)
                yield segment

    def forget(self, number: int) -> None:
        """File `number` has disappeared: its screens are not saved any more."""
        for places in self.places:
            places[places[:, 1] == number] = 0

    def restore(self, game: int, places: Places, checkpoint: Checkpoint) -> None:
        """Fill a game's part of the replay memory with the screens of a checkpoint.

        Raises ValueError or OSError if they are not those of the game's steps.
        """
        versions = self._versions(game)
        if (places[:, 0] != versions).any() or (places < 0)[:, 1:].any():
            raise ValueError("its screens are not those of its steps")
        if places[versions == 0].any():
            raise ValueError("it has screens that belong to no step")
        self.places[game] = places
        memory, screens = self.memory, self.memory.screens
        segments = []
        for n, (version, number, offset, length) in enumerate(places.tolist()):
            if not version:
                break
            first, last = self._slots(n)
            segment = checkpoint.segment(number, offset, length)
            if isinstance(screens, CompressedScreens):
                if not checkpoint.ours:  # or it would be found out in the middle of the run
                    decode(segment, last - first, *memory.block.shape[2:])
                check_segment(segment, last - first)
                segments.append(segment)
                continue
            decoded = decode(segment, last - first, *memory.block.shape[2:])
            for slot, screen in enumerate(decoded, game * memory.slots + first):
                screens.write(slot, screen)
        if isinstance(screens, CompressedScreens):
            screens.rings[game].restore(segments, int(memory.added[game]) % memory.slots)

    def _slots(self, n: int) -> tuple[int, int]:
        """The first slot of segment `n` of a game, and the one after its last."""
        return n * SEGMENT, min((n + 1) * SEGMENT, self.memory.slots)

    def _versions(self, game: int) -> NDArray[np.int64]:
        """A number for each of a game's segments that changes when its screens change."""
        added, slots = int(self.memory.added[game]), self.memory.slots
        first = np.arange(len(self.places[game])) * SEGMENT
        last = np.minimum(first + SEGMENT, slots)
        # How often the segment was written in full, except for the one that is being written.
        versions = np.where(added >= last, (added - last) // slots + 1, 0)
        versions[(first < added % slots) & (added % slots < last)] = -added
        return versions

    def _segment(self, game: int, n: int) -> bytes:
        """Segment `n` of a game; slots never written are black."""
        memory, store = self.memory, cast("Any", self.memory.screens)
        first, last = self._slots(n)
        added, begin = int(memory.added[game]), game * memory.slots
        now = added % memory.slots
        if not first < now < last:
            if isinstance(store, CompressedScreens):
                return store.rings[game].segments[n]
            now = last
        screens = np.zeros((last - first, *memory.block.shape[2:]), np.uint8)
        store.read(begin + first, begin + now, screens[: now - first])
        if added >= last:  # what the ring has not come round to yet
            store.read(begin + now, begin + last, screens[now - first :])
        return encode(screens)
