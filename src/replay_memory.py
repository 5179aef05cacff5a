"""The replay memory: it keeps every screen once and makes minibatches of transitions from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from config import ReplaySettings
from errors import UserError

MAX_DRAWS = 1000  # attempts to fill a minibatch with valid transitions
COLUMNS = ("actions", "rewards", "terminals", "begins")  # arrays with an entry for each slot

Screen = NDArray[np.uint8]  # (height, width)
Index = NDArray[np.int64]  # (n,) slots


class Minibatch(NamedTuple):
    """Transitions (s_t, a_t, R_t, s_t+n). The two states share screens, stored only once.

    R_t = r_t + gamma r_t+1 + ... + gamma^(n-1) r_t+n-1, each reward clipped. If the episode ends in
    these n steps, later rewards do not count and the discount is 0.
    """

    screens: Any  # (batch, history + n, height, width) uint8: an array, or a tensor on the GPU
    actions: NDArray[np.uint8]  # (batch,) a_t
    returns: NDArray[np.float32]  # (batch,) R_t
    discounts: NDArray[np.float64]  # (batch,) gamma^n, the weight of s_t+n; 0 if it is terminal
    indices: Index  # (batch,) slots t
    weights: NDArray[np.float32]  # (batch,) factors of each transition's gradient
    history: int  # screens in a state
    wants_errors: bool = False  # whether the sampler learns from the TD errors

    @property
    def states(self) -> NDArray[np.uint8]:
        """s_t, (batch, history, height, width) uint8."""
        return _array(self.screens[:, : self.history])

    @property
    def next_states(self) -> NDArray[np.uint8]:
        """s_t+n, (batch, history, height, width) uint8."""
        return _array(self.screens[:, -self.history :])


def _array(screens: Any) -> NDArray[np.uint8]:
    return screens if isinstance(screens, np.ndarray) else screens.cpu().numpy()


class ScreenStore(Protocol):
    """Keeps screens by slot. The slots of a game are written in order."""

    def write(self, slot: int, screen: Screen) -> None:
        """Keep `screen` in `slot`, in place of an older one."""

    def windows(self, ends: Index, out: NDArray[np.uint8]) -> Any:
        """The n screens up to each of the slots `ends`, (batch, n, height, width) like `out`.

        Returns `out` filled with them, or a tensor on the GPU.
        """


class Sampler(Protocol):
    """Decides which transitions are drawn for a minibatch."""

    wants_errors: bool  # whether `update` is to be called

    def draw(self, memory: ReplayMemory) -> tuple[Index, NDArray[np.float32]]:
        """The slots (batch,) of valid transitions and their importance weights (batch,)."""

    def update(self, index: Index, errors: NDArray[np.float32]) -> None:
        """Learn the absolute TD errors (n,) of transitions that were drawn."""

    def get_state(self) -> dict[str, Any]:
        """Everything that later draws depend on: numbers, texts, arrays, states of streams."""

    def set_state(self, state: dict[str, Any], memory: ReplayMemory) -> None:
        """Continue from a saved state with a `memory` that was restored before.

        Raises ValueError if the two do not fit.
        """


class Uniform:
    """Draws every valid transition with equal probability, with replacement."""

    wants_errors = False

    def __init__(self, rng: np.random.Generator) -> None:
        """`rng` draws the slots."""
        self.rng = rng

    def draw(self, memory: ReplayMemory) -> tuple[Index, NDArray[np.float32]]:
        """See Sampler."""
        first, counts = memory.candidates()
        ends = np.cumsum(counts)
        shift = first - (ends - counts)  # from a candidate's number to its slot

        def propose(size: int) -> Index:
            number = self.rng.integers(ends[-1], size=size)
            return number + shift[ends.searchsorted(number, side="right")]

        index = memory.draw_valid(propose)
        return index, np.ones(len(index), np.float32)

    def update(self, index: Index, errors: NDArray[np.float32]) -> None:
        """Nothing to do."""

    def get_state(self) -> dict[str, Any]:
        """See Sampler."""
        return {"random": self.rng.bit_generator.state}

    def set_state(self, state: dict[str, Any], memory: ReplayMemory) -> None:
        """See Sampler."""
        self.rng.bit_generator.state = state["random"]


class ReplayMemory:
    """A ring of slots for each game; slot t holds a_t, r_t, terminal_t and the screen *after* a_t.

    Slots are numbered across all games: slot t of game g is number g * slots + t.

    A transition t of n steps needs the window of screens t - history .. t + n - 1. It is valid if
    the write position is not inside the window, no episode begins inside the state s_t, and none
    begins within the n steps unless a terminal step came before.

    With `zero_history` (DeepMind's Lua code) the first screen of an episode has a slot of its own
    that is not a transition, and the screens of a state before it are black.
    """

    def __init__(self, settings: ReplaySettings, *, screens: ScreenStore, sampler: Sampler) -> None:
        """An empty memory that keeps its screens in `screens` and draws with `sampler`."""
        self.settings = settings
        self.screens = screens
        self.sampler = sampler
        self.batch_size = settings.batch_size
        self.history = settings.history_length
        self.n = settings.n_step
        self.slots = settings.replay_size // settings.num_envs  # of each game
        shape = (settings.num_envs, self.slots)
        self.actions = np.zeros(shape, np.uint8)
        self.rewards = np.zeros(shape, np.float32)
        self.terminals = np.zeros(shape, np.bool_)
        self.begins = np.zeros(shape, np.bool_)  # the screen does not follow the previous one
        self.added = np.zeros(settings.num_envs, np.int64)  # steps so far, overwritten ones too
        self.next_begins = np.ones(settings.num_envs, np.bool_)  # the next slot begins an episode
        # The block of screens of a minibatch; every sample reuses it.
        size = (self.history + self.n, settings.screen_height, settings.screen_width)
        self.block = np.empty((self.batch_size, *size), np.uint8)

    @property
    def count(self) -> int:
        """Slots filled."""
        return int(np.minimum(self.added, self.slots).sum())

    def columns(self, game: int) -> dict[str, NDArray[Any]]:
        """The entries of a game's filled slots by the column's name: views, for checkpoints."""
        filled = min(int(self.added[game]), self.slots)
        return {name: getattr(self, name)[game, :filled] for name in COLUMNS}

    @property
    def ready(self) -> bool:
        """Whether it holds more steps than a minibatch, and enough of one game for a transition."""
        longest = int(np.minimum(self.added, self.slots).max())
        return self.count > self.batch_size and longest >= self.history + self.n

    def begin_episode(self, game: int, screen: Screen | None = None) -> None:
        """The screen that `game` adds next does not follow its last one.

        With `zero_history`, `screen` is the first screen of the new episode.
        """
        self.next_begins[game] = True
        if self.settings.zero_history and screen is not None:
            self.add(game, 0, 0.0, screen, terminal=False)

    def add(self, game: int, action: int, reward: float, screen: Screen, terminal: bool) -> None:
        """Remember a step: action, reward, the screen after it, whether it ended the episode."""
        t = int(self.added[game]) % self.slots
        self.actions[game, t] = action
        self.rewards[game, t] = reward
        self.terminals[game, t] = terminal
        self.begins[game, t] = self.next_begins[game]
        self.screens.write(game * self.slots + t, screen)
        self.next_begins[game] = terminal
        self.added[game] += 1

    def sample(self) -> Minibatch:
        """A minibatch; its screens are valid until the next `sample`."""
        index, weights = self.sampler.draw(self)
        screens = self.screens.windows(index + self.n - 1, self.block)
        if self.settings.zero_history:
            self._blacken(screens, index)
        returns, discounts = self._returns(index)
        actions = self.actions.ravel()[index]
        wanted = self.sampler.wants_errors
        return Minibatch(screens, actions, returns, discounts, index, weights, self.history, wanted)

    def _returns(self, index: Index) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """R_t and the discount of s_t+n."""
        s = self.settings
        steps = index[:, None] + np.arange(self.n)  # (batch, n)
        alive = np.cumprod(~self.terminals.ravel()[steps], axis=1)  # after each of the steps
        before = np.concatenate([np.ones_like(alive[:, :1]), alive[:, :-1]], axis=1)
        rewards = np.clip(self.rewards.ravel()[steps], s.min_reward, s.max_reward)
        returns = (rewards * before * s.discount_rate ** np.arange(self.n)).sum(axis=1)
        return returns.astype(np.float32), s.discount_rate**self.n * alive[:, -1]

    def candidates(self) -> tuple[Index, Index]:
        """For each game, the first slot that may be a transition, and how many follow from it."""
        filled = np.minimum(self.added, self.slots)
        counts = np.maximum(filled - self.history - (self.n - 1), 0)
        return np.arange(len(counts)) * self.slots + self.history, counts

    def draw_valid(self, propose: Callable[[int], Index]) -> Index:
        """`batch_size` valid slots; `propose` draws as many candidates as it is asked for."""
        chosen = np.empty(0, np.int64)
        for _ in range(MAX_DRAWS):
            drawn = propose(self.batch_size)
            chosen = np.concatenate([chosen, drawn[self.valid(drawn)]])
            if len(chosen) >= self.batch_size:
                return chosen[: self.batch_size]
        raise UserError(
            f"The replay memory has no {self.history + self.n} screens in a row from one episode: "
            "use more --random_steps, a smaller --history_length or --n_step, or more "
            "--max_episode_frames if set."
        )

    def valid(self, index: Index) -> NDArray[np.bool_]:
        """Which of the slots (n,), all of them candidates, are transitions: (n,) bool."""
        begins, terminals, game = self.begins.ravel(), self.terminals.ravel(), index // self.slots
        current = game * self.slots + (self.added % self.slots)[game]  # the slot written next
        cut = (index - self.history < current) & (current < index + self.n)
        broken = begins[index]
        if not self.settings.zero_history:
            # NB! begins[t - history] is the first screen of s_t and may begin an episode.
            broken = begins[index[:, None] + np.arange(1 - self.history, 1)].any(axis=1)
        if self.n > 1:
            later = index[:, None] + np.arange(1, self.n)
            ended = np.logical_or.accumulate(terminals[later - 1], axis=1)
            broken = broken | (begins[later] & ~ended).any(axis=1)
        return ~(cut | broken)

    def _blacken(self, block: Any, index: Index) -> None:
        """Blacken the screens of earlier episodes in the minibatch's `block`."""
        window = self.begins.ravel()[index[:, None] + np.arange(1 - self.history, 1)]
        black = np.logical_or.accumulate(window[:, ::-1], axis=1)[:, ::-1]
        block[np.nonzero(black)] = 0
