"""The number of CPU threads: measured where the flags leave it open, and told."""

from __future__ import annotations

from typing import Any

import parts
import pytest
from engine.threads import choose_threads, counts

from config import Config
from deepqnetwork import DeepQNetwork
from engine import threads
from replay_memory import Minibatch


class Clocked:
    """A network whose weight updates take the seconds given for each number of threads."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.seconds = seconds
        self.threads = max(seconds)
        self.now = 0.0
        self.used = 0

    def use_threads(self, count: int) -> None:
        self.used = count

    def train(self, minibatch: Minibatch) -> None:
        assert minibatch.screens.shape == (32, 5, 84, 84)
        self.now += self.seconds[self.used]


def choose(seconds: dict[int, float], monkeypatch: pytest.MonkeyPatch, **flags: Any) -> int:
    network = Clocked(seconds)
    monkeypatch.setattr(threads, "network_of", lambda *_: network)
    monkeypatch.setattr("time.perf_counter", lambda: network.now)
    return choose_threads(Config(backend="cpu", **flags))


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({1: 0.030, 2: 0.018}, 2),
        ({1: 0.030, 2: 0.200}, 1),  # a busy machine
        ({1: 0.030, 2: 0.029}, 1),  # not worth a core
        ({1: 0.030, 2: 0.018, 4: 0.012, 6: 0.014}, 4),
        ({1: 0.030}, 0),
    ],
)
def test_the_fastest_is_taken(
    seconds: dict[int, float], chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose(seconds, monkeypatch) == chosen


@pytest.mark.parametrize("flags", [{"threads": 3}, {"overlap": True}, {"engine": "neon"}])
def test_what_is_not_open_is_not_measured(
    flags: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "network_of", lambda *_: pytest.fail("measured"))
    assert choose_threads(Config(**flags)) == flags.get("threads", 0)


def test_a_real_network_is_measured_and_the_choice_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    made = parts.network_of

    def two_threads(*arguments: Any) -> Any:
        network = made(*arguments)
        network.threads = 2
        return network

    monkeypatch.setattr(threads, "network_of", two_threads)
    small = Config(batch_size=2, screen_width=36, screen_height=36, backend="cpu")
    try:
        chosen = choose_threads(small)
    finally:
        DeepQNetwork.use_threads(1)  # as conftest.py has it
    assert chosen in (1, 2)
    (line,) = [record.message for record in caplog.records if "Threads" in record.message]
    assert line.startswith(f"Threads: {chosen} (a weight update takes ")
    assert "with 1" in line
    assert "with 2" in line


def test_numbers_worth_a_try() -> None:
    assert [counts(most) for most in (1, 2, 3, 4, 6)] == [
        [1],
        [1, 2],
        [1, 2, 3],
        [1, 2, 4],
        [1, 2, 4, 6],
    ]
