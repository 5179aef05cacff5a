"""Ends a run in order after Ctrl-C, SIGTERM or SIGHUP."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

from agent import Agent

STOPPING = b"\nStopping after this step; Ctrl-C again stops at once.\n"


def stop_signals() -> list[signal.Signals]:
    """The signals that end a run in order, except those that nohup or a shell made it ignore."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]


def treat_signals_as_interrupts() -> None:
    """Treat these signals like Ctrl-C until a run handles them."""
    for number in stop_signals():
        signal.signal(number, signal.default_int_handler)


def _do_nothing(number: int, frame: object) -> None:
    """Not SIG_IGN, which `stop_signals` would take for the wish of a shell."""


@contextlib.contextmanager
def stop_in_order(agent: Agent) -> Iterator[None]:
    """The first signal ends the run after the current step, a second Ctrl-C immediately.

    Programs may send SIGTERM and SIGHUP several times, and none of them means that it is urgent.
    """

    def stop(number: int, frame: object) -> None:
        if agent.stopped:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        agent.stop()
        # NB! Do not use print: a signal may interrupt another print, and Python forbids nesting.
        with contextlib.suppress(OSError):
            os.write(2, STOPPING)

    before = {number: signal.signal(number, stop) for number in stop_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            # A run that has been stopped is ending: only Ctrl-C may still interrupt that.
            ends = agent.stopped and number != signal.SIGINT
            signal.signal(number, _do_nothing if ends else handler)
