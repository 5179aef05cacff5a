"""A trained agent: its actions, Q-values and saliency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.make import LearningNetwork
from nvis.saliency import Saliency
from snapshot.format import Snapshot

State = NDArray[np.uint8]  # (history_length, screen_height, screen_width)


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
        type.
        """
        q = self.q_values(state)
        if exploration_rate and self.rng.random() < exploration_rate:
            return int(self.rng.integers(len(self.action_names)))
        return int(q.argmax())

    def q_values(self, state: State) -> NDArray[np.float32]:
        """The Q-value of each action, (num_actions,)."""
        q: NDArray[np.float32] = self.network.predict(np.asarray(state)[None])[0]
        return q

    def saliency(self, state: State, action: int | None = None) -> NDArray[np.float32]:
        """How much each pixel increases the Q-value of an action, by default the best one.

        (screen_height, screen_width), not negative: see nvis/saliency.py.
        """
        chosen = self.act(state) if action is None else action
        network: Any = self.network
        # Neon's networks have none of their own; their layers follow one another.
        compute = getattr(network, "saliency", None) or Saliency(network.layers())
        found: NDArray[np.float32] = compute(np.asarray(state), chosen)
        return found
