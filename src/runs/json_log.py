"""--log json: what happens, for other programs, an object a line. docs/monitoring.md explains."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import sys
import time
from typing import Any, TextIO

from agent import Callback, Phase
from runs.meter import Meter
from stats import Statistics


class JsonLines(logging.Handler):
    """Writes events, and as events of their own the messages that are otherwise for people."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """To standard output if there is no other `stream`."""
        super().__init__()
        self.stream = stream or sys.stdout

    def emit(self, record: logging.LogRecord) -> None:
        """A message."""
        self.event("message", level=record.levelname, text=record.getMessage().strip())

    def event(self, event: str, **fields: Any) -> None:
        """An event with its fields. Whoever has stopped reading does not stop the run."""
        plain = {name: _plain(value) for name, value in fields.items()}
        line = json.dumps({"event": event, "time": round(time.time(), 3), **plain})
        with contextlib.suppress(OSError, ValueError):  # a broken pipe; a closed file
            print(line, file=self.stream, flush=True)


def _plain(value: Any) -> Any:
    """JSON has no infinity and no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def log_as_json() -> None:
    """From now on messages are lines of JSON on standard output instead of text on stderr."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if getattr(handler, "stream", None) is sys.stderr:
            root.removeHandler(handler)
    root.addHandler(JsonLines())


class JsonLog(Callback):
    """The phases, their rows, and between them a measurement every thousand steps."""

    def __init__(self, *, stats: Statistics, meter: Meter) -> None:
        """Events go to standard output."""
        self.lines = JsonLines()
        self.stats = stats
        self.meter = meter

    def on_phase_start(self, phase: Phase) -> None:
        """A phase begins, or continues."""
        self.phase = phase
        self.rows = len(self.stats.rows)
        self.lines.event("phase", phase=phase.name, epoch=phase.epoch, steps=phase.steps or None)

    def on_round(self, step: int) -> None:
        """A thousand steps."""
        now = self.meter.latest
        if now is None:
            return
        fields = now._asdict() | {"phase": self.phase.name, "epoch": self.phase.epoch}
        if updates := fields.pop("updates"):
            fields |= {
                "loss": updates.loss,
                "td_error": float(updates.td_errors.mean()),
                "gradient_norm": updates.gradient_norm,
            }
        self.lines.event("progress", **fields)

    def on_phase_end(self, phase: Phase) -> None:
        """The row that the phase has written, if it has."""
        for row in self.stats.rows[self.rows :]:
            self.lines.event("row", **row)
