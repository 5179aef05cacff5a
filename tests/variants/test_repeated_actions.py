"""Random actions that last for several steps."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
import pytest

from config import Config
from tests.toys import Clock, make_agent, make_memory
from variants.repeated_actions import LONGEST, RepeatedActions, make_repeated

ZETA_2 = np.pi**2 / 6  # 1 + 1/4 + 1/9 + ...


def make(games: int = 1, exponent: float = 2.0, seed: int = 0) -> RepeatedActions:
    rng = np.random.default_rng(seed)
    return RepeatedActions(games, num_actions=6, exponent=exponent, rng=rng)


def naive(
    begins: list[list[bool]], actions: list[list[int]], exponent: float, seed: int
) -> list[list[int]]:
    """The random actions of each game, step by step; -1 for a step that is not random."""
    rng = np.random.default_rng(seed)
    games = range(len(begins[0]))
    left, held = [0 for _ in games], [0 for _ in games]
    made = []
    for row, drawn in zip(begins, actions, strict=True):
        done = []
        for game in games:
            if left[game] == 0 and row[game]:
                left[game] = min(int(rng.zipf(exponent)), LONGEST)
                held[game] = drawn[game]
            done.append(held[game] if left[game] else -1)
            left[game] = max(left[game] - 1, 0)
        made.append(done)
    return made


def test_it_equals_a_loop_over_steps_and_games() -> None:
    rng = np.random.default_rng(5)
    begins = rng.random((500, 4)) < 0.2
    actions = rng.integers(6, size=(500, 4))
    expected = naive(begins.tolist(), actions.tolist(), 1.5, seed=3)
    repeated = make(games=4, exponent=1.5, seed=3)
    games = range(4)
    for begin, drawn, made in zip(begins, actions, expected, strict=True):
        explores, found = repeated.extend(games, begin, drawn)
        assert np.where(explores, found, -1).tolist() == made
        assert (found == drawn)[~explores].all()


def test_games_are_known_by_their_numbers() -> None:
    repeated = make(games=3)
    repeated.left[:], repeated.actions[:] = [0, 0, 2], [0, 0, 3]
    explores, actions = repeated.extend([0, 2], np.zeros(2, bool), np.array([4, 5]))
    assert explores.tolist() == [False, True]
    assert actions.tolist() == [4, 3]
    assert repeated.left.tolist() == [0, 0, 1]


def test_durations_are_of_the_zeta_distribution() -> None:
    repeated = make(games=20_000)
    every = np.ones(20_000, bool)
    repeated.extend(range(20_000), every, np.zeros(20_000, np.int64))
    durations = repeated.left + 1
    for n in (1, 2, 5):
        assert np.mean(durations == n) == pytest.approx(1 / n**2 / ZETA_2, rel=0.15)
    assert durations.max() <= LONGEST


def test_nothing_lasts_longer_than_the_limit() -> None:
    repeated = make(games=500, exponent=1.01)
    repeated.extend(range(500), np.ones(500, bool), np.zeros(500, np.int64))
    assert repeated.left.max() == LONGEST - 1


def test_an_agent_repeats_in_training_and_not_in_tests() -> None:
    rates: Any = dict(exploration_rate_start=0.2, exploration_rate_end=0.2)
    agent, recorder = make_agent(
        Clock(), Clock(), memory=make_memory(games=2), exploration_rate_test=0.2, **rates
    )
    agent.repeated = make(games=2, exponent=1.5)
    agent.train(4000)
    trained = recorder.actions[0::2]  # of the first game; the best action is 2
    agent.test(4000)
    tested = recorder.actions[4000::2]

    def longest(actions: list[int]) -> int:
        return max(len(list(run)) for action, run in groupby(actions) if action != 2)

    assert longest(trained) > 30
    assert longest(tested) < 8


@pytest.mark.parametrize(
    ("actions", "left"),
    [
        (None, [0, 0]),
        ([6, 0], [0, 0]),
        ([0, -1], [0, 0]),
        ([0, 0], [0, -1]),
        ([0, 0, 0], [0, 0, 0]),
        ([0.0, 0.0], [0, 0]),
    ],
)
def test_a_state_of_other_games_is_refused(actions: Any, left: list[int]) -> None:
    repeated = make(games=2)
    repeated.actions[:], repeated.left[:] = [1, 2], [3, 4]
    state = {"left": np.array(left)}
    if actions:
        state["actions"] = np.array(actions)
    with pytest.raises(ValueError, match="repeat"):
        repeated.set_state(state)
    assert (repeated.actions.tolist(), repeated.left.tolist()) == ([1, 2], [3, 4])


def test_without_the_flag_there_are_none() -> None:
    rng = np.random.default_rng(0)
    assert make_repeated(Config(), 6, rng) is None
    repeated = make_repeated(Config(exploration_zeta=2.0, num_envs=3), 6, rng)
    assert repeated
    assert (len(repeated.left), repeated.exponent, repeated.rng) == (3, 2.0, rng)
