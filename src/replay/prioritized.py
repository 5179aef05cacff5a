"""Prioritized replay (Schaul et al. 2016, arXiv:1511.05952), proportional, with a sum tree."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from config import ReplaySettings
from replay_memory import Index, ReplayMemory
from schema import COUNT, FINITE

EPSILON = 1e-6  # so that a transition without an error is still drawn (section 3.3)
AT_ONCE = 1 << 14  # slots checked at once, which takes 30 MB if --n_step is 100


class SumTree:
    """Priorities of slots; each node above is the sum of its two children.

    Sums are always computed from the children and never updated by differences. So they depend on
    the priorities only, and a checkpoint needs only these.
    """

    def __init__(self, size: int) -> None:
        """Zero for all slots."""
        self.size = size
        self.depth = max(1, (size - 1).bit_length())
        self.first = 1 << self.depth  # the first leaf; node n has the children 2n and 2n + 1
        self.nodes = np.zeros(2 * self.first, np.float64)

    @property
    def total(self) -> float:
        """The sum of all priorities."""
        return float(self.nodes[1])

    @property
    def priorities(self) -> NDArray[np.float64]:
        """The priorities of all slots, (size,): a view."""
        return self.nodes[self.first : self.first + self.size]

    def set(self, slots: Index, priorities: NDArray[np.float64]) -> None:
        """Set the priorities of `slots` (n,); if a slot is repeated, the last one counts."""
        node = slots + self.first
        self.nodes[node] = priorities
        for _ in range(self.depth):
            node = node >> 1
            self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1]

    def find(self, values: NDArray[np.float64]) -> Index:
        """The slots (n,) at which the cumulative sum of priorities exceeds `values` (n,)."""
        node = np.ones(len(values), np.int64)
        left = values.copy()
        for _ in range(self.depth):
            node *= 2
            below = self.nodes[node]
            right = left >= below
            # NB! Rounding may point into an empty branch.
            right &= self.nodes[node + 1] > 0
            left -= below * right
            node += right
        return node - self.first


class Prioritized:
    """A Sampler (replay_memory.py): P(t) = p_t^a / sum of p_k^a, p_t = |delta_t| + epsilon.

    New transitions get the largest priority so far, so that each is likely to be drawn once. Slots
    that are not transitions have priority 0.
    """

    wants_errors = True

    def __init__(self, settings: ReplaySettings, rng: np.random.Generator) -> None:
        """`rng` draws the transitions."""
        self.settings = settings
        self.rng = rng
        self.slots = settings.replay_size // settings.num_envs
        self.history, self.n = settings.history_length, settings.n_step
        self.tree = SumTree(self.slots * settings.num_envs)
        self.largest = 1.0  # p^a
        self.draws = 0
        self.seen = np.zeros(settings.num_envs, np.int64)  # steps of each game at the last draw

    def draw(self, memory: ReplayMemory) -> tuple[Index, NDArray[np.float32]]:
        """Slots and importance weights w = (N P(t))^-b / max w   (section 3.4)."""
        self._enter(memory)
        tree = self.tree

        def propose(size: int) -> Index:
            if not tree.total:
                return np.empty(0, np.int64)
            # A range of its own for each transition of the minibatch (appendix B.2.1), in random
            # order: rounding may point beside a transition, and what is drawn instead is any of it.
            stratum = self.rng.permutation(size)
            return tree.find((stratum + self.rng.random(size)) / size * tree.total)

        index = memory.draw_valid(propose)
        # N and the sum of all priorities are common factors of all weights.
        weights = tree.priorities[index] ** -self._exponent()
        self.draws += 1
        return index, (weights / weights.max()).astype(np.float32)

    def update(self, index: Index, errors: NDArray[np.float32]) -> None:
        """Make the absolute TD errors of transitions their priorities."""
        # NB! Steps written since the draw may have cut a transition, which then keeps priority 0.
        # With --overlap errors come a draw later: a slot that was overwritten meanwhile gets the
        # error of its old transition. In a large memory this is rare.
        # Errors that are not finite are ignored here: a callback reports that training diverged.
        kept = (self.tree.priorities[index] > 0) & (errors >= 0) & (errors < np.inf)
        sizes = errors[kept].astype(np.float64) + EPSILON
        priorities = np.power(sizes, self.settings.priority_exponent, dtype=np.float64)
        self.largest = float(priorities.max(initial=self.largest))
        self.tree.set(index[kept], priorities)

    def _enter(self, memory: ReplayMemory) -> None:
        """Give new transitions their priority, and remove it from those that new steps cut.

        A step completes the transition n - 1 slots before it and cuts the windows of the `history`
        slots after it. All transitions from there to here are new ones.
        """
        touched = self._touched(memory)
        self.seen[:] = memory.added
        valid = self._valid(touched, memory)
        self.tree.set(touched, np.where(valid, self.largest, 0.0))

    def _touched(self, memory: ReplayMemory) -> Index:
        """The slots whose priorities the steps since the last draw change, in order."""
        around = np.arange(1 - self.n, self.history + 1)
        written = []
        for game, (seen, added) in enumerate(zip(self.seen, memory.added, strict=True)):
            new = np.arange(max(seen, added - self.slots), added)
            written.append(game * self.slots + (new[:, None] + around) % self.slots)
        return np.unique(np.concatenate(written))

    def _valid(self, index: Index, memory: ReplayMemory) -> NDArray[np.bool_]:
        """Which of the slots (n,), of any steps so far or next to them, are transitions."""
        t = index % self.slots
        valid = (t >= self.history) & (t <= self.slots - self.n)
        valid[valid] = memory.valid(index[valid])
        return valid

    def _exponent(self) -> float:
        s = self.settings
        if not s.importance_steps:
            return s.importance_exponent
        done = min(self.draws / s.importance_steps, 1.0)
        return s.importance_exponent + (1 - s.importance_exponent) * done

    def get_state(self) -> dict[str, Any]:
        """See Sampler."""
        return {
            "random": self.rng.bit_generator.state,
            "largest": self.largest,
            "draws": self.draws,
            "seen": self.seen.copy(),
            "priorities": self.tree.priorities.copy(),
        }

    def set_state(self, state: dict[str, Any], memory: ReplayMemory) -> None:
        """See Sampler."""
        seen, priorities, largest, draws = (
            state[name] for name in ("seen", "priorities", "largest", "draws")
        )
        if priorities.shape != self.tree.priorities.shape or seen.shape != self.seen.shape:
            raise ValueError("the replay memory has another size")
        if seen.dtype != np.int64 or (seen < 0).any() or (seen > memory.added).any():
            raise ValueError("its numbers of steps are not those of the replay memory")
        if type(draws) is not int or not 0 <= draws <= COUNT.high:
            raise ValueError("its number of draws is not possible")
        # At first it is 1. The sum of all priorities must be finite, too.
        if type(largest) is not float or not 1 <= largest <= FINITE.high / self.tree.size:
            raise ValueError("its largest priority is not possible")
        smallest = 0.999 * EPSILON**self.settings.priority_exponent  # without an error; rounded
        fits = (priorities == 0) | ((priorities >= smallest) & (priorities <= largest))
        if priorities.dtype != np.float64 or not fits.all():
            raise ValueError("its priorities are not all possible")
        self.seen = seen.copy()
        self._check_transitions(priorities, memory)
        self.rng.bit_generator.state = state["random"]
        self.largest, self.draws = largest, draws
        self.tree.set(np.arange(self.tree.size), priorities)

    def _check_transitions(self, priorities: NDArray[np.float64], memory: ReplayMemory) -> None:
        """Raise ValueError if slots have priorities that the next draw will neither use nor set."""
        index = np.setdiff1d(np.flatnonzero(priorities), self._touched(memory), assume_unique=True)
        filled = np.minimum(memory.added, self.slots)[index // self.slots]
        fits = index % self.slots + self.n <= filled
        for part in np.array_split(np.arange(len(index)), len(index) // AT_ONCE + 1):
            fits[part] &= self._valid(index[part], memory)
        if not fits.all():
            raise ValueError("it has priorities of steps that are no transitions")
