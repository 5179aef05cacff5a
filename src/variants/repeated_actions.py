"""Temporally extended exploration: a random action is repeated for several steps.

(Dabney, Ostrovski and Barreto 2021, "Temporally-Extended Epsilon-Greedy Exploration",
arXiv:2006.01782) A random action of one step seldom leads anywhere that the agent would not go by
itself. Most actions here are short too, but some last for hundreds of steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from config import Config

LONGEST = 10_000  # steps; longer ones, 1 in 16,000 with an exponent of 2, are cut


class RepeatedActions:
    """How long each game goes on with the random action that it has begun."""

    def __init__(self, games: int, *, exponent: float, rng: np.random.Generator) -> None:
        """The number of steps n is drawn from `rng` with probability ~ 1 / n^exponent."""
        self.exponent = exponent
        self.rng = rng
        self.actions = np.zeros(games, np.int64)
        self.left = np.zeros(games, np.int64)  # steps; 0: the game does not explore

    def extend(
        self, games: Sequence[int], begins: NDArray[np.bool_], actions: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which of the games explore in this step, and by which actions, both (games,).

        `begins` are those that would begin to explore with `actions` if they did not explore yet.
        """
        i = np.asarray(games)
        new = begins & (self.left[i] == 0)
        self.actions[i[new]] = actions[new]
        lengths = self.rng.zipf(self.exponent, np.count_nonzero(new))
        self.left[i[new]] = np.minimum(lengths, LONGEST)
        explores = self.left[i] > 0
        self.left[i] -= explores
        return explores, np.where(explores, self.actions[i], actions)


def make_repeated(config: Config, rng: np.random.Generator) -> RepeatedActions | None:
    """Repeated actions if the flags say so."""
    if not config.exploration_zeta:
        return None
    return RepeatedActions(config.num_envs, exponent=config.exploration_zeta, rng=rng)
