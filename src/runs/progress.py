"""The progress bar: steps done, steps a second, the score so far, the time left."""

from __future__ import annotations

import logging
import sys
import time

from tqdm import tqdm

from agent import Callback, Phase
from stats import Statistics

logger = logging.getLogger(__name__)

BAR_SECONDS = 0.2  # between changes of the bar
LINE_SECONDS = 60.0  # between lines where there is no terminal


class Progress(Callback):
    """A bar a phase on a terminal; elsewhere a plain line now and then."""

    def __init__(self, statistics: Statistics) -> None:
        """The score is the one `statistics` counts."""
        self.statistics = statistics
        self.terminal = sys.stderr.isatty()
        self.bar: tqdm[None] | None = None
        self.next = 0.0

    def on_phase_start(self, phase: Phase) -> None:
        """A new bar."""
        self.steps = phase.steps
        self.label = f"{phase.name} {phase.epoch}" if phase.epoch else phase.name
        self.begun: int | None = None  # steps done before a resumed run was interrupted
        self.started = time.monotonic()
        self.next = self.started + (BAR_SECONDS if self.terminal else LINE_SECONDS)
        if self.terminal:
            self.bar = tqdm(
                total=phase.steps or None,
                desc=self.label,
                unit=" steps",
                leave=False,
                dynamic_ncols=True,
            )

    def on_round(self, step: int) -> None:
        """Say how far it is, now and then."""
        if self.begun is None:
            self.begun = step
            if self.bar is not None:
                self.bar.initial = self.bar.n = step
        now = time.monotonic()
        if now < self.next:
            return
        if self.bar is not None:
            self.next = now + BAR_SECONDS
            self.bar.set_postfix_str(self._score(), refresh=False)
            self.bar.update(step - self.bar.n)
            return
        self.next = now + LINE_SECONDS
        rate = (step - self.begun) / (now - self.started)
        left = f", {(self.steps - step) / rate / 60:.0f} min left" if self.steps and rate else ""
        of = f" of {self.steps}" if self.steps else ""
        logger.info(
            "  %s: step %d%s, %.0f steps/s, %s%s", self.label, step, of, rate, self._score(), left
        )

    def on_phase_end(self, phase: Phase) -> None:
        """The bar goes; the phase's result stays."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _score(self) -> str:
        scores = self.statistics.scores
        if not scores:
            return f"score {self.statistics.running[0]:g}"
        return f"score {sum(scores) / len(scores):.2f} ({len(scores)} games)"
