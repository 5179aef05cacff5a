"""Many runs: parses the command line, starts unfinished runs, shows progress, sums them up."""

from __future__ import annotations

from commands.prepare import prepare

if __name__ == "__main__":
    prepare()

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from atomic import check_replaceable
from checkpoint.lock import locked
from commands.exit_codes import exit_code, say
from config import ROOT
from engine.hardware import cores
from errors import DONE, STOPPED, UserError
from main import construct
from paths import run_paths
from sweeps.command import NAME, USAGE, Command, read_command
from sweeps.drive import Failures, drive
from sweeps.estimate import print_estimate
from sweeps.node import Job, is_locked, open_log
from sweeps.outcome import draw_results, write_results
from sweeps.plan import Sweep, check, describe, is_finished, read, results_path
from sweeps.pool import open_pool
from sweeps.watch import Display, Watch, table
from user_code.trust import sign

FAILED = 1  # runs, not the sweep


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says. Returns an exit code, see errors.py; 1 if runs failed."""
    with exit_code("sweep") as ending:
        try:
            ending.code = _main(arguments)
        except KeyboardInterrupt:
            say("\nsweep: stopped; give the same command again to finish it.")
            ending.code = STOPPED
    return ending.code


def _main(arguments: Sequence[str]) -> int:
    logging.getLogger().setLevel(logging.WARNING)
    if list(arguments[:1]) == ["status"]:
        return status(arguments[1:])
    command = read_command(arguments)
    logging.getLogger().setLevel(logging.WARNING)
    if command.dry_run:
        _check(command)
        print_estimate(command, construct)
        return DONE
    return detach(command, arguments) if command.detach else sweep(command)


def sweep(command: Command) -> int:
    """Train all unfinished runs."""
    name = command.sweep.name
    _refuse_second(name)
    with locked(run_paths(name)["checkpoint_path"]):
        _check(command)
        todo = [run for run in command.sweep.runs if not is_finished(run)]
        failures: Failures = {}
        if todo:
            jobs = [_job(command, run.name) for run in todo]
            failures = _train(command, jobs)
        return _sum_up(command, failures)


def _check(command: Command) -> None:
    """Raise UserError for what would be refused later, by an earlier sweep or for want of cores."""
    check(command.sweep)
    if not command.address and command.cpus > cores():
        raise UserError(
            f"--cpus {command.cpus:g} per run is more than this machine has, which is {cores()} "
            "cores: lower it."
        )


def _train(command: Command, jobs: Sequence[Job]) -> Failures:
    with open_pool(cpus=command.cpus, gpus=command.gpus, address=command.address) as pool:
        describe(command.sweep)
        sign("")  # makes the clone's key now, because runs that start together would each make one
        where = f" on {pool.nodes} nodes" if command.address else ""
        say(
            f"{len(jobs)} run{'s' * (len(jobs) > 1)}, {pool.at_once} at once{where}; Ctrl-C stops "
            "them in order."
        )
        if pool.idle_gpus and not command.gpus:
            say("The GPU is not used: with --gpus 0.25 four runs share one.")
        display = Display(Watch(command.sweep), pool.at_once)
        runs = {run.name: run for run in command.sweep.runs}
        tests = 0

        def look(failures: Failures) -> None:
            nonlocal tests
            done = sum(state.tests for state in display.look(failures))
            if done > tests:
                tests = done
                write_results(command.sweep, command.last_tests)

        return drive(
            jobs,
            pool,
            seconds=display.seconds,
            look=look,
            is_finished=lambda name: is_finished(runs[name]),
        )


def _job(command: Command, name: str) -> Job:
    paths = run_paths(name)
    return Job(
        name=name,
        begin=command.begin[name],
        again=command.again[name],
        checkpoints=str(paths["checkpoint_path"]),
        snapshots=str(paths["save_weights_prefix"]),
        log=str(paths["csv_file"].with_suffix(".log")),
        program=(sys.executable, str(ROOT / "src" / "main.py")),
        cwd=str(Path.cwd()),
        gpus=command.gpus,
    )


def _sum_up(command: Command, failures: Failures) -> int:
    found = write_results(command.sweep, command.last_tests)
    picture = draw_results(command.sweep, found, command.last_tests)
    say(f"Wrote {results_path(command.sweep.name)}{f' and {picture}' if picture else ''}")
    count = len(command.sweep.runs)
    if untested := count - len(found):
        say(f"Not in the picture: {untested} of {count} runs, in which no test game has ended.")
    for name, why in failures.items():
        log = run_paths(name)["csv_file"].with_suffix(".log")
        say(f"{name} failed: {why}{'' if str(log) in why else f' Its log is {log}.'}")
    say(f"{count - len(failures)} of {count} runs are finished.")
    return FAILED if failures else 0


def detach(command: Command, arguments: Sequence[str]) -> int:
    """Start the sweep in a separate process that continues without this terminal."""
    name = command.sweep.name
    _refuse_second(name)
    _check(command)
    log = results_path(name).with_suffix(".log")
    check_replaceable(log)
    describe(command.sweep)  # now, so that status knows it
    words = [word for word in arguments if word != "--detach"]
    log.parent.mkdir(exist_ok=True)
    with open_log(log) as file:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    say(
        f"{len(command.sweep.runs)} runs, by process {process.pid}, which writes {log}\n"
        f"./sweep.sh status {name} shows them; kill {process.pid} stops them in order."
    )
    return DONE


def status(words: Sequence[str]) -> int:
    """Print the progress of a sweep."""
    if len(words) != 1 or not NAME.fullmatch(words[0]):
        raise UserError(f"Call it as {USAGE}.")
    found: Sweep = read(words[0])
    at_work = _is_at_work(found.name)
    print("\n".join(table(Watch(found, at_work=at_work).states(), None)))
    if not at_work and not all(map(is_finished, found.runs)):
        print("No process is working on it: give the command that started it again to finish it.")
    return DONE


def _is_at_work(name: str) -> bool:
    folder = run_paths(name)["checkpoint_path"]
    return is_locked(folder.with_name(f"{folder.name}.lock"))


def _refuse_second(name: str) -> None:
    if _is_at_work(name):
        raise UserError(
            f"The sweep {name} is running already: ./sweep.sh status {name} shows it; give another "
            "one a --name."
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
