"""./test.sh with several snapshots: all of them play, in parallel if Ray is installed."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import secrets
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atomic import check_replaceable, csv_bytes, write_atomically
from checkpoint.lock import file_locked
from commands.catalog import VERBS
from commands.combinations import warn_of_training
from commands.exit_codes import say, silence
from commands.flags import Parser, text_of
from commands.verbs import snapshot_of
from config import ROOT
from errors import DONE, NOT_SAVED, STOPPED, UNUSABLE_INPUT, NotSaved, UserError
from paths import name_and_epoch
from runs.preflight import check_writable
from runs.scores import games
from snapshot.format import game_of, read_snapshot
from sweeps.drive import Failures, drive, last_words, said, tail
from sweeps.node import Job, work
from sweeps.pool import open_pool

LOOK_SECONDS = 1.0
Row = dict[str, str]


def evaluates_many(arguments: Sequence[str]) -> bool:
    """Whether these arguments of ./test.sh name several snapshots, or ask for the best one."""
    words, given = Parser(VERBS["test"]).parse(arguments)
    return len(words) > 1 or "best" in given


def evaluate(arguments: Sequence[str]) -> int:
    """Test each snapshot and write the results.

    Returns 0, or 2 if one cannot be tested, or 3 if a result could not be printed. Raises UserError
    before playing if the results could not be written.
    """
    words, given = Parser(VERBS["test"]).parse(arguments)
    best, csv_file, overwrite = (given.pop(k, None) for k in ("best", "csv_file", "overwrite"))
    snapshots = list(dict.fromkeys(snapshot_of("test", word) for word in words))
    if len(snapshots) < 2 and best:
        raise UserError("--best compares snapshots: give at least two.")
    if len(snapshots) < 2:
        raise UserError(f"{snapshots[0]} is named twice: name it once, or other snapshots too.")
    single = [flag for flag, value in given.items() if isinstance(value, Path)]
    if given.get("log") == "json":
        single.append("log json")
    if single:
        raise UserError(
            f"--{single[0]} is for one snapshot: leave it out, or test each snapshot alone. "
            "--csv_file keeps the scores of all."
        )
    if missing := [path for path in snapshots if not path.is_file()]:
        raise UserError(f"{missing[0]} does not exist: give snapshots, like snapshots/pong_3.pkl.")
    if best and len(names := _games_of(snapshots)) > 1:
        raise UserError(f"--best compares scores of one game, not of {' and '.join(names)}.")
    warn_of_training(given)
    given.setdefault("random_seed", secrets.randbits(31))  # the same for all
    with contextlib.ExitStack() as stack:
        if csv_file:
            try:
                check_replaceable(csv_file)
            except OSError as error:
                raise UserError(f"Cannot write {csv_file}: {error.strerror}.") from None
            check_writable(csv_file.parent)
            stack.enter_context(file_locked(csv_file))
            if csv_file.exists() and not overwrite:
                raise UserError(f"{csv_file} already exists: replace it with --overwrite.")
        failures, rows, are_printed = _test_all(snapshots, given, csv_file)
    for name, why in failures.items():
        why = why.removeprefix("test: ")
        say(f"test: {why}" if why.startswith(name) else f"test: {name}: {why}")
    if best and rows:
        _name_best(rows)
    if failures:
        return UNUSABLE_INPUT
    return DONE if are_printed else NOT_SAVED


def _test_all(
    snapshots: Sequence[Path], given: dict[str, Any], csv_file: Path | None
) -> tuple[Failures, dict[str, Row], bool]:
    """Which snapshots could not be tested, and the results of the others, also in `csv_file`.

    Also whether all results were printed that somebody would have read.
    """
    with tempfile.TemporaryDirectory(prefix="test_") as folder:
        jobs = _jobs(sorted(snapshots, key=_place), given, Path(folder))
        printer = _Printer(jobs, all_are_kept=bool(csv_file))
        try:
            failures = _play(jobs, printer, on_gpu=given.get("backend") == "gpu")
        finally:  # after Ctrl-C too, because games take hours
            rows = {job.name: row for job in jobs if (row := _row(job))}
            if csv_file and rows:
                _write(csv_file, list(rows.values()))
            if len(rows) < len(jobs):
                say(f"test: {len(rows)} of {len(jobs)} snapshots were tested.")
    return failures, rows, not printer.has_lost


def _games_of(snapshots: Sequence[Path]) -> list[str]:
    found = set()
    for path in snapshots:
        with contextlib.suppress(UserError):  # its own test says what is wrong with it
            found.add(game_of(path, read_snapshot(path)))
    return sorted(found)


def _place(path: Path) -> tuple[str, int]:
    """Sorts snapshots by run and epoch: 2 before 10."""
    name, epoch = name_and_epoch(path)
    return str(path.with_name(name)), epoch


def _jobs(snapshots: Sequence[Path], given: dict[str, Any], folder: Path) -> list[Job]:
    flags = [f"--{flag}={text_of(value)}" for flag, value in given.items()]
    jobs = []
    for n, path in enumerate(snapshots):
        command = ("test", str(path), *flags, f"--csv_file={folder / f'{n}.csv'}", "--overwrite")
        jobs.append(
            Job(
                name=str(path),
                begin=command,
                again=command,
                checkpoints="",
                snapshots="",
                log=str(folder / f"{n}.log"),
                program=(sys.executable, str(ROOT / "src" / "main.py")),
                cwd=str(Path.cwd()),
                gpus=float(given.get("backend") == "gpu"),
            )
        )
    return jobs


def _play(jobs: Sequence[Job], printer: _Printer, *, on_gpu: bool) -> Failures:
    with contextlib.ExitStack() as stack:
        pool = None
        if not on_gpu and importlib.util.find_spec("ray"):
            try:
                pool = stack.enter_context(open_pool(cpus=1, gpus=0))
            except UserError as error:
                say(f"test: {error} The snapshots play one after another.")
        if pool:
            return drive(
                jobs,
                pool,
                seconds=LOOK_SECONDS,
                look=lambda _: printer.look(),
                is_finished=lambda _: False,  # only its exit code says that
            )
    failures: Failures = {}
    for job in jobs:
        code = work(job)
        if code == STOPPED:
            raise KeyboardInterrupt
        if code:
            failures[job.name] = last_words(Path(job.log))
        printer.look()
    return failures


def _row(job: Job) -> Row | None:
    """Its result, if it is finished: a test that was stopped has the scores of some games only."""
    path = Path(job.log)
    if not any(said(line).get("code") == DONE for line in tail(path)):
        return None
    try:
        with path.with_suffix(".csv").open(newline="") as file:
            return next(csv.DictReader(file), None)
    except FileNotFoundError:
        return None


class _Printer:
    """Prints the result of each snapshot when it is finished, in any order."""

    def __init__(self, jobs: Sequence[Job], *, all_are_kept: bool) -> None:
        self.todo = list(jobs)
        self.all_are_kept = all_are_kept  # in a file, whether or not anybody reads what is printed
        self.has_lost = False
        self.out = sys.stdout
        self.width = max(len(job.name) for job in jobs)

    def look(self) -> None:
        """Print what is new. Raises KeyboardInterrupt if nobody would get the other results."""
        for job in list(self.todo):
            if row := _row(job):
                self.todo.remove(job)
                try:
                    print(f"{job.name:<{self.width}}  {_result(row)}", file=self.out, flush=True)
                except BrokenPipeError:  # as of `./test.sh ... | head -n 1`
                    silence(1)
                    if self.todo and not self.all_are_kept:
                        raise KeyboardInterrupt from None
                except OSError as error:
                    self.has_lost = True
                    say(f"test: the result of {job.name} could not be printed: {error.strerror}.")


def _result(row: Row) -> str:
    if row["nr_games"] == "0":
        return f"no game ended, score so far {float(row['average_reward']):.10g}"
    mean, median = float(row["average_reward"]), float(row["median_game_reward"])
    low, high = float(row["min_game_reward"]), float(row["max_game_reward"])
    played = games(int(row["nr_games"]), int(row["nr_games"]))
    return f"mean {mean:.2f}, median {median:.10g}, {low:.10g} to {high:.10g} in {played}"


def _write(path: Path, rows: Sequence[Row]) -> None:
    try:
        write_atomically(path, csv_bytes(rows[0], rows))
    except OSError as error:
        raise NotSaved(f"Cannot write {path}: {error.strerror}.") from None


def _name_best(found: Mapping[str, Row]) -> None:
    rows = {name: row for name, row in found.items() if row["nr_games"] != "0"}
    if not rows:
        print("No game ended, so no snapshot is the best one: give more --test_steps.")
        return
    name, best = max(rows.items(), key=lambda item: float(item[1]["average_reward"]))
    others = sum(row["average_reward"] == best["average_reward"] for row in rows.values()) - 1
    as_good = f", as good as {others} other{'s' * (others > 1)}" if others else ""
    print(
        f"Best: {name}, {_result(best)}{as_good}. It was chosen afterwards among "
        f"{len(rows)} snapshots, so its score is too optimistic: test it alone with "
        "another --random_seed."
    )
