"""The replay memory of games side by side: a part for each, minibatches drawn from all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from errors import UserError
from replay.compressed import make_screens
from replay_memory import MAX_DRAWS, Minibatch, ReplayMemory, blacken, is_transition


class SharedReplay:
    """Each game remembers by itself; any of their transitions is drawn with equal probability."""

    def __init__(
        self,
        *,
        num_games: int,
        size: int,
        history_length: int = 4,
        screen_height: int = 84,
        screen_width: int = 84,
        batch_size: int = 32,
        zero_history: bool = False,
        rng: np.random.Generator,
        storage: str = "array",
        device: str = "cuda",
    ) -> None:
        """Room for `size` steps, divided among the games; `storage` as in screen_store.py."""
        self.part = size // num_games
        stores = make_screens(storage, self.part, screen_height, screen_width, num_games, device)
        self.history_length = history_length
        self.batch_size = batch_size
        self.zero_history = zero_history
        self.rng = rng
        self.games = [
            ReplayMemory(
                size=self.part,
                history_length=history_length,
                screen_height=screen_height,
                screen_width=screen_width,
                batch_size=0,
                zero_history=zero_history,
                rng=rng,
                screens=store,
            )
            for store in stores
        ]
        # The games' arrays end to end, of which each game writes its own part: slot t of game g is
        # g * part + t here.
        self.actions = self._joined("actions")
        self.rewards = self._joined("rewards")
        self.terminals = self._joined("terminals")
        self.begins = self._joined("begins")
        self.block = np.empty(
            (batch_size, history_length + 1, screen_height, screen_width), np.uint8
        )

    def _joined(self, name: str) -> NDArray[Any]:
        whole = np.concatenate([getattr(game, name) for game in self.games])
        for game, part in zip(self.games, whole.reshape(-1, self.part), strict=True):
            setattr(game, name, part)
        return whole

    @property
    def count(self) -> int:
        """Slots filled, of all games."""
        return sum(game.count for game in self.games)

    def draw(self) -> NDArray[np.int64]:
        """`batch_size` transitions as slots of all games, drawn uniformly with replacement."""
        # A game's first slots are the ends of no window: its candidates come after them.
        counts = np.array([game.count for game in self.games])
        candidates = np.maximum(counts - self.history_length, 0)
        ends = np.cumsum(candidates)
        if not ends[-1]:
            raise UserError(
                f"The replay memory holds {self.count} steps of {len(self.games)} games, but a "
                f"state and the next one need {self.history_length + 1} of one: give more "
                "--random_steps or a smaller --num_envs."
            )
        # What to add to a candidate's number to get its slot.
        slots = np.arange(len(self.games)) * self.part
        shift = slots + self.history_length - (ends - candidates)
        current = slots + np.array([game.current for game in self.games])
        chosen = np.empty(0, np.int64)
        for _ in range(MAX_DRAWS):
            drawn = self.rng.integers(ends[-1], size=self.batch_size)
            game = ends.searchsorted(drawn, side="right")
            index = drawn + shift[game]
            fit = is_transition(
                index, current[game], self.begins, self.history_length, self.zero_history
            )
            chosen = np.concatenate([chosen, index[fit]])
            if len(chosen) >= self.batch_size:
                return chosen[: self.batch_size]
        raise UserError(
            f"No {self.history_length + 1} screens in a row without the end of an episode: "
            "the episodes are too short for this --history_length."
        )

    def sample(self) -> Minibatch:
        """A minibatch; its arrays are valid until the next `sample`."""
        index = self.draw()
        screens = self._windows(index)
        if self.zero_history:
            blacken(screens, index, self.begins)
        return Minibatch(screens, self.actions[index], self.rewards[index], self.terminals[index])

    def _windows(self, index: NDArray[np.int64]) -> Any:
        if self.games[0].screens.joined:
            return self.games[0].screens.windows(index, self.block)
        for screens, slot in zip(self.block, index.tolist(), strict=True):
            game, t = divmod(slot, self.part)
            self.games[game].screens.read(t - self.history_length, t + 1, screens)
        return self.block


def make_replay_memory(
    *,
    num_games: int,
    storage: str,
    device: str = "cuda",
    size: int,
    screen_height: int,
    screen_width: int,
    **rest: Any,
) -> ReplayMemory | SharedReplay:
    """A replay memory for one game or for several; `rest` are the other keywords of both."""
    shape: Any = dict(size=size, screen_height=screen_height, screen_width=screen_width)
    if num_games > 1:
        return SharedReplay(num_games=num_games, storage=storage, device=device, **shape, **rest)
    (screens,) = make_screens(storage, **shape, device=device)
    return ReplayMemory(**shape, screens=screens, **rest)
