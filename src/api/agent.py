"""A trained agent: what it thinks of a state, and what it does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.make import LearningNetwork
from snapshot.format import Snapshot

State = NDArray[np.uint8]  # (history_length, screen_height, screen_width): what a network sees


class LoadedAgent:
    """Acts by a network that was trained before; it learns nothing more."""

    def __init__(
        self,
        network: LearningNetwork,
        *,
        path: Path,
        snapshot: Snapshot,
        action_names: Sequence[str],
        rng: np.random.Generator,
    ) -> None:
        """`rng` draws the actions of those who explore."""
        self.network = network
        self.path = path  # of the snapshot
        self.snapshot = snapshot  # epoch, and `info`: game, flags, score ...
        self.action_names = tuple(action_names)
        self.rng = rng

    def act(self, state: State, exploration_rate: float = 0.0) -> int:
        """The action with the largest Q-value, or at the `exploration_rate` (0 to 1) a random one.

        An action is the number of its name in `action_names`, and what an environment's `step`
        takes. Raises ValueError if the state has another shape or type than the network's.
        """
        q = self.q_values(state)
        if exploration_rate and self.rng.random() < exploration_rate:
            return int(self.rng.integers(len(self.action_names)))
        return int(q.argmax())

    def q_values(self, state: State) -> NDArray[np.float32]:
        """What it expects of each action, (num_actions,): a discounted sum of clipped rewards."""
        q: NDArray[np.float32] = self.network.predict(np.asarray(state)[None])[0]
        return q

    def saliency(self, state: State, action: int | None = None) -> NDArray[np.float32]:
        """Which pixels speak for an action (the one it would take, if none is given).

        (screen_height, screen_width), zero or more.
        """
        chosen = self.act(state) if action is None else action
        network: Any = self.network  # PyTorch's
        found: NDArray[np.float32] = network.saliency(np.asarray(state), chosen)
        return found
