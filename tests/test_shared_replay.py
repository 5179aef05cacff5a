"""The replay memory of several games against one ReplayMemory for each of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_replay import SharedReplay, make_replay_memory

from errors import UserError
from replay_memory import ReplayMemory

HISTORY, GAMES = 3, 3


def make_shared(size: int, zero_history: bool = False, storage: str = "array") -> SharedReplay:
    return SharedReplay(
        num_games=GAMES,
        size=size,
        history_length=HISTORY,
        screen_height=2,
        screen_width=2,
        batch_size=16,
        zero_history=zero_history,
        rng=np.random.default_rng(0),
        storage=storage,
        device="cpu",
    )


def make_twin(size: int, zero_history: bool) -> ReplayMemory:
    return ReplayMemory(
        size=size,
        history_length=HISTORY,
        screen_height=2,
        screen_width=2,
        batch_size=1,
        zero_history=zero_history,
        rng=np.random.default_rng(0),
    )


Transition = tuple[bytes, int, float, bool]


def transitions(memory: ReplayMemory) -> list[Transition]:
    """All that can be drawn from one game's memory."""
    index = np.arange(HISTORY, memory.count)
    found = []
    for t in index[memory.valid(index)] if len(index) else index:
        memory.draw = lambda t=t: np.array([t])  # type: ignore[method-assign, misc]
        batch = memory.sample()
        found.append(
            plain(batch.screens[0], batch.actions[0], batch.rewards[0], batch.terminals[0])
        )
    return found


def plain(screens: Any, action: int, reward: float, terminal: bool) -> Transition:
    return np.asarray(screens).tobytes(), int(action), float(reward), bool(terminal)


steps = st.lists(
    st.tuples(st.integers(0, GAMES - 1), st.integers(0, 8)), min_size=GAMES * HISTORY, max_size=120
)


@settings(max_examples=60)
@given(
    steps=steps,
    size=st.integers(GAMES * (HISTORY + 1), 60),
    zero_history=st.booleans(),
    storage=st.sampled_from(["array", "compressed", "gpu"]),
)
def test_what_is_drawn_is_what_each_games_own_memory_has(
    steps: list[tuple[int, int]], size: int, zero_history: bool, storage: str
) -> None:
    shared = make_shared(size, zero_history, storage)
    twins = [make_twin(size // GAMES, zero_history) for _ in range(GAMES)]
    for n, (game, event) in enumerate(steps):
        screen = np.full((2, 2), n % 255 + 1, np.uint8)
        for memory in (shared.games[game], twins[game]):
            memory.add(n % 7, n / 2, screen, terminal=event == 0)
            if event <= 1:
                memory.begin_episode(screen // 2)
    assert shared.count == sum(twin.count for twin in twins)
    wanted = {transition for twin in twins for transition in transitions(twin)}
    if not wanted:
        with pytest.raises(UserError):
            shared.sample()
        return
    drawn = set()
    for _ in range(40):
        batch = shared.sample()
        drawn |= {plain(*row) for row in zip(*batch, strict=True)}
    assert drawn <= wanted
    if len(wanted) < 30:  # else 640 draws may well leave one out
        assert drawn == wanted


def test_every_transition_of_every_game_is_drawn_equally_often() -> None:
    shared = make_shared(90)
    for n in range(140):  # the first game is full, the others have fewer steps
        for game, steps in zip(shared.games, (140, 20, 9), strict=True):
            if n < steps:
                game.add(0, 0, np.zeros((2, 2), np.uint8), n % 9 == 8)
    valid = []
    for number, game in enumerate(shared.games):
        index = np.arange(HISTORY, game.count)
        valid += (number * shared.part + index[game.valid(index)]).tolist()
    drawn = np.concatenate([shared.draw() for _ in range(1500)])
    slots, counts = np.unique(drawn, return_counts=True)
    assert slots.tolist() == valid
    expected = len(drawn) / len(valid)
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_too_few_steps_of_each_game_are_refused() -> None:
    shared = make_shared(90)
    for game in shared.games:
        for _ in range(HISTORY):
            game.add(0, 0, np.zeros((2, 2), np.uint8), False)
    with pytest.raises(UserError, match=r"9 steps of 3 games.*need 4 of one"):
        shared.sample()
    shared = make_shared(90)
    for game in shared.games:
        for n in range(20):
            game.add(0, 0, np.zeros((2, 2), np.uint8), n % 2 == 0)
    with pytest.raises(UserError, match="too short"):
        shared.sample()


def test_one_game_keeps_the_plain_replay_memory() -> None:
    settings: Any = dict(storage="array", size=20, screen_height=2, screen_width=2)
    rng = np.random.default_rng(0)
    assert isinstance(make_replay_memory(num_games=1, rng=rng, **settings), ReplayMemory)
    assert isinstance(make_replay_memory(num_games=2, rng=rng, **settings), SharedReplay)
