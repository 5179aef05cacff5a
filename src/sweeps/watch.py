"""The progress of a sweep's runs, read from their files: the live table and ./sweep.sh status."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from atomic import stamp
from commands.exit_codes import drop
from errors import UserError, clean
from plots.csv_files import Results, read_results
from runs.forecast import duration
from sweeps.drive import OWN_FAULT, said, tail
from sweeps.plan import PlannedRun, Sweep, is_finished

# As observers/progress.py writes it; Python refuses to read numbers of thousands of digits.
NUMBER = r"(\d{1,15})"
PROGRESS = re.compile(
    rf"  (random|train|test)(?: {NUMBER})?: step {NUMBER}(?: of \d+)?, {NUMBER} steps/s"
)
STATUSES = ("running", "failed", "waiting", "done")
HEADER = ("run", "node", "epoch", "steps/s", "test", "time left")
REPORT_SECONDS = 600.0  # between complete tables if there is no terminal


@dataclass(frozen=True, kw_only=True)
class State:
    """How far a run is."""

    run: PlannedRun
    status: str  # one of STATUSES
    node: str = ""
    phase: str = ""
    epoch: int = 0
    tests: int = 0  # done
    score: float | None = None  # of the last test
    pace: float = 0.0  # steps per second
    steps_left: int = 0
    seconds_left: float | None = None  # None: not known yet

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of its row in the table."""
        epochs = f"{self.epoch}/{self.run.flags['epochs']} {self.phase}".strip()
        running = self.status == "running"
        pace = f"{self.pace:.0f}" if running and self.pace else ""
        left = duration(self.seconds_left) if self.seconds_left is not None else ""
        score = "" if self.score is None else f"{self.score:.2f}"
        shown = left if running else self.status
        return (self.run.name, self.node if running else "", epochs, pace, score, shown)


@dataclass
class Watch:
    """Reads the states; files that have not changed are not read again."""

    sweep: Sweep
    at_work: bool = True  # whether a process works on the sweep; if not, no run is running
    known: dict[str, tuple[object, State]] = field(default_factory=dict)

    def states(self, failed: Collection[str] = ()) -> list[State]:
        """The state of every run; `failed` are the names of those that failed or were given up."""
        found = []
        for run in self.sweep.runs:
            seen = (stamp(run.csv_file), stamp(run.log), run.name in failed)
            before = self.known.get(run.name)
            if not before or before[0] != seen:
                before = (seen, _state(run, run.name in failed, self.at_work))
                self.known[run.name] = before
            found.append(before[1])
        return found


def _state(run: PlannedRun, failed: bool, at_work: bool) -> State:
    done: dict[tuple[str, int], float] = {}  # steps per second, by phase and epoch
    results: Results | None = None
    with contextlib.suppress(UserError):  # nothing yet
        results = read_results(run.csv_file)
    for phase, row in results.rows if results else ():
        done[phase, int(row["epoch"])] = row.get("steps_per_second", 0.0)
    paces = {phase: pace for (phase, _), pace in done.items() if pace > 0}  # NaN is not
    tests = results.curve("test", "average_reward") if results else {}
    begun: dict[str, Any] = {}
    code: object = None  # of its last process, if that has ended
    steps, current = 0, ("", 0)
    for line in tail(run.log):
        if about := said(line):
            if "begun" in about:
                begun, code = about, None
            elif "code" in about:
                begun, code = {}, about["code"]
        elif match := PROGRESS.match(line):
            current = (match[1], int(match[2] or 0))
            steps = int(match[3])
            paces[match[1]] = float(match[4]) or paces.get(match[1], 0.0)
    left = [each for each in run.phases if (each.name, each.epoch) not in done]
    status = "waiting"
    if not left and is_finished(run):
        status = "done"
    elif begun and at_work:
        status = "running"
    elif failed or code in OWN_FAULT:
        status = "failed"
    here = left[0] if left else run.phases[-1]
    other = max(paces.values(), default=0.0)
    steps_left, seconds = 0, 0.0
    for each in left:
        begun_before = steps if (each.name, each.epoch) == current else 0
        todo = max(each.steps - begun_before, 0)
        steps_left += todo
        seconds += todo / (paces.get(each.name) or other) if other else 0.0
    return State(
        run=run,
        status=status,
        node=clean(str(begun.get("node", "")))[:20],
        phase=here.name if left else "",
        epoch=here.epoch,
        tests=len(tests),
        score=list(tests.values())[-1] if tests else None,
        pace=paces.get(here.name, 0.0),
        steps_left=steps_left,
        seconds_left=seconds if other or not left else None,
    )


