"""What a run is like every thousand steps, measured for those who watch it from elsewhere."""

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
    """A thousand steps of a phase."""

    step: int  # done in the phase
    total_train_steps: int
    steps_per_second: float
    exploration_rate: float  # of the last step
    score: float | None  # mean of the games that ended in them
    mean_q: float | None  # of the validation states, once there are any
    updates: Inspection | None  # of the weight updates in them


class Meter(Callback):
    """Measures; those that want to know look at `latest` in their `on_round`.

    It stands behind the statistics and before those that look.
    """

    def __init__(self, stats: Statistics, inspect: Callable[[], Inspection | None]) -> None:
        """`inspect` tells of the weight updates since its last call."""
        self.stats = stats
        self.inspect = inspect
        self.latest: Measurement | None = None  # if the round that is over completes a thousand

    def on_phase_start(self, phase: Phase) -> None:
        """Begin to count."""
        self.begun: int | None = None  # steps done when counting began
        self.games = len(self.stats.scores)
        self.time = time.monotonic()

    def on_round(self, step: int) -> None:
        """Measure, if a thousand steps are over."""
        self.latest = None
        if self.begun is None:  # a resumed run begins in the middle of a phase
            self.begun = step - len(self.stats.running)
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
            # NB! The first call draws the states from the replay memory, which is not ours to do.
            mean_q=stats.mean_q() if stats.validation_states is not None else None,
            updates=self.inspect(),
        )
        self.begun, self.games, self.time = step, len(stats.scores), time.monotonic()
