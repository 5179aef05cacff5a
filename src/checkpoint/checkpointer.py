"""Checkpoints: everything that a run needs to resume exactly where it was.

A checkpoint contains the networks and the optimizer, the replay memory, each game's emulator, state
and random stream, the random streams of the agent and the replay memory, the statistics, and the
position in the run. Whatever affects a run must be in it, or a resumed run takes another course.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent import Callback, Phase
from checkpoint.files import (
    MAX_FILES,
    TOO_LARGE,
    Checkpoint,
    checkpoint_file,
    next_number,
    remove_all_but,
    write_checkpoint,
)
from checkpoint.manifest import check_array
from checkpoint.screens import Places, SavedScreens
from errors import Diverged, UserError, shown
from runs.position import Position, position
from runs.provenance import about_run
from runs.results import CSV_LINES, from_numbers, to_numbers
from runs.run import Run
from user_code.trust import agrees

logger = logging.getLogger(__name__)

MAX_SCORES = 10_000_000  # games that end in a phase; in memory 0.3 GB
# What a checkpoint of another run, or one that is no checkpoint, runs into.
_MISFITS: tuple[type[Exception], ...] = (ArithmeticError, AttributeError, LookupError, MemoryError)
_MISFITS += (RecursionError, RuntimeError, SystemError, TypeError, ValueError)


class Checkpointer(Callback):
    """Saves a checkpoint every few minutes, and when `save` is called."""

    def __init__(self, parts: Run) -> None:
        """Checkpoints of the run with these `parts`; none if `checkpoint_minutes` is 0."""
        config = parts.task.config
        assert config.checkpoint_path
        self.folder = config.checkpoint_path
        self.minutes = config.checkpoint_minutes
        self.about = about_run(parts.task)
        self.agent, self.stats = parts.agent, parts.stats
        self.games: Sequence[Any] = parts.agent.games
        assert parts.network and parts.memory
        self.network, self.memory = parts.network, parts.memory
        self.last: Checkpoint | None = None
        self.failed: Position | None = None  # where one was due and could not be written
        self.screens = SavedScreens(self.memory)
        self.due = time.monotonic() + 60 * self.minutes

    def on_phase_start(self, phase: Phase) -> None:
        """Remember where the run is."""
        self.phase = phase

    def on_round(self, step: int) -> None:
        """Save a checkpoint if one is due."""
        if time.monotonic() >= self.due:
            self.save(Position(self.phase.epoch, self.phase.name, step))

    def save(self, at: Position) -> None:
        """Save a checkpoint. If that fails, a message says so, the previous one stays, and the run
        continues.

        Raises Diverged, and saves nothing, if a weight is not finite.
        """
        if not self.minutes:
            return
        self.failed = at
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            before = self.last.number if self.last else 0
            self._save(at, next_number(self.folder, before))
            self.failed = None
        except OSError as error:
            kept = f"the one at {self.at()} stays" if self.at() else "there is none"
            logger.error("Cannot write a checkpoint (%s): %s.", error.strerror, kept)
        self.due = time.monotonic() + 60 * self.minutes

    def at(self) -> Position | None:
        """The position of the newest checkpoint, if all its files exist."""
        if not self.last:
            return None
        manifest = checkpoint_file(self.last.number, "json")
        is_whole = (self.folder / manifest).is_file() and not self.last.missing(self.last.files)
        return position(self.last) if is_whole else None

    def _save(self, at: Position, number: int) -> None:
        agent, memory = self.agent, self.memory
        self._forget_lost_screens()
        self._forget_oldest_screens()
        games = [game.get_state() for game in self.games]
        network = self.network.get_state()
        if not all(np.isfinite(array).all() for array in network.values()):
            raise Diverged("There are weights that are not finite: training has diverged.")
        sampler, statistics = memory.sampler.get_state(), self.stats.get_state()
        # These grow with the run: as texts in the manifest they would take ten times as much.
        rows, scores = statistics.pop("rows"), statistics.pop("scores")
        if len(rows) > CSV_LINES or len(scores) > MAX_SCORES:
            raise OSError(errno.EFBIG, TOO_LARGE)
        state = {
            "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "about": self.about,
            "position": at,
            "total_train_steps": agent.total_train_steps,
            "exploration": agent.rng.bit_generator.state,
            "sampler": {k: v for k, v in sampler.items() if not isinstance(v, np.ndarray)},
            "added": memory.added.tolist(),
            "beginning": memory.next_begins.tolist(),
            "games": [game["stream"] for game in games],
            "statistics": statistics,
        }
        arrays = {f"network.{name}": array for name, array in network.items()}
        arrays |= {f"sampler.{k}": v for k, v in sampler.items() if isinstance(v, np.ndarray)}
        for i, game in enumerate(games):
            arrays[f"game.{i}.screens"] = game["screens"]
            if game["environment"] is not None:
                arrays[f"game.{i}.environment"] = np.frombuffer(game["environment"], np.uint8)
        arrays["statistics.rows"] = to_numbers(rows)
        arrays["statistics.scores"] = np.array(scores, np.float64)
        if agent.repeated:
            arrays |= {f"repeated.{k}": v for k, v in agent.repeated.get_state().items()}
        places = self.screens.plan(number)
        for i, of_game in enumerate(places):
            arrays |= {f"memory.{i}.{name}": column for name, column in memory.columns(i).items()}
            arrays[f"memory.{i}.index"] = of_game
        if self.stats.validation_states is not None:
            arrays["validation_states"] = self.stats.validation_states
        kept = self.last
        self.last = write_checkpoint(
            self.folder,
            number,
            state=state,
            arrays=arrays,
            screens=self.screens.new_segments(places, number),
            earlier=self._files_of(places, number),
        )
        self.screens.places = places
        if lost := self.last.missing(self.last.files):
            raise OSError(errno.ENOENT, f"{lost[0]} has disappeared")
        remove_all_but(self.folder, [each for each in (kept, self.last) if each])

    def _forget_lost_screens(self) -> None:
        """Write screens again if somebody has removed their file: they are still in memory."""
        if not self.last:
            return
        for name in self.last.missing(name for name in self.last.files if "screens" in name):
            logger.warning("%s has disappeared: its screens are written again.", name)
            self.screens.forget(int(name.partition(".")[0]))

    def _forget_oldest_screens(self) -> None:
        """Write the oldest screens again if they are in so many files that no more may be added."""
        names = sorted(name for name in self.last.files if "screens" in name) if self.last else []
        for name in names[: max(len(names) + 2 - MAX_FILES, 0)]:  # 2 are new: screens and arrays
            self.screens.forget(int(name.partition(".")[0]))

    def _files_of(self, places: list[Places], number: int) -> dict[str, dict[str, Any]]:
        """The files of checkpoints before `number` that contain screens of `places`."""
        if not self.last:
            return {}
        used = {n for each in places for n in np.unique(each[:, 1]).tolist()} - {0, number}
        names = [checkpoint_file(n, "screens") for n in sorted(used)]
        return {name: self.last.files[name] for name in names}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from `checkpoint`. Raises UserError if it is of another run or unreadable."""
        try:
            self._restore(checkpoint)
        except OSError as error:  # of the machine: it may fit
            reason = error.strerror or shown(str(error))
            raise UserError(
                f"The checkpoint in {checkpoint.folder} cannot be read: {reason}."
            ) from error
        except _MISFITS as error:
            raise UserError(
                f"The checkpoint in {checkpoint.folder} does not fit this run ({shown(str(error))})"
                ": resume from a snapshot instead."
            ) from error

    def _restore(self, checkpoint: Checkpoint) -> None:
        agent, memory, stats, state = self.agent, self.memory, self.stats, checkpoint.state
        arrays = checkpoint.arrays()
        if len(state["added"]) != len(memory.added):
            raise ValueError("it is of another number of games")
        for name, array in arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError(f"its {name} is not all finite")
        slots = len(memory.added) * memory.slots
        learned = arrays.get("network.learned.indices", np.zeros(0, np.int64))
        if learned.dtype != np.int64 or (learned < 0).any() or (learned >= slots).any():
            raise ValueError("it has learned from steps that it does not have")
        self._restore_memory(checkpoint, arrays)
        self.network.set_state(_below("network.", arrays))
        memory.sampler.set_state(state["sampler"] | _below("sampler.", arrays), memory)
        agent.total_train_steps = state["total_train_steps"]
        agent.rng.bit_generator.state = state["exploration"]
        if agent.repeated:
            agent.repeated.set_state(_below("repeated.", arrays))
        self._restore_games(checkpoint, arrays)
        stats.validation_states = arrays.get("validation_states")
        if stats.validation_states is not None:
            like = memory.block[:, : memory.history]
            check_array(stats.validation_states, like, "validation states")
        stats.set_state(state["statistics"] | _counted(arrays))
        self.last = checkpoint

    def _restore_memory(self, checkpoint: Checkpoint, arrays: dict[str, NDArray[Any]]) -> None:
        memory, state = self.memory, checkpoint.state
        memory.added[:] = state["added"]
        memory.next_begins[:] = state["beginning"]
        for i in range(len(memory.added)):
            for name, column in memory.columns(i).items():
                column[:] = check_array(arrays.get(f"memory.{i}.{name}"), column, name)
            if (memory.actions[i] >= self.agent.num_actions).any():
                raise ValueError("it has actions that the game does not have")
            places = check_array(arrays.get(f"memory.{i}.index"), self.screens.places[i], "screens")
            self.screens.restore(i, places, checkpoint)

    def _restore_games(self, checkpoint: Checkpoint, arrays: dict[str, NDArray[Any]]) -> None:
        at, state = position(checkpoint), checkpoint.state
        trusted = self._trusts(checkpoint)
        for i, (game, stream) in enumerate(zip(self.games, state["games"], strict=True)):
            environment = arrays.get(f"game.{i}.environment") if trusted else None
            game.set_state(
                {
                    "stream": stream,
                    "screens": check_array(
                        arrays.get(f"game.{i}.screens"), game.buffer.screens, "states"
                    ),
                    "environment": None if environment is None else environment.tobytes(),
                }
            )
            if environment is None:
                if trusted:
                    logger.warning("This environment cannot save its state: it begins a new game.")
                game.set_mode("test" if at.phase == "test" else "train")
                remember = at.phase != "test" or self.agent.settings.remember_all
                self.agent.restart([i], remember=remember)
                state["statistics"]["running"][i] = 0.0

    def _trusts(self, checkpoint: Checkpoint) -> bool:
        """Whether to give the games' states to the emulator, which does not check them."""
        if checkpoint.ours:
            return True
        if agrees(
            f"The checkpoint in {checkpoint.folder} was not written here. Do you trust its author, "
            "and hand its games' states to the emulator?"
        ):
            return True
        logger.warning(
            "The checkpoint in %s was not written by this clone, so that its games' states are not "
            "used: new games begin.",
            checkpoint.folder,
        )
        return False


def _counted(arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Rows and scores of the statistics, if they are among the arrays. Raises ValueError."""
    if "statistics.rows" not in arrays:
        return {}
    scores = arrays["statistics.scores"]
    if scores.dtype != np.float64 or scores.ndim != 1 or len(scores) > MAX_SCORES:
        raise ValueError("its scores are of another size")
    return {"rows": from_numbers(arrays["statistics.rows"]), "scores": scores.tolist()}


def _below(prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The arrays whose names begin with `prefix`, by the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
