"""Warns while it trains if most returns lie outside of what C51 can express."""

from __future__ import annotations

import logging
from itertools import accumulate

from agent import Callback, GameStep, Phase
from config import Config

logger = logging.getLogger(__name__)

STEPS = 10_000  # training steps whose returns are looked at together
MOST = 0.5  # share of them


class ValueRange(Callback):
    """Adds up the discounted rewards that follow each training step, and compares with the range.

    Rewards count as they are learned from: clipped, and until the end of the episode.
    """

    def __init__(self, config: Config) -> None:
        """Of a run with --distribution c51."""
        self.config = config
        self.training = self.warned = False
        self.rewards: dict[int, list[float]] = {}  # by game, of the episode in progress
        self.returns: list[float] = []

    def on_phase_start(self, phase: Phase) -> None:
        """Games continue from phase to phase, but not their returns."""
        self.training = phase.name == "train"
        self.rewards = {}

    def on_step(self, made: GameStep) -> None:
        """Remember its reward; at the end of an episode the returns are known."""
        if self.warned or not self.training:
            return
        c = self.config
        rewards = self.rewards.setdefault(made.game, [])
        rewards.append(min(max(made.step.reward, c.min_reward), c.max_reward))
        if made.step.ended:
            self.returns += accumulate(reversed(rewards), lambda g, r: r + c.discount_rate * g)
            del self.rewards[made.game]
            if len(self.returns) >= STEPS:
                self._compare()

    def _compare(self) -> None:
        c, returns, self.returns = self.config, self.returns, []
        outside = sum(not c.value_min <= g <= c.value_max for g in returns) / len(returns)
        if outside > MOST:
            self.warned = True
            logger.warning(
                "%.0f %% of the returns lie outside of --value_min %g to --value_max %g, which is "
                "all that c51 can express: they reach from %.3g to %.3g. Begin a run with a wider "
                "range.",
                100 * outside,
                c.value_min,
                c.value_max,
                min(returns),
                max(returns),
            )
