"""Ctrl-C and its like."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from runs.signals import STOPPING, stop_in_order, stop_signals
from tests.toys import Clock, make_agent

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """As in a shell, whatever the tests run under."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_the_agent_before_it_says_so(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it writes to may be broken, or in use by what the signal came in the middle of."""
    agent, _ = make_agent(Clock())
    written: list[tuple[int, bytes, bool]] = []

    def write(file: int, text: bytes) -> int:
        written.append((file, text, agent.stopped))
        raise BrokenPipeError

    monkeypatch.setattr(os, "write", write)
    with stop_in_order(agent):
        signal.raise_signal(number)
    assert agent.stopped
    assert written == [(2, STOPPING, True)]


def test_what_ends_after_a_signal_is_not_interrupted_by_another_one() -> None:
    agent, _ = make_agent(Clock())
    with stop_in_order(agent):
        signal.raise_signal(signal.SIGTERM)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.raise_signal(number)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert stop_signals() == SIGNALS, "another run in this process can be stopped, too"


def test_a_second_ctrl_c_interrupts_at_once_and_other_signals_do_not(
    capfd: pytest.CaptureFixture[str],
) -> None:
    agent, _ = make_agent(Clock())
    with stop_in_order(agent):
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP):
            signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert capfd.readouterr().err == STOPPING.decode()


def test_the_handlers_are_those_of_before_afterwards() -> None:
    agent, _ = make_agent(Clock())
    with contextlib.suppress(ZeroDivisionError), stop_in_order(agent):
        assert signal.getsignal(signal.SIGTERM) != signal.default_int_handler
        raise ZeroDivisionError
    assert {signal.getsignal(number) for number in SIGNALS} == {signal.default_int_handler}


def test_a_signal_that_nohup_ignores_stays_ignored() -> None:
    agent, _ = make_agent(Clock())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert signal.SIGHUP not in stop_signals()
    with stop_in_order(agent):
        signal.raise_signal(signal.SIGHUP)
        handler: Any = signal.getsignal(signal.SIGHUP)
    assert handler == signal.SIG_IGN
    assert not agent.stopped
