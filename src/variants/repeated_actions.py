"""Temporally extended exploration: a random action is repeated for several steps.

(Dabney, Ostrovski and Barreto 2021, "Temporally-Extended Epsilon-Greedy Exploration",
arXiv:2006.01782) A random action of one step seldom leads anywhere that the agent would not go by
itself. Most actions here are short too, but some last for hundreds of steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config import Config

LONGEST = 10_000  # steps; longer ones, 1 in 16,000 with an exponent of 2, are cut


class RepeatedActions:
    """How long each game goes on with the random action that it has begun."""

    def __init__(
        self, games: int, *, num_actions: int, exponent: float, rng: np.random.Generator
    ) -> None:
        """The number of steps n is drawn from `rng` with probability ~ 1 / n^exponent."""
        self.num_actions = num_actions
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

    def get_state(self) -> dict[str, NDArray[np.int64]]:
        """Everything that later actions depend on, apart from `rng`, as arrays by name."""
        return {"actions": self.actions, "left": self.left}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from a saved state. Raises ValueError if it is not one of these games."""
        found = [np.asarray(state.get(name)) for name in ("actions", "left")]
        if any(each.shape != self.left.shape or each.dtype != np.int64 for each in found):
            raise ValueError("its repeated actions are of another number of games")
        actions, left = found
        if (actions < 0).any() or (actions >= self.num_actions).any() or (left < 0).any():
            raise ValueError("it repeats actions that the game does not have")
        self.actions[:], self.left[:] = actions, left


def make_repeated(
    config: Config, num_actions: int, rng: np.random.Generator
) -> RepeatedActions | None:
    """Repeated actions if the flags say so."""
    if not config.exploration_zeta:
        return None
    exponent = config.exploration_zeta
    return RepeatedActions(config.num_envs, num_actions=num_actions, exponent=exponent, rng=rng)
