"""Sees jobs through: what was killed is started again, what fails by itself stops no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from runs.exit_codes import DIVERGED, DONE, UNUSABLE_INPUT
from sweeps.node import MARK, Job, progress
from sweeps.pool import End, Pool

FRUITLESS = 3  # ends of a job, none further than the one before, that are enough
TAIL = 1 << 20  # bytes of a log that are looked at: ten days of lines
OWN_FAULT = (DIVERGED, UNUSABLE_INPUT)

Failures = dict[str, str]  # sentences by the names of jobs


def drive(jobs: Sequence[Job], pool: Pool, *, seconds: float, look: Callable[[], None]) -> Failures:
    """Have all jobs done, calling `look` every so many seconds; those that failed, and why.

    KeyboardInterrupt ends the jobs in order and comes out again.
    """
    failures: Failures = {}
    fruitless = {job.name: 0 for job in jobs}
    reached = {job.name: progress(job.checkpoints) for job in jobs}
    try:
        for job in jobs:
            pool.submit(job)
        while pool.jobs:
            for end in pool.wait(seconds):
                job = end.job
                if end.code == DONE:
                    continue
                if end.code in OWN_FAULT:
                    failures[job.name] = last_words(Path(job.log))
                    continue
                now = progress(job.checkpoints)
                fruitless[job.name] += not end.blameless
                if now > reached[job.name]:
                    fruitless[job.name] = 0
                reached[job.name] = now
                if fruitless[job.name] >= FRUITLESS:
                    failures[job.name] = _gave_up(end)
                else:
                    pool.submit(job)
            look()
    except KeyboardInterrupt:
        pool.stop()
        raise
    return failures


def _gave_up(end: End) -> str:
    why = end.reason or f"exit code {end.code}"
    if end.code == -9:
        why = "killed, as by a system without memory"
    return f"It ended {FRUITLESS} times without getting further ({why}); see {end.job.log}."


def tail(log: Path) -> list[str]:
    """The last lines of a log, [] if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            return file.read().decode(errors="replace").splitlines()
    except OSError:
        return []


def last_words(log: Path) -> str:
    """The last line that is the program's own."""
    own = [line for line in tail(log) if line.strip() and not line.startswith(MARK)]
    return own[-1].strip() if own else f"It said nothing; see {log}."
