"""Checkpoints: everything that a run needs to go on exactly where it was.

Saved are the networks and the optimizer, the replay memory, each game's emulator, state and random
stream, the agent's and the replay memory's random streams, the statistics, and the position in the
run. Whatever a run decides from must be among them, or a resumed run goes another way.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent import Agent, Callback
from errors import Diverged, UserError
from replay.compressed import SEGMENT, CompressedScreens, check_segment, decode, encode
from replay_memory import ReplayMemory
from runs.checkpoint_files import Checkpoint, file_name, numbers, remove_all_but, write_checkpoint
from stats import Statistics

logger = logging.getLogger(__name__)

RING = ("actions", "rewards", "terminals", "begins")  # arrays of a replay memory, a slot each
Index = NDArray[np.int64]  # (segments, 4): version, number of the file, offset and length in it


class Position(NamedTuple):
    """Where a run is: `step` steps of a phase are done."""

    epoch: int
    phase: str
    step: int

    def steps_done(self, epoch: int, phase: str) -> int | None:
        """Steps done of a phase; None if it is over."""
        here, there = (self.epoch, self.phase == "test"), (epoch, phase == "test")
        if here == there:
            return self.step
        return None if there < here else 0

    def __str__(self) -> str:
        epoch = f"epoch {self.epoch}, " if self.epoch else ""
        return f"{epoch}{self.phase}, step {self.step}"


def position(checkpoint: Checkpoint) -> Position:
    """Where the run of a checkpoint was."""
    return Position(*checkpoint.state["position"])


class Checkpointer(Callback):
    """Saves a checkpoint every few minutes, when a phase is interrupted, and when told to."""

    def __init__(
        self,
        *,
        folder: Path,
        minutes: float,
        about: dict[str, Any],
        agent: Agent,
        stats: Statistics,
    ) -> None:
        """Checkpoints go to `folder`, with `minutes` 0 none; `about` says what run they are of.

        NB! To be heard before `stats`: an interrupted phase is saved before it is summed up.
        """
        self.folder = folder
        self.minutes = minutes
        self.about = about
        self.agent = agent
        self.stats = stats
        self.games: Sequence[Any] = agent.games
        self.network: Any = agent.network
        self.memory: Any = agent.memory
        self.parts: Sequence[ReplayMemory] = getattr(agent.memory, "games", ())
        self.last: Checkpoint | None = None
        self.index = [np.zeros((-(-part.size // SEGMENT), 4), np.int64) for part in self.parts]
        self.due = time.monotonic() + 60 * minutes

    def on_phase_start(self, phase: str, epoch: int, steps: int) -> None:
        """Know where the run is."""
        self.phase, self.epoch = phase, epoch

    def on_round(self, step: int) -> None:
        """Save if it is time to."""
        if time.monotonic() >= self.due:
            self.save(Position(self.epoch, self.phase, step))

    def on_phase_end(self, phase: str, epoch: int) -> None:
        """Save if the run is stopped here."""
        if self.agent.interrupted:
            self.save(Position(epoch, phase, self.agent.phase_step))

    def save(self, at: Position) -> None:
        """Save a checkpoint. If that fails it is said, the one before stays, and the run goes on.

        Raises Diverged, and saves nothing, if a weight is not finite.
        """
        if not self.minutes:
            return
        try:
            self._save(at, max(numbers(self.folder), default=0) + 1)
        except OSError as error:
            before = f"the one at {self.at()} stays" if self.last else "there is none yet"
            logger.error("Cannot write a checkpoint (%s): %s.", error.strerror, before)
        self.due = time.monotonic() + 60 * self.minutes

    def at(self) -> Position | None:
        """Where the last checkpoint is."""
        return position(self.last) if self.last else None

    def _save(self, at: Position, number: int) -> None:
        agent = self.agent
        games = [game.get_state() for game in self.games]
        network = self.network.get_state()
        if not all(np.isfinite(array).all() for array in network.values()):
            raise Diverged("There are weights that are not finite: training has diverged.")
        state = {
            "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "about": self.about,
            "position": at,
            "total_train_steps": agent.total_train_steps,
            "exploration": agent.rng.bit_generator.state,
            "replay": self.memory.rng.bit_generator.state if self.memory else None,
            "memories": [{"added": p.added, "beginning": p.beginning} for p in self.parts],
            "games": [game["stream"] for game in games],
            "statistics": self.stats.get_state(),
        }
        arrays = {f"network.{name}": array for name, array in network.items()}
        for i, game in enumerate(games):
            arrays[f"game.{i}.screens"] = game["screens"]
            if game["environment"] is not None:
                arrays[f"game.{i}.environment"] = np.frombuffer(game["environment"], np.uint8)
        index = []
        for i, (part, before) in enumerate(zip(self.parts, self.index, strict=True)):
            arrays |= {f"memory.{i}.{name}": getattr(part, name)[: part.count] for name in RING}
            index.append(_plan(part, before, number))
            arrays[f"memory.{i}.index"] = index[-1]
        if self.stats.validation_states is not None:
            arrays["validation_states"] = self.stats.validation_states
        kept, self.last = (
            self.last,
            write_checkpoint(
                self.folder,
                number,
                state=state,
                arrays=arrays,
                screens=_new_segments(self.parts, index, number),
                earlier=self._files_of(index, number),
            ),
        )
        self.index = index
        remove_all_but(self.folder, [each for each in (kept, self.last) if each])

    def _files_of(self, index: list[Index], number: int) -> dict[str, dict[str, Any]]:
        """The files before checkpoint `number` in which screens of `index` are."""
        if not self.last:
            return {}
        used = {n for each in index for n in np.unique(each[:, 1]).tolist()} - {0, number}
        names = [file_name(n, "screens") for n in sorted(used)]
        return {name: self.last.files[name] for name in names}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on where `checkpoint` was saved. Raises UserError if it is of another run."""
        try:
            self._restore(checkpoint)
        except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as e:
            raise UserError(
                f"The checkpoint in {checkpoint.folder} does not fit this run ({e}): go on from a "
                "snapshot instead."
            ) from e

    def _restore(self, checkpoint: Checkpoint) -> None:
        agent, stats, state = self.agent, self.stats, checkpoint.state
        arrays = checkpoint.arrays()
        prefix = "network."
        network = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        self.network.set_state(network)
        agent.total_train_steps = int(state["total_train_steps"])
        agent.rng.bit_generator.state = state["exploration"]
        for i, (part, saved) in enumerate(zip(self.parts, state["memories"], strict=True)):
            part.added, part.beginning = int(saved["added"]), bool(saved["beginning"])
            part.count, part.current = min(part.added, part.size), part.added % part.size
            for name in RING:
                getattr(part, name)[: part.count] = arrays[f"memory.{i}.{name}"]
            index = arrays[f"memory.{i}.index"]
            if index.shape != self.index[i].shape or index.dtype != np.int64:
                raise ValueError("the replay memory has another size")
            self.index[i] = index
            _read_screens(part, index, checkpoint)
        stats.set_state(state["statistics"])
        stats.validation_states = arrays.get("validation_states")
        at = position(checkpoint)
        for i, (game, stream) in enumerate(zip(self.games, state["games"], strict=True)):
            environment = arrays.get(f"game.{i}.environment")
            game.set_state(
                {
                    "stream": stream,
                    "screens": arrays[f"game.{i}.screens"],
                    "environment": None if environment is None else environment.tobytes(),
                }
            )
            if environment is None:
                logger.warning("This environment cannot save its state: its game begins anew.")
                game.set_mode("test" if at.phase == "test" else "train")
                agent.restart([i], remember=at.phase != "test" or agent.remember_all)
                stats.running[i] = 0.0
        if self.memory:
            self.memory.rng.bit_generator.state = state["replay"]
        self.last = checkpoint


