"""Statistics: the callback that counts, and writes a CSV row for each phase."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent import Agent, Callback, GameStep, Phase
from atomic import csv_bytes, free_name, read_whole, write_atomically
from engine.make import LearningNetwork
from errors import UserError
from replay_memory import ReplayMemory
from runs.owed import Owed
from runs.results import CSV_BYTES, ROW, read_rows

logger = logging.getLogger(__name__)

COLUMNS = tuple(ROW)
COUNTED = ("rows", "phase", "num_steps", "scores", "running", "last_exploration_rate")


class Statistics(Callback):
    """Scores of the games that ended in a phase, the loss, and Q-values of fixed states.

    A game's score is the sum of its rewards. Where a lost life ends an episode, it is the score of
    that life. Of a game that began before the phase, only rewards in the phase count.
    """

    def __init__(
        self,
        agent: Agent,
        network: LearningNetwork | None,
        memory: ReplayMemory | None,
        csv_file: Path | None = None,
        owed: Owed | None = None,
    ) -> None:
        """Rows are written to `csv_file`, after those that a resumed run keeps.

        If that fails, the file is among those `owed`.
        """
        self.agent = agent
        self.network = network
        self.memory = memory
        self.csv_file = csv_file
        self.resumable = False  # whether an interrupted phase can be resumed and gets its row then
        self.rows: list[dict[str, Any]] = []
        self.owed = owed or Owed()
        self.validation_states: NDArray[np.uint8] | None = None
        self.start_time = time.monotonic()
        self.phase = ("", 0)  # with its epoch
        self.updates_before = 0  # weight updates before the phase, or before it was resumed
        self.reset()

    def continue_after(self, epoch: int) -> None:
        """Keep the rows that an earlier run wrote up to `epoch`, and only these in its file.

        A file with later rows is copied first. Raises UserError if it is not the CSV of a run.
        """
        if not self.csv_file or not self.csv_file.exists():
            return
        try:
            rows = read_rows(self.csv_file)
        except (OSError, ValueError):
            raise UserError(
                f"{self.csv_file} is not the CSV of an earlier run: move it away, or choose "
                "another --csv_file."
            ) from None
        kept = [row for row in rows if row["epoch"] <= epoch]
        if len(kept) < len(rows):
            name = f"{self.csv_file.name}.before_epoch_{epoch + 1}"
            aside = free_name(self.csv_file.with_name(name))
            write_atomically(aside, read_whole(self.csv_file, CSV_BYTES))
            logger.info("The rows with later epochs than %d are kept in %s", epoch, aside)
        self.rows = kept
        self.start_time -= kept[-1]["total_time"] if kept else 0.0
        self.write()

    def reset(self) -> None:
        """Forget the previous phase."""
        self.num_steps = 0
        self.scores: list[float] = []  # of the games that ended
        self.running = [0.0] * len(self.agent.games)  # of those not ended yet
        self.last_exploration_rate = 1.0
        self.phase_start_time = time.monotonic()

    def on_phase_start(self, phase: Phase) -> None:
        """Log the phase; count from 0, or continue with the phase that a resumed run was in."""
        epoch = f"Epoch {phase.epoch}: " if phase.epoch else ""
        steps = "whole games" if phase.games else f"{phase.steps} steps"
        what = "filling the replay memory with the loaded policy" if phase.refills else phase.name
        logger.info("%s%s, %s", epoch, what, steps)
        if self.phase != (phase.name, phase.epoch):
            self.phase = (phase.name, phase.epoch)
            self.reset()
        self.updates_before = self.network.train_iterations if self.network else 0

    def on_step(self, made: GameStep) -> None:
        """Count a step. The no-op steps that begin an episode and their rewards do not count."""
        self.num_steps += 1
        if made.game == 0:  # with --exploration_spread it explores most
            self.last_exploration_rate = made.exploration_rate
        self.running[made.game] += made.step.reward
        if made.step.ended:
            self.scores.append(self.running[made.game])
            self.running[made.game] = 0.0

    def on_phase_end(self, phase: Phase) -> None:
        """Write the phase's row and log it."""
        if self.agent.interrupted and self.resumable:
            # NB! A checkpoint may still have to be written: nothing that it contains changes here.
            logger.info("  %s", self.score())
            return
        self._choose_validation_states()
        if phase.refills:
            return
        row = self.row(phase.name, phase.epoch)
        self.rows.append(row)
        self.write()
        told = ["%(score)s"]
        if self.validation_states is not None:
            told.append("mean Q %(meanq).3f")
        if phase.name == "train":
            learned = row["meancost"] or row["weight_updates"] > self.updates_before
            told.append("loss %(meancost).4f" if learned else "no weight updates")
        told.append("%(steps_per_second).0f steps/s")
        logger.info("  " + ", ".join(told), row | {"score": self.score()})

    def score(self) -> str:
        """The scores of the phase so far, in words."""
        scores, word = self.scores, "game" if self.phase[0] in ("test", "play") else "episode"
        if not scores:
            return f"no {word} ended, score so far {fmean(self.running):.10g}"
        return (
            f"{len(scores)} {word}{'s' * (len(scores) > 1)}, average score {fmean(scores):.2f} "
            f"({min(scores):.10g} to {max(scores):.10g})"
        )

    def row(self, phase: str, epoch: int) -> dict[str, Any]:
        """The phase so far, by column name; if no game has ended, scores of the unfinished ones."""
        scores = self.scores or [fmean(self.running)]
        now = time.monotonic()
        phase_time = now - self.phase_start_time
        return dict(
            epoch=epoch,
            phase=phase,
            steps=self.num_steps,
            nr_games=len(self.scores),
            average_reward=fmean(scores),
            min_game_reward=min(scores),
            max_game_reward=max(scores),
            last_exploration_rate=self.last_exploration_rate,
            total_train_steps=self.agent.total_train_steps,
            replay_memory_count=self.memory.count if self.memory else 0,
            meanq=self.mean_q(),
            meancost=self.network.read_cost() if self.network else 0.0,
            weight_updates=self.network.train_iterations if self.network else 0,
            total_time=now - self.start_time,
            epoch_time=phase_time,
            steps_per_second=self.num_steps / phase_time if phase_time else 0.0,
        )

    def mean_q(self) -> float:
        """Mean over the validation states of the largest Q-value; 0 before there are any."""
        if self.validation_states is None or not self.network:
            return 0.0
        return float(self.network.predict(self.validation_states).max(axis=1).mean())

    def _choose_validation_states(self) -> None:
        """Draw a minibatch, which is kept, after the first phase that has filled the memory."""
        memory = self.memory
        if self.validation_states is None and memory and memory.ready:
            self.validation_states = memory.sample().states.copy()

    def get_state(self) -> dict[str, Any]:
        """Everything counted so far, except the validation states."""
        now = time.monotonic()
        return {name: getattr(self, name) for name in COUNTED} | {
            "total_time": now - self.start_time,
            "phase_time": now - self.phase_start_time,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue counting from a saved state; rows written after it are removed from the CSV."""
        for name in COUNTED:
            setattr(self, name, state[name])
        name, epoch = state["phase"]
        self.phase = (str(name), int(epoch))
        now = time.monotonic()
        self.start_time = now - state["total_time"]
        self.phase_start_time = now - state["phase_time"]
        self.write()

    def write(self) -> None:
        """Write all rows; if that fails, the old file stays and this one is owed."""
        if self.csv_file:
            self.owed.write(self.csv_file, csv_bytes(COLUMNS, self.rows))