def summary(states: Sequence[State], at_once: int | None) -> str:
    """12 runs: 2 running, 10 waiting. About 14 h left."""
    counts = {s: sum(state.status == s for state in states) for s in STATUSES}
    parts = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    line = f"{len(states)} run{'s' * (len(states) != 1)}: {parts}."
    todo = [state for state in states if state.status in ("running", "waiting")]
    known = [state for state in todo if state.seconds_left and state.steps_left]
    at_once = at_once or counts["running"]
    if known and at_once:
        seconds = [state.seconds_left or 0.0 for state in known]
        # The others at the pace of these.
        pace = sum(state.steps_left for state in known) / sum(seconds)
        seconds += [state.steps_left / pace for state in todo if state not in known]
        line += f" About {duration(max(max(seconds), sum(seconds) / at_once))} left."
    return line


def table(states: Sequence[State], at_once: int | None, most: int | None = None) -> list[str]:
    """The table's lines, those of the runs that matter now first, at most `most` of them."""
    ordered = sorted(states, key=lambda state: STATUSES.index(state.status))
    shown = ordered[:most]
    rows = [HEADER, *(state.cells for state in shown)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    right = (3, 4)  # numbers
    lines = [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    if len(shown) < len(ordered):
        lines.append(f"... and {len(ordered) - len(shown)} more")
    return [*lines, summary(states, at_once)]


class Display:
    """On a terminal a table that is redrawn; otherwise a line for each event."""

    def __init__(self, watch: Watch, at_once: int, stream: TextIO = sys.stderr) -> None:
        """Show a sweep with `at_once` runs at a time."""
        self.watch, self.at_once, self.stream = watch, at_once, stream
        self.terminal = stream.isatty()
        self.height = 0
        self.before: dict[str, State] = {}
        self.next = 0.0

    @property
    def seconds(self) -> float:
        """Between readings: a shared folder must not be asked about a thousand runs per second."""
        return max(1.0, len(self.watch.sweep.runs) / 20)

    def look(self, failed: Collection[str] = ()) -> list[State]:
        """Read the states and show them; `failed` as for Watch.states()."""
        states = self.watch.states(failed)
        try:
            self._show(states)
        except OSError:  # a full disk behind `2> file` is no reason to stop
            drop(self.stream)
        return states

    def _show(self, states: Sequence[State]) -> None:
        if self.terminal:
            size = shutil.get_terminal_size()
            lines = [line[: size.columns - 1] for line in self._lines(states, size.lines - 4)]
            up = f"\033[{self.height}F\033[J" if self.height else ""
            self.stream.write(up + "\n".join(lines) + "\n")
            self.height = len(lines)
        else:
            self._events(states)
            if time.monotonic() >= self.next:
                self.next = time.monotonic() + REPORT_SECONDS
                self.stream.write("\n".join([_now(), *self._lines(states, None)]) + "\n")
        self.stream.flush()

    def _lines(self, states: Sequence[State], most: int | None) -> list[str]:
        return table(states, self.at_once, most)

    def _events(self, states: Sequence[State]) -> None:
        for state in states:
            name = state.run.name
            before = self.before.get(name)
            self.before[name] = state
            if before and before.tests < state.tests:
                self.stream.write(f"{_now()} {name}: test {state.tests}, {state.score:.2f}\n")
            if before and before.status != state.status:
                on = f" on {state.node}" if state.status == "running" else ""
                self.stream.write(f"{_now()} {name}: {state.status}{on}\n")


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