def _plan(part: ReplayMemory, before: Index, number: int) -> Index:
    """The index of a replay memory's screens; what was not saved before goes to file `number`."""
    first = np.arange(len(before)) * SEGMENT
    last = np.minimum(first + SEGMENT, part.size)
    # How often the segment was written in full; it never changes while that stays the same ...
    version = np.where(part.added >= last, (part.added - last) // part.size + 1, 0)
    # ... but for the one that is being written.
    version[(first < part.current) & (part.current < last)] = -part.added
    index = before.copy()
    new = version != before[:, 0]
    index[new] = 0
    index[new, 0] = version[new]
    index[new, 1] = number
    return index


def _new_segments(
    parts: Sequence[ReplayMemory], index: list[Index], number: int
) -> Iterator[bytes]:
    """The segments that go to file `number`; their places are entered into `index`."""
    offset = 0
    for part, each in zip(parts, index, strict=True):
        for n in np.flatnonzero(each[:, 1] == number).tolist():
            segment = _segment(part, n * SEGMENT, min((n + 1) * SEGMENT, part.size))
            each[n, 2:] = offset, len(segment)
            offset += len(segment)
            yield segment


def _segment(part: ReplayMemory, first: int, last: int) -> bytes:
    """The screens of slots first .. last - 1; slots never written are black."""
    store, now = part.screens, part.current
    if not first < now < last:
        if isinstance(store, CompressedScreens):
            return store.segments[first // SEGMENT]
        now = last
    screens = np.zeros((last - first, *part.block.shape[2:]), np.uint8)
    store.read(first, now, screens[: now - first])
    if part.added >= last:  # what the ring has not come round to yet
        store.read(now, last, screens[now - first :])
    return encode(screens)


def _read_screens(part: ReplayMemory, index: Index, checkpoint: Checkpoint) -> None:
    """Fill a replay memory's store with the screens of a checkpoint."""
    files = {n: checkpoint.screens(n) for n in np.unique(index[index[:, 0] != 0, 1]).tolist()}
    segments = []
    for n, (version, number, offset, length) in enumerate(index.tolist()):
        first, last = n * SEGMENT, min((n + 1) * SEGMENT, part.size)
        if not version:
            break
        segment = bytes(files[number][offset : offset + length])
        if isinstance(part.screens, CompressedScreens):
            check_segment(segment, last - first)
            segments.append(segment)
        else:
            screens = decode(segment, last - first, *part.block.shape[2:])
            for slot, screen in enumerate(screens, first):
                part.screens.write(slot, screen)
    if isinstance(part.screens, CompressedScreens):
        part.screens.restore(segments, part.current)
