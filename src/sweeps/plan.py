"""The runs of a sweep, and its description, with which a later start must agree."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import Phase
from atomic import check_replaceable, read_whole, write_atomically
from checkpoint.files import checkpoint_numbers
from config import Config
from errors import UserError, shown
from paths import earlier_snapshots, name_and_epoch, portable_flags, run_paths
from runs.plan import phases
from runs.provenance import commit, versions
from runs.results import CSV_BYTES, EPOCH
from schema import COUNT, TEXT, Value, record, sequence

FORMAT = 1
MOST_RUNS = 10_000
LARGEST = 16 << 20  # bytes of a description


NEEDED = dict.fromkeys(("random_steps", "train_steps", "test_steps"), COUNT) | {"epochs": EPOCH}


def run_label(sweep: str, setting: str, seed: int) -> str:
    """The label of a run, as in ./train.sh GAME LABEL; `setting` is "" where there is only one."""
    return "_".join(filter(None, [sweep, setting, f"seed{seed}"]))


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One training: a game, a setting, a seed."""

    game: str  # its name
    sweep: str
    setting: str  # "" where there is only one
    seed: int
    flags: dict[str, Any]  # that decide what is learned, and how long

    @property
    def label(self) -> str:
        """The run's label, as in ./train.sh GAME LABEL."""
        return run_label(self.sweep, self.setting, self.seed)

    @property
    def name(self) -> str:
        """The name of its files."""
        return f"{self.game}_{self.label}"

    @property
    def csv_file(self) -> Path:
        """Its rows."""
        return run_paths(self.name)["csv_file"]

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoints."""
        return run_paths(self.name)["checkpoint_path"]

    @property
    def log(self) -> Path:
        """What it says."""
        return self.csv_file.with_suffix(".log")

    @property
    def phases(self) -> list[Phase]:
        """Its phases."""
        return list(phases(**{name: self.flags[name] for name in NEEDED}))


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """All runs of a name."""

    name: str
    games: tuple[str, ...]
    seeds: tuple[int, ...]
    settings: dict[str, dict[str, Any]]  # flags by the setting's name

    @property
    def runs(self) -> list[PlannedRun]:
        """All combinations, ordered by seed, so that all settings soon have a run."""
        return [
            PlannedRun(game=game, sweep=self.name, setting=setting, seed=seed, flags=flags)
            for seed in self.seeds
            for setting, flags in self.settings.items()
            for game in self.games
        ]


def results_path(name: str) -> Path:
    """The path of the results of a sweep."""
    return run_paths(name)["csv_file"]


def description_path(name: str) -> Path:
    """The path of the description of a sweep."""
    return results_path(name).with_suffix(".json")


def check(sweep: Sweep) -> None:
    """Compare the sweep with an earlier one of the same name, if there is one.

    Games, seeds and settings may be added. Raises UserError if one is missing or differs, if files
    of another run are in the way, or if a log is something else than a file.
    """
    earlier = read(sweep.name) if description_path(sweep.name).exists() else None
    if earlier:
        _check_same(earlier, sweep)
    known = {run.name for run in earlier.runs} if earlier else set()
    for run in sweep.runs:
        if run.name not in known and (found := _in_the_way(run)):
            raise UserError(
                f"{found} is of an earlier run, not of this sweep: give the sweep another --name, "
                "or move that file away."
            )
        try:
            check_replaceable(run.log)
        except OSError as error:
            raise UserError(f"Cannot write {run.log}: {error.strerror}.") from None
    results = results_path(sweep.name)
    if not earlier and results.exists():
        raise UserError(f"{results} already exists: give the sweep another --name.")


def describe(sweep: Sweep) -> None:
    """Write the sweep's description, unless it exists. Raises UserError if that fails."""
    path = description_path(sweep.name)
    if path.exists() and read(sweep.name) == sweep:
        return
    about = {
        "sweep": FORMAT,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": versions(),
        "commit": commit(),
        "games": list(sweep.games),
        "seeds": list(sweep.seeds),
        "settings": sweep.settings,
    }
    try:
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, f"{json.dumps(about, indent=2)}\n".encode())
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}.") from None


