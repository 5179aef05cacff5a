"""Stops training when its numbers are no longer finite, before anything good is overwritten."""

from __future__ import annotations

import math

import numpy as np

from agent import Agent, Callback
from errors import Diverged
from stats import Statistics

ROUNDS = 100  # between looks at the Q-values: they are at hand, so no device is waited for


class Health(Callback):
    """Looks at the Q-values now and then, and at what a phase's row says."""

    def __init__(self, agent: Agent, stats: Statistics) -> None:
        """To be heard after `stats`."""
        self.agent = agent
        self.stats = stats
        self.rounds = 0

    def on_round(self, step: int) -> None:
        """A network with a weight that is not finite has no finite Q-values."""
        self.rounds += 1
        q = self.agent.qvalues
        if self.rounds % ROUNDS == 0 and q is not None and not np.isfinite(q).all():
            raise Diverged(f"The Q-values are {q.tolist()}: training has diverged.")

    def on_phase_end(self, phase: str, epoch: int) -> None:
        """Raise Diverged if the mean cost or the mean Q-value is not finite."""
        for row in self.stats.rows[-1:]:
            for name in ("meancost", "meanq"):
                if not math.isfinite(float(row[name])):
                    raise Diverged(f"{name} is {row[name]}: training has diverged.")
