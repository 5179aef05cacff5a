"""A trained agent: its actions, Q-values and saliency."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.make import LearningNetwork
from snapshot.format import Snapshot

State = NDArray[np.uint8]  # (history_length, screen_height, screen_width)


def action_number(action: int, num_actions: int) -> int:
    """The action as an int. Raises ValueError if it does not exist."""
    try:
        number = operator.index(action)
    except TypeError:  # 1.7
        number = -1
    if not 0 <= number < num_actions:
        raise ValueError(f"There is no action {action}: use 0 to {num_actions - 1}.")
    return number


class LoadedAgent:
    """Acts by the network of a snapshot. It does not learn."""

    def __init__(
        self,
        network: LearningNetwork,
        *,
        path: Path,
        snapshot: Snapshot,
        action_names: Sequence[str],
        rng: np.random.Generator,
    ) -> None:
        """`rng` draws random actions."""
        self.network = network
        self.path = path  # of the snapshot
        self.snapshot = snapshot  # with `epoch` and `info`: game, flags, score and so on
        self.action_names = tuple(action_names)
        self.rng = rng

    def act(self, state: State, exploration_rate: float = 0.0) -> int:
        """The action with the largest Q-value, or with `exploration_rate` probability a random one.

        An action is an index of `action_names`. Raises ValueError if the state has a wrong shape or
        type, or the rate is not from 0 to 1.
        """
        q = self.q_values(state)
        if not 0 <= exploration_rate <= 1:
            raise ValueError(f"exploration_rate is {exploration_rate}: use 0 to 1.")
        if exploration_rate and self.rng.random() < exploration_rate:
            return int(self.rng.integers(len(self.action_names)))
        return int(q.argmax())

    def q_values(self, state: State) -> NDArray[np.float32]:
        """The Q-value of each action, (num_actions,)."""
        q: NDArray[np.float32] = self.network.predict(np.asarray(state)[None])[0]
        return q

    def saliency(self, state: State, action: int | None = None) -> NDArray[np.float32]:
        """How much each pixel increases the Q-value of an action, by default the best one.

        (screen_height, screen_width), not negative: see nvis/saliency.py. Raises ValueError if the
        state has a wrong shape or type, or the action does not exist.
        """
        best = int(self.q_values(state).argmax())  # which also checks the state
        chosen = best if action is None else action_number(action, len(self.action_names))
        return self.network.saliency(np.ascontiguousarray(state), chosen)