def read(name: str) -> Sweep:
    """The sweep of that name. Raises UserError if there is none."""
    path = description_path(name)
    try:
        about = json.loads(read_whole(path, LARGEST))
        wanted = {"sweep": COUNT, "settings": Value(kind=dict)}
        found = record(str(path), about, wanted)
        if found["sweep"] != FORMAT:
            raise UserError("it is of another version")
        games = sequence("games", about.get("games"), TEXT)
        seeds = sequence("seeds", about.get("seeds"), COUNT)
        settings = {
            TEXT.check("a setting", key): record(key, flags, NEEDED) | flags
            for key, flags in found["settings"].items()
        }
        if len(games) * len(seeds) * len(settings) > MOST_RUNS:
            raise UserError(f"it has more than {MOST_RUNS:,} runs")
    except FileNotFoundError:
        raise UserError(
            f"There is no sweep {name}: {path} would describe it. Begin it with ./sweep.sh GAME... "
            f"--name {name}."
        ) from None
    except (OSError, ValueError, RecursionError, UserError) as error:
        raise UserError(
            f"{path} does not describe a sweep ({shown(str(error))}): give the sweep another "
            "--name."
        ) from None
    return Sweep(name=name, games=tuple(games), seeds=tuple(seeds), settings=settings)


def _check_same(old: Sweep, new: Sweep) -> None:
    way = "finish it with the flags that it was started with, or give this one another --name."
    for kind, before, now in (
        ("game", old.games, new.games),
        ("seed", old.seeds, new.seeds),
        ("setting", _named(old.settings), _named(new.settings)),
    ):
        if missing := _missing(before, now):
            raise UserError(f"The sweep {old.name} was started with the {kind} {missing}: {way}")
    # Flags that an earlier version did not have yet were at their defaults.
    defaults = portable_flags(Config())
    for setting, flags in old.settings.items():
        now_flags = new.settings[setting]
        for flag in sorted(flags.keys() | now_flags.keys()):
            was, is_now = (each.get(flag, defaults.get(flag)) for each in (flags, now_flags))
            if was != is_now:
                of = f"The sweep {old.name}"
                if setting:
                    of = f"The setting {setting} of the sweep {old.name}"
                raise UserError(
                    f"{of} was started with --{flag} {shown(was)}, not {shown(is_now)}: {way}"
                )


def _named(settings: Iterable[str]) -> list[str]:
    return [name or "without --vary" for name in settings]


def _missing(before: Sequence[object], now: Sequence[object]) -> str:
    return ", ".join(str(each) for each in before if each not in now)


def _in_the_way(run: PlannedRun) -> Path | None:
    snapshots = earlier_snapshots(run_paths(run.name)["save_weights_prefix"])
    files = [run.csv_file, *snapshots]
    if checkpoint_numbers(run.checkpoints):
        files.append(run.checkpoints)
    return next((path for path in files if path.exists()), None)


def is_finished(run: PlannedRun) -> bool:
    """Whether the last row of a run exists and, if no test follows it, its last snapshot.

    A test's row is written after the snapshot, which may have been removed since to save space.
    """
    last = run.phases[-1]
    prefix = run_paths(run.name)["save_weights_prefix"]
    try:
        lines = read_whole(run.csv_file, CSV_BYTES).decode().splitlines()
    except (OSError, ValueError):
        return False
    # Not only the last line: ./resume.sh may have made the run longer.
    whole = any(line.startswith(f"{last.epoch},{last.name},") for line in lines)
    if whole and last.name == "test":
        return True
    snapshots = earlier_snapshots(prefix)
    return whole and bool(snapshots) and name_and_epoch(snapshots[-1])[1] >= last.epoch
