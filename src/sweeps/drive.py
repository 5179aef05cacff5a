"""Completes all jobs: restarts those that were killed; one that fails does not stop the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from atomic import open_regular
from errors import DIVERGED, DONE, UNUSABLE_INPUT
from sweeps.node import MARK, Job, progress
from sweeps.pool import End, Pool

FRUITLESS = 3  # a job is given up after being killed this often without progress
TAIL = 1 << 20  # bytes of a log that are read: ten days of lines
OWN_FAULT = (DIVERGED, UNUSABLE_INPUT)

Failures = dict[str, str]  # sentences by the names of jobs


def drive(
    jobs: Sequence[Job],
    pool: Pool,
    *,
    seconds: float,
    look: Callable[[Failures], None],
    is_finished: Callable[[str], bool],
) -> Failures:
    """Complete all jobs, and call `look` with the failures so far every `seconds`.

    `is_finished` says whether the job of a name needs no further process, however its last one
    ended. Returns which failed, and why.

    Whatever is raised, Ctrl-C too, ends the jobs in order first.
    """
    failures: Failures = {}
    fruitless = {job.name: 0 for job in jobs}
    reached = {job.name: progress(job) for job in jobs}
    try:
        for job in jobs:
            pool.submit(job)
        while pool.jobs:
            for end in pool.wait(seconds):
                job = end.job
                # A run whose last checkpoint could not be written, or that was killed after it, has
                # nothing left to do: resuming it would be refused.
                if end.code == DONE or is_finished(job.name):
                    continue
                if end.code in OWN_FAULT:
                    failures[job.name] = last_words(Path(job.log))
                    continue
                now = progress(job)
                fruitless[job.name] += not end.blameless
                if now > reached[job.name]:
                    fruitless[job.name] = 0
                reached[job.name] = now
                if fruitless[job.name] >= FRUITLESS:
                    failures[job.name] = _gave_up(end)
                else:
                    pool.submit(job)
            look(failures)
    except BaseException:
        pool.stop()
        raise
    return failures


def _gave_up(end: End) -> str:
    why = end.reason or f"exit code {end.code}"
    if end.code == -9:
        why = "killed, perhaps because memory ran out"
    return f"It ended {FRUITLESS} times without progress ({why}); see {end.job.log}."


def tail(log: Path) -> list[str]:
    """The last lines of a log; [] if it does not exist."""
    try:
        with open_regular(log) as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            return file.read(TAIL).decode(errors="replace").splitlines()
    except OSError:
        return []


def said(line: str) -> dict[str, Any]:
    """What a line of a log says about the process; {} for the program's own lines."""
    try:
        found = json.loads(line.removeprefix(MARK)) if line.startswith(MARK) else {}
    except (ValueError, RecursionError):  # half-written, or forged
        return {}
    return found if isinstance(found, dict) else {}


def last_words(log: Path) -> str:
    """The last line that the program itself has written."""
    own = [line for line in tail(log) if line.strip() and not line.startswith(MARK)]
    return own[-1].strip() if own else f"It printed no message; see {log}."
