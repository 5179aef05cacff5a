"""The replay memory: every screen kept once, and the rules by which minibatches are drawn."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from errors import UserError

MAX_DRAWS = 1000  # of a whole batch of indices, before sampling gives up

Screen = NDArray[np.uint8]  # (height, width)


class Minibatch(NamedTuple):
    """Transitions: the first `history` screens are state s_t, the last ones the state s_tp1 after.

    The two share all screens but one, so there are history + 1; each exists once.
    """

    screens: Any  # (batch, history + 1, height, width) uint8: an array, or a tensor on the GPU
    actions: NDArray[np.uint8]  # (batch,)
    rewards: NDArray[np.float32]  # (batch,), unclipped
    terminals: NDArray[np.bool_]  # (batch,)

    @property
    def prestates(self) -> NDArray[np.uint8]:
        """The states acted in, (batch, history, height, width) uint8."""
        return _array(self.screens)[:, :-1]

    @property
    def poststates(self) -> NDArray[np.uint8]:
        """The states that followed, (batch, history, height, width) uint8."""
        return _array(self.screens)[:, 1:]


def _array(screens: Any) -> NDArray[np.uint8]:
    """Screens from wherever they are as an array."""
    return screens if isinstance(screens, np.ndarray) else screens.cpu().numpy()


class ScreenStore(Protocol):
    """Where the screens of a ring of slots are kept; slots are written one after the other."""

    joined: bool = (
        False  # whether `windows` of one game's store takes slots of all games end to end
    )

    def write(self, slot: int, screen: Screen) -> None:
        """Keep `screen` (height, width) in `slot`."""

    def read(self, first: int, last: int, out: NDArray[np.uint8]) -> None:
        """Copy the screens of slots first .. last - 1 into `out` (last - first, height, width)."""

    def windows(self, ends: NDArray[np.int64], out: NDArray[np.uint8]) -> Any:
        """The screens of the windows that end at the slots `ends` (batch,), that one included.

        They are `out` (batch, history + 1, height, width), or a tensor of its shape on a GPU.
        """
        for screens, end in zip(out, ends.tolist(), strict=True):
            self.read(end + 1 - len(screens), end + 1, screens)
        return out


class ScreenArray(ScreenStore):
    """Screens as they are: height x width bytes each, taken from the system as they are written."""

    def __init__(self, size: int, screen_height: int, screen_width: int) -> None:
        """Room for `size` screens."""
        self.screens = np.zeros((size, screen_height, screen_width), np.uint8)

    def write(self, slot: int, screen: Screen) -> None:
        """Keep `screen` in `slot`."""
        self.screens[slot] = screen

    def read(self, first: int, last: int, out: NDArray[np.uint8]) -> None:
        """Copy neighbouring screens into `out`."""
        out[:] = self.screens[first:last]


class ReplayMemory:
    """A ring of slots; slot t holds a_t, r_t, terminal_t and the screen seen *after* a_t.

    A transition t needs the window of screens t - history .. t. It is valid if no episode begins
    inside the window (a terminal screen may be its last) and the write position does not cut it.

    With `zero_history` (DeepMind's Lua code) the first screen of an episode has a slot of its own,
    which is no transition, and screens of a window before it are black instead.
    """

    def __init__(
        self,
        *,
        size: int,
        history_length: int = 4,
        screen_height: int = 84,
        screen_width: int = 84,
        batch_size: int = 32,
        zero_history: bool = False,
        rng: np.random.Generator,
        screens: ScreenStore | None = None,
    ) -> None:
        """Room for `size` steps; screens go to an array unless another store is given."""
        self.size = size
        self.history_length = history_length
        self.batch_size = batch_size
        self.zero_history = zero_history
        self.rng = rng
        self.screens: ScreenStore = screens or ScreenArray(size, screen_height, screen_width)
        self.actions = np.zeros(size, np.uint8)
        self.rewards = np.zeros(size, np.float32)
        self.terminals = np.zeros(size, np.bool_)
        self.begins = np.zeros(size, np.bool_)  # the screen does not follow the one before
        self.count = 0  # slots filled
        self.current = 0  # the slot written next
        self.added = 0  # steps remembered so far, those forgotten again included
        self.beginning = True  # whether that slot begins an episode
        self.games = [self]  # games side by side have a part each
        # The minibatch's one block of screens, used again by every sample.
        self.block = np.empty(
            (batch_size, history_length + 1, screen_height, screen_width), np.uint8
        )

    def begin_episode(self, screen: Screen | None = None) -> None:
        """What is added next does not follow from what was added last.

        With `zero_history`, `screen` (height, width) is the first screen of the new episode.
        """
        self.beginning = True
        if self.zero_history and screen is not None:
            self.add(0, 0.0, screen, terminal=False)

    def add(self, action: int, reward: float, screen: Screen, terminal: bool) -> None:
        """Remember a step: the action, its reward, the screen after it, whether it was the end."""
        t = self.current
        self.actions[t] = action
        self.rewards[t] = reward
        self.terminals[t] = terminal
        self.begins[t] = self.beginning
        self.screens.write(t, screen)
        self.beginning = terminal
        self.current = (t + 1) % self.size
        self.count = max(self.count, t + 1)
        self.added += 1

    def valid(self, index: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the indices t (n,), history_length <= t < count, are transitions: (n,) bool."""
        return is_transition(
            index, self.current, self.begins, self.history_length, self.zero_history
        )

    def draw(self) -> NDArray[np.int64]:
        """`batch_size` valid indices, drawn uniformly with replacement."""
        if self.count <= self.history_length:
            raise UserError(
                f"The replay memory holds {self.count} steps but a state and the next one need "
                f"{self.history_length + 1}: give more --random_steps."
            )
        chosen = np.empty(0, np.int64)
        for _ in range(MAX_DRAWS):
            drawn = self.rng.integers(self.history_length, self.count, self.batch_size)
            chosen = np.concatenate([chosen, drawn[self.valid(drawn)]])
            if len(chosen) >= self.batch_size:
                return chosen[: self.batch_size]
        raise UserError(
            f"No {self.history_length + 1} screens in a row without the end of an episode: "
            "the episodes are too short for this --history_length."
        )

    def sample(self) -> Minibatch:
        """A minibatch; its arrays are valid until the next `sample`."""
        index = self.draw()
        screens = self.screens.windows(index, self.block)
        if self.zero_history:
            blacken(screens, index, self.begins)
        return Minibatch(screens, self.actions[index], self.rewards[index], self.terminals[index])


def is_transition(
    index: NDArray[np.int64],
    current: int | NDArray[np.int64],
    begins: NDArray[np.bool_],
    history_length: int,
    zero_history: bool,
) -> NDArray[np.bool_]:
    """Which slots t of `index` (n,) are transitions, `current` being written next: (n,) bool."""
    cut = (index >= current) & (index - history_length < current)
    if zero_history:
        broken: NDArray[np.bool_] = begins[index]
    else:  # NB! begins[t - history] is the window's first screen and may begin an episode.
        broken = begins[index[:, None] + np.arange(1 - history_length, 1)].any(axis=1)
    return ~(cut | broken)


def blacken(block: Any, index: NDArray[np.int64], begins: NDArray[np.bool_]) -> None:
    """Make the screens of earlier episodes black in the windows that end at `index`.

    `block` is a minibatch's screens, (batch, history + 1, height, width), an array or a tensor.
    """
    history = block.shape[1] - 1
    window = begins[index[:, None] + np.arange(1 - history, 1)]  # does screen 1 .. history begin?
    for screens, row in zip(block, window, strict=True):
        if row.any():
            screens[: history - int(row[::-1].argmax())] = 0


def replay_bytes(size: int, screen_height: int, screen_width: int) -> int:
    """Bytes of a replay memory of `size` steps with screens in an array."""
    return size * (screen_height * screen_width + 1 + 4 + 1 + 1)
