"""--log json: events for other programs, one JSON object per line. See docs/monitoring.md."""

from __future__ import annotations

import functools
import json
import logging
import math
import sys
import time
from typing import Any, TextIO

from agent import Callback, Phase
from config import Config
from observers.meter import Meter
from stats import Statistics


class JsonLines(logging.Handler):
    """Writes events as lines of JSON; log messages become events too."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Write to `stream`, or to standard output."""
        super().__init__()
        self.stream = stream or sys.stdout

    def emit(self, record: logging.LogRecord) -> None:
        """Write a log message as an event."""
        self.event("message", level=record.levelname, text=record.getMessage().strip())

    def event(self, event: str, **fields: Any) -> None:
        """Write an event with its fields.

        If nobody reads them any more, or the disk is full, the run continues.
        """
        plain = {name: _plain(value) for name, value in fields.items()}
        line = json.dumps({"event": event, "time": round(time.time(), 3), **plain})
        try:
            print(line, file=self.stream, flush=True)
        except (BrokenPipeError, ValueError):  # ValueError: a closed file
            pass
        except OSError as error:
            _say_lost(self.stream, error.strerror)


@functools.cache  # once for a stream
def _say_lost(stream: TextIO, reason: str) -> None:
    print(f"Events are lost: cannot write them ({reason}).", file=sys.stderr)


def _plain(value: Any) -> Any:
    """None in place of infinity and NaN, which JSON does not have."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def begin_log(config: Config) -> None:
    """Set the level of messages; with --log json they go to standard output, as JSON."""
    root = logging.getLogger()
    root.setLevel(config.log_level)
    if config.log != "json":
        return
    for handler in root.handlers[:]:
        if getattr(handler, "stream", None) is sys.stderr:
            root.removeHandler(handler)
    root.addHandler(JsonLines())


class JsonLog(Callback):
    """Writes events for phases, their rows, and a measurement every thousand steps."""

    def __init__(self, *, stats: Statistics, meter: Meter) -> None:
        """Write to standard output."""
        self.lines = JsonLines()
        self.stats = stats
        self.meter = meter

    def on_phase_start(self, phase: Phase) -> None:
        """A phase starts or is resumed."""
        self.phase = phase
        self.rows = len(self.stats.rows)
        self.lines.event("phase", phase=phase.name, epoch=phase.epoch, steps=phase.steps or None)

    def on_round(self, step: int) -> None:
        """Write a new measurement."""
        now = self.meter.latest
        if now is None:
            return
        fields = now._asdict() | {"phase": self.phase.name, "epoch": self.phase.epoch}
        if updates := fields.pop("updates"):
            fields |= {
                "loss": updates.loss,
                "td_error": float(updates.td_errors.mean()),
                "gradient_norm": updates.gradient_norm,
                "learning_rate": updates.learning_rate,
            }
        self.lines.event("progress", **fields)

    def on_phase_end(self, phase: Phase) -> None:
        """Write the row of the phase, if it has one."""
        for row in self.stats.rows[self.rows :]:
            self.lines.event("row", **row)
