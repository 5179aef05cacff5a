"""Estimates what a sweep will take: hours, by a short measurement, and disk space."""

from __future__ import annotations

from collections.abc import Callable

from commands.verbs import parse
from engine.hardware import cores
from errors import UserError
from replay.make import choose_storage
from runs.forecast import Needs, duration, gigabytes, measured, needs
from runs.plan import plan
from runs.preflight import check_memory
from runs.run import Run
from sweeps.command import Command
from sweeps.plan import is_finished


def print_estimate(command: Command, construct: Callable[..., Run]) -> None:
    """List the runs and print what they take; one run of each setting is measured for seconds.

    `construct` makes the parts of a run.
    """
    runs = command.sweep.runs
    unfinished = [run for run in runs if not is_finished(run)]
    for run in runs:
        print(f"{run.name}{'' if run in unfinished else '  (finished)'}")
    if not unfinished:
        print("All are finished.")
        return
    first = {run.setting: run for run in reversed(unfinished)}
    print(f"{len(runs)} run{'s' * (len(runs) > 1)}. Measuring {len(first)} ...", flush=True)
    taken = {}
    for setting, run in first.items():
        try:
            taken[setting] = _measure(command.begin[run.name], construct)
        except UserError as error:
            raise UserError(f"{run.name} cannot be measured: {error}") from None
    todo = [taken[run.setting] for run in unfinished]
    at_once = max(1, min(int(cores() / command.cpus), len(todo)))
    longest = max(each.seconds for each in todo)
    total = sum(each.seconds for each in todo)
    print(
        f"A run takes up to {duration(longest)}, all runs together {total / 3600:,.1f} core hours."
    )
    print(
        f"About {duration(max(longest, total / at_once))} on this machine with {at_once} at once, "
        "as fast together as the measured one was alone."
    )
    snapshots = sum(each.snapshots for each in todo)
    checkpoints = sum(each.checkpoints for each in todo)
    print(
        f"Disk: {gigabytes(snapshots)} of snapshots, up to {gigabytes(checkpoints)} of checkpoints."
    )


def _measure(begin: tuple[str, ...], construct: Callable[..., Run]) -> Needs:
    task = parse(begin[0], begin[1:])
    todo = plan(task)
    check_memory(task.config)
    found = measured(task, todo, choose_storage(task.config), construct)
    return needs(found, task.config, todo)
