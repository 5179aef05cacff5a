"""Stops training that has diverged, before it overwrites anything good."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from agent import Agent, Callback
from errors import Diverged

ROUNDS = 100  # between checks of the Q-values, which are there already: nothing is waited for


class Divergence(Callback):
    """Checks the Q-values every ROUNDS rounds."""

    def __init__(self, agent: Agent) -> None:
        """Check the Q-values by which `agent` acts."""
        self.agent = agent
        self.rounds = 0

    def on_round(self, step: int) -> None:
        """Raise Diverged if a Q-value is not finite; a weight that is not finite makes it so."""
        self.rounds += 1
        q = self.agent.qvalues
        if self.rounds % ROUNDS == 0 and q is not None and not np.isfinite(q).all():
            raise Diverged(f"The Q-values are {q.tolist()}: training has diverged.")


def check_row(rows: Iterable[dict[str, Any]]) -> None:
    """Raise Diverged if the mean cost or the mean Q-value of a phase's row is not finite."""
    for row in rows:
        for name in ("meancost", "meanq"):
            if not math.isfinite(float(row[name])):
                raise Diverged(f"{name} is {row[name]}: training has diverged.")
