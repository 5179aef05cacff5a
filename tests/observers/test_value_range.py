from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from agent import GameStep, Phase
from config import Config
from game import Step
from observers.value_range import STEPS, ValueRange

SCREEN = np.zeros((1, 1), np.uint8)


def play(listener: ValueRange, rewards: list[float], steps: int, game: int = 0) -> None:
    """Episodes with these rewards, again and again."""
    for n in range(steps):
        ended = n % len(rewards) == len(rewards) - 1
        step = Step(rewards[n % len(rewards)], SCREEN, terminal=ended, ended=ended)
        listener.on_step(GameStep(game, 0, 0.1, step))


def listening(phase: str = "train", **settings: Any) -> ValueRange:
    listener = ValueRange(Config(distribution="c51", **settings))
    listener.on_phase_start(Phase(phase, 1, 0))
    return listener


def test_a_range_that_most_returns_leave_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Of 30 steps with a reward of 1 and no discount, the returns are 30, 29, ... 1.
    listener = listening(value_max=9.5, discount_rate=1.0)
    play(listener, [1.0] * 30, 30 * (STEPS // 40))
    assert not caplog.records
    play(listener, [1.0] * 30, 2 * STEPS)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "70 % of the returns" in record.message
    assert "they reach from 1 to 30" in record.message


@pytest.mark.parametrize(
    ("rewards", "settings"),
    [
        ([1.0] * 30, dict(value_max=15.0, discount_rate=1.0)),  # half of them
        ([1.0] * 300, dict(value_max=10.0, discount_rate=0.9)),  # at most 10
        ([100.0] * 5, dict()),  # clipped to 1 each
        ([0.0] * 50, dict(value_min=0.0)),
    ],
)
def test_a_range_that_fits_is_not(
    rewards: list[float], settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    play(listening(**settings), rewards, 2 * STEPS)
    assert not caplog.records


def test_returns_below_the_range_count_too(caplog: pytest.LogCaptureFixture) -> None:
    play(listening(value_min=-0.5, value_max=0.5, discount_rate=0.9), [0.0, -1.0], 2 * STEPS)
    assert "100 % of the returns" in caplog.text


def test_games_side_by_side_have_returns_of_their_own(caplog: pytest.LogCaptureFixture) -> None:
    listener = listening(value_max=1.5, discount_rate=1.0)
    for _ in range(2 * STEPS // 4):
        for game in range(4):
            play(listener, [1.0], 1, game)
    assert not caplog.records


def test_testing_is_not_training(caplog: pytest.LogCaptureFixture) -> None:
    play(listening("test", value_max=0.5), [1.0] * 10, 2 * STEPS)
    assert not caplog.records
