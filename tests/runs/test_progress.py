"""What a long phase tells of itself."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest

from runs import progress
from runs.progress import Progress
from stats import Statistics
from tests.toys import Clock, make_agent


class Stopwatch:
    now = 0.0

    @classmethod
    def monotonic(cls) -> float:
        return cls.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> type[Stopwatch]:
    monkeypatch.setattr(progress, "time", Stopwatch)
    return Stopwatch


def make() -> tuple[Statistics, Progress]:
    statistics = Statistics(make_agent(Clock())[0], None, None)
    return statistics, Progress(statistics)


def count(statistics: Statistics, steps: int, reward: float = 0.0, end: bool = False) -> None:
    for n in range(steps):
        over = end and n == steps - 1
        statistics.on_step(0, reward, over, np.zeros((1, 2), np.uint8), 0.1, 0)


def test_without_a_terminal_there_is_a_line_a_minute(
    watch: type[Stopwatch], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    statistics, listener = make()
    listener.on_phase_start("train", 3, 10_000)
    for second in (30, 61, 90, 122):
        watch.now = second
        count(statistics, 1000, reward=0.5, end=second == 90)
        listener.on_round(statistics.num_steps)
    assert caplog.messages == [
        "  train 3: step 2000 of 10000, 33 steps/s, score 1000, 4 min left",
        "  train 3: step 4000 of 10000, 33 steps/s, score 1500.00 (1 games), 3 min left",
    ]


def test_whole_games_have_no_end_in_sight(
    watch: type[Stopwatch], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watch.now = 0
    statistics, listener = make()
    listener.on_phase_start("play", 0, 0)
    watch.now = 100
    count(statistics, 1000)
    listener.on_round(1000)
    assert caplog.messages == ["  play: step 1000, 10 steps/s, score 0"]


def test_on_a_terminal_there_is_a_bar_that_goes(
    watch: type[Stopwatch], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    watch.now = 0
    statistics, listener = make()
    listener.on_phase_start("train", 3, 10_000)
    watch.now = 1
    count(statistics, 1000, reward=0.5)
    listener.on_round(1000)
    bar = listener.bar
    assert bar is not None
    assert (bar.n, bar.total) == (1000, 10_000)
    bar.refresh()
    assert "train 3:  10%" in (told := capsys.readouterr().err)
    assert "score 500" in told
    listener.on_phase_end("train", 3)
    assert listener.bar is None
    assert bar.disable  # closed
