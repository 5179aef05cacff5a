"""Estimates what a sweep will take: hours, by a short measurement, and disk space."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from commands.verbs import parse
from config import ROOT
from engine.hardware import cores
from errors import UserError
from plots.csv_files import read_results
from runs.forecast import CHECKPOINTS, REPLAY_SIZE, duration, gigabytes, kept_snapshots
from sweeps.command import Command
from sweeps.plan import PlannedRun, is_finished

# The measurement is as short as possible; the second epoch counts, and the first one warms up.
SHORT_STEPS = 500  # of a phase


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one run takes."""

    seconds: float
    snapshots: int  # bytes
    checkpoints: int


def print_estimate(command: Command) -> None:
    """List the runs and print what they take; one run of each setting is measured for seconds."""
    runs = command.sweep.runs
    unfinished = [run for run in runs if not is_finished(run)]
    for run in runs:
        print(f"{run.name}{'' if run in unfinished else '  (finished)'}")
    if not unfinished:
        print("All are finished.")
        return
    first = {run.setting: run for run in reversed(unfinished)}
    print(f"{len(runs)} run{'s' * (len(runs) > 1)}. Measuring {len(first)} ...", flush=True)
    measured = {name: _measure(run, command.begin[run.name]) for name, run in first.items()}
    todo = [measured[run.setting] for run in unfinished]
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


def _measure(run: PlannedRun, begin: tuple[str, ...]) -> Measured:
    f = run.flags
    games, screens = f["num_envs"], f["history_length"] + f["n_step"]
    steps = max(SHORT_STEPS, 2 * screens * games)
    short = dict.fromkeys(("train_steps", "test_steps"), steps) | {
        "random_steps": max(steps, 2 * f["batch_size"]),  # so that there are weight updates
        "epochs": 2,
        "replay_size": min(
            f["replay_size"], max(REPLAY_SIZE, 10 * screens * games, 2 * f["batch_size"])
        ),
        # Predictions take time, so explore as much as the run mostly will.
        "exploration_rate_start": f["exploration_rate_end"],
        "keep_snapshots": 0,  # all, so that there is one to measure
    }
    with tempfile.TemporaryDirectory(prefix="sweep_") as folder:
        place = Path(folder)
        files = {
            "csv_file": place / "run.csv",
            "save_weights_prefix": place / "run",
            "checkpoint_path": place / "checkpoints",
        }
        flags = [f"--{name}={value}" for name, value in {**short, **files}.items()]
        command = [sys.executable, str(ROOT / "src" / "main.py"), *begin, *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr.strip() or "it ended without a message").splitlines()[-1]
            raise UserError(f"{run.name} cannot be measured: {said}")
        results = read_results(files["csv_file"])
        paces = {phase: row["steps_per_second"] for phase, row in results.rows}
        seconds = sum(steps / paces[phase] for phase, _, steps in run.phases)
        snapshot = (place / "run_1.pkl").stat().st_size
        screens = sum(path.stat().st_size for path in files["checkpoint_path"].glob("*.screens"))
        arrays = [path.stat().st_size for path in files["checkpoint_path"].glob("*.npz")]
    remembered = results.rows[-1][1]["replay_memory_count"]
    to_remember = min(f["replay_size"], f["random_steps"] + f["epochs"] * f["train_steps"])
    kept = kept_snapshots(parse(begin[0], begin[1:]).config, f["epochs"])
    return Measured(
        seconds=seconds,
        snapshots=kept * snapshot,
        checkpoints=CHECKPOINTS * max(arrays) + int(screens / remembered * to_remember),
    )
