"""How a long phase reports its progress."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from agent import GameStep, Phase
from commands.exit_codes import Messages
from game import Step
from observers import progress
from observers.progress import Progress
from runs.plan import Planned
from stats import Statistics
from tests.toys import Clock, make_agent

TRAIN = Phase("train", 3, 10_000)
TEST = Phase("test", 3, 6_000)
FOLLOWING = Phase("train", 4, 10_000)


class Stopwatch:
    now = 0.0

    @classmethod
    def monotonic(cls) -> float:
        return cls.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> type[Stopwatch]:
    monkeypatch.setattr(progress, "time", Stopwatch)
    Stopwatch.now = 0.0
    return Stopwatch


def make(
    todo: Sequence[Planned] = (), pace: Mapping[str, float] | None = None
) -> tuple[Statistics, Progress]:
    statistics = Statistics(make_agent(Clock())[0], None, None)
    return statistics, Progress(statistics, todo, pace or {})


def start(statistics: Statistics, listener: Progress, phase: Phase) -> None:
    statistics.on_phase_start(phase)
    listener.on_phase_start(phase)


def count(statistics: Statistics, steps: int, reward: float = 0.0, end: bool = False) -> None:
    for n in range(steps):
        over = end and n == steps - 1
        step = Step(reward, np.zeros((1, 2), np.uint8), over, over)
        statistics.on_step(GameStep(0, 0, 0.1, step))


def test_without_a_terminal_there_is_a_line_a_minute(
    watch: type[Stopwatch], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    statistics, listener = make()
    start(statistics, listener, TRAIN)
    for second in (0, 30, 61, 90, 122):
        watch.now = second
        count(statistics, 1000 if second else 0, reward=0.5, end=second == 90)
        listener.on_round(statistics.num_steps)
    assert caplog.messages == [
        "Epoch 3: train, 10000 steps",
        "  train 3: step 2000 of 10000, 33 steps/s, no episode ended, score so far 1000, "
        "4 min left in the phase",
        "  train 3: step 4000 of 10000, 33 steps/s, 1 episode, average score 1500.00 "
        "(1500 to 1500), 3 min left in the phase",
    ]


def test_the_time_left_of_the_run_is_that_of_all_phases_to_come(
    watch: type[Stopwatch], caplog: pytest.LogCaptureFixture
) -> None:
    """By what has been measured, of the run itself as soon as it is known."""
    caplog.set_level(logging.INFO)
    todo = [Planned(TRAIN, 0), Planned(TEST, 0), Planned(FOLLOWING, 0)]
    statistics, listener = make(todo, {"train": 0.5, "test": 0.2})
    start(statistics, listener, TRAIN)
    listener.on_round(0)
    watch.now = 100
    listener.on_round(1000)  # 9000 steps at 10/s, 6000 at 5/s, 10,000 at 2/s: 900 + 1200 + 5000 s
    assert caplog.messages[-1].endswith("15 min left in the phase, 1 h 58 min in the run")
    watch.now = 1000
    listener.on_round(10_000)
    listener.on_phase_end(TRAIN)
    start(statistics, listener, TEST)
    listener.on_round(0)
    watch.now = 1100
    listener.on_round(2000)  # 4000 steps at 20/s, 10,000 at 10/s: 200 + 1000 s
    assert caplog.messages[-1].endswith("3 min left in the phase, 20 min in the run")
    listener.on_phase_end(TEST)
    start(statistics, listener, FOLLOWING)
    listener.on_round(0)
    watch.now = 1200
    listener.on_round(1000)  # nothing follows: the phase is the rest of the run
    assert caplog.messages[-1].endswith("15 min left in the phase")


def test_an_unknown_pace_is_not_guessed(
    watch: type[Stopwatch], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    statistics, listener = make([Planned(TRAIN, 0), Planned(TEST, 0)])
    start(statistics, listener, TRAIN)
    listener.on_round(0)
    watch.now = 100
    listener.on_round(1000)
    assert caplog.messages[-1].endswith("15 min left in the phase")


def test_whole_games_have_no_end_in_sight(
    watch: type[Stopwatch], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    statistics, listener = make()
    start(statistics, listener, Phase("play", 0, games=1))
    listener.on_round(0)
    watch.now = 100
    count(statistics, 1000)
    listener.on_round(1000)
    assert caplog.messages == [
        "play, whole games",
        "  play: step 1000, 10 steps/s, no game ended, score so far 0",
    ]


@pytest.mark.parametrize("no_color", ["", "1"])
def test_on_a_terminal_there_is_a_bar_that_goes(
    watch: type[Stopwatch],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    no_color: str,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    statistics, listener = make([Planned(TRAIN, 0), Planned(FOLLOWING, 0)], {"train": 0.01})
    start(statistics, listener, TRAIN)
    watch.now = 0.1
    listener.on_round(100)
    watch.now = 10
    count(statistics, 1000, reward=0.5)
    listener.on_round(1000)
    bar = listener.bar
    assert bar is not None
    assert (bar.n, bar.total) == (1000, 10_000)
    bar.refresh()
    assert "train 3:  10%" in (told := capsys.readouterr().err)
    assert "score so far 500, 3 min of the run left" in told
    assert told.isascii() == bool(no_color)
    listener.on_phase_end(TRAIN)
    assert listener.bar is None
    assert bar.disable  # closed


def test_messages_stand_above_the_bar(
    watch: type[Stopwatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    statistics, listener = make()
    start(statistics, listener, TRAIN)
    bar = terminal.getvalue()
    assert "train 3:" in bar
    message = logging.LogRecord("", logging.INFO, "", 0, "  25 episodes", (), None)
    Messages(terminal).handle(message)
    written = terminal.getvalue()[len(bar) :]
    assert re.match(r"\r +\r  25 episodes\n", written)
    assert "train 3:" in written  # drawn again
    listener.on_phase_end(TRAIN)
