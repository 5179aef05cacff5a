"""The progress bar: steps done, steps per second, the score so far, the time left."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence

from tqdm import tqdm

from agent import Callback, Phase
from runs.forecast import duration
from runs.plan import Planned
from stats import Statistics

logger = logging.getLogger(__name__)

BAR_SECONDS = 0.2  # between changes of the bar
LINE_SECONDS = 60.0  # between lines if there is no terminal


class Progress(Callback):
    """A progress bar for each phase on a terminal; otherwise a plain line every minute."""

    def __init__(
        self, statistics: Statistics, todo: Sequence[Planned], pace: Mapping[str, float]
    ) -> None:
        """The score is taken from `statistics`.

        `todo` are the remaining phases. `pace` are the seconds per step by the name of the phase,
        as far as they were measured.
        """
        self.statistics = statistics
        self.todo = list(todo)
        self.pace = dict(pace)
        self.terminal = sys.stderr.isatty()
        self.plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        self.bar: tqdm[None] | None = None
        self.next = 0.0

    def on_phase_start(self, phase: Phase) -> None:
        """A new bar."""
        self.phase = phase
        self.todo = [planned for planned in self.todo if planned.phase != phase]
        self.label = f"{phase.name} {phase.epoch}" if phase.epoch else phase.name
        self.begun: int | None = None  # steps done before a resumed run was interrupted
        self.step = 0
        self.started = time.monotonic()
        self.next = self.started + (BAR_SECONDS if self.terminal else LINE_SECONDS)
        if self.terminal:
            self.bar = tqdm(
                total=phase.steps or None,
                desc=self.label,
                unit=" steps",
                leave=False,
                dynamic_ncols=True,
                ascii=self.plain or None,
            )

    def on_round(self, step: int) -> None:
        """Update the bar, or print a line if one is due."""
        if self.begun is None:
            self.begun = step
            if self.bar is not None:
                self.bar.initial = self.bar.n = step
        self.step = step
        now = time.monotonic()
        if now < self.next:
            return
        rate = (step - self.begun) / (now - self.started)
        left = (self.phase.steps - step) / rate if self.phase.steps and rate else None
        whole = self._left_of_run(left)
        if self.bar is not None:
            self.next = now + BAR_SECONDS
            run = f", {duration(whole)} of the run left" if whole is not None else ""
            self.bar.set_postfix_str(self.statistics.score() + run, refresh=False)
            self.bar.update(step - self.bar.n)
            return
        self.next = now + LINE_SECONDS
        run = f", {duration(whole)} in the run" if whole is not None else ""
        logger.info(
            "  %s: step %d%s, %.0f steps/s, %s%s",
            self.label,
            step,
            f" of {self.phase.steps}" if self.phase.steps else "",
            rate,
            self.statistics.score(),
            f", {duration(left)} left in the phase{run}" if left is not None else "",
        )

    def on_phase_end(self, phase: Phase) -> None:
        """Remove the bar, and remember the pace of the phase."""
        if self.begun is not None and self.step > self.begun:
            self.pace[phase.name] = (time.monotonic() - self.started) / (self.step - self.begun)
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _left_of_run(self, phase_left: float | None) -> float | None:
        """Seconds; None if unknown, or if no phase follows this one."""
        if phase_left is None or not self.todo:
            return None
        if any(planned.phase.name not in self.pace for planned in self.todo):
            return None
        later = (self.pace[p.phase.name] * (p.phase.steps - p.start) for p in self.todo)
        return phase_left + sum(later)
