"""Warns if a network has died: whatever it sees, its Q-values are the same, and it cannot recover.

Large steps can make all units of a layer inactive for every state. No gradient passes them then. It
happens most easily where all screens are bright and similar, such as in Pong (docs/experiments.md).
"""

from __future__ import annotations

import logging

import numpy as np

from agent import Callback, Phase
from engine.make import LearningNetwork
from stats import Statistics

logger = logging.getLogger(__name__)

STATES = 32  # of those whose Q-values the statistics report
SAME = 1e-5  # the Q-values of an action differ by at most this share of the largest


class DeadNetwork(Callback):
    """Looks at the Q-values after each training phase."""

    def __init__(self, network: LearningNetwork, stats: Statistics) -> None:
        """Of the states that `stats` keeps."""
        self.network, self.stats = network, stats
        self.warned = False

    def on_phase_end(self, phase: Phase) -> None:
        """Warn once."""
        states = self.stats.validation_states
        if self.warned or phase.name != "train" or states is None:
            return
        q = self.network.predict(states[:STATES])  # (STATES, num_actions)
        if np.ptp(q, axis=0).max() <= SAME * np.abs(q).max():
            self.warned = True
            if (states[:STATES] == states[0]).all():
                logger.warning(
                    "All states look the same: check what the environment's screen shows."
                )
                return
            logger.warning(
                "The network has died: its Q-values are the same for all states, and it cannot "
                "learn any more. Begin again with a smaller --learning_rate, with --init uniform, "
                "or with another --random_seed."
            )
