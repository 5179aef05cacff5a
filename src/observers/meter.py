"""Measures a run every thousand steps, for TensorBoard and the JSON log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from agent import Callback, Phase
from stats import Statistics

if TYPE_CHECKING:
    from engine.inspection import Inspection

STEPS = 1000  # between measurements


class Measurement(NamedTuple):
    """Measurements of a thousand steps of a phase."""

    step: int  # in the phase
    total_train_steps: int
    steps_per_second: float
    exploration_rate: float  # of the last step
    score: float | None  # mean of the games that ended
    mean_q: float | None  # of the validation states, once they exist
    updates: Inspection | None  # of the weight updates in these steps


class Meter(Callback):
    """Measures; other callbacks read `latest` in their `on_round`.

    In the list of callbacks it comes after the statistics and before those that read it.
    """

    def __init__(self, stats: Statistics, inspect: Callable[[], Inspection | None]) -> None:
        """`inspect` returns measurements of the weight updates since its last call."""
        self.stats = stats
        self.inspect = inspect
        self.latest: Measurement | None = None  # if the last round completed a thousand steps

    def on_phase_start(self, phase: Phase) -> None:
        """Start counting: weight updates after the last measurement count for no phase."""
        self.begun: int | None = None  # steps done when counting began
        self.games = len(self.stats.scores)
        self.time = time.monotonic()
        self.inspect()

    def on_round(self, step: int) -> None:
        """Measure if a thousand steps are complete."""
        self.latest = None
        if self.begun is None:  # a resumed run starts in the middle of a phase
            self.begun = max(step - len(self.stats.running), 0)  # fewer games may play
        if step // STEPS == self.begun // STEPS:
            return
        now, stats = time.monotonic(), self.stats
        scores = stats.scores[self.games :]
        self.latest = Measurement(
            step=step,
            total_train_steps=stats.agent.total_train_steps,
            steps_per_second=(step - self.begun) / max(now - self.time, 1e-9),
            exploration_rate=stats.last_exploration_rate,
            score=sum(scores) / len(scores) if scores else None,
            mean_q=stats.mean_q() if stats.validation_states is not None else None,
            updates=self.inspect(),
        )
        self.begun, self.games, self.time = step, len(stats.scores), time.monotonic()
