"""Reads a results CSV: a row a phase, columns as src/stats.py writes them or as a stranger added.

Only `epoch` and `phase` must be there. The format is that of 2015: comma separated, a header line.
A CSV of tests has a column `snapshot` too, and the rows of several runs.
"""

from __future__ import annotations

import csv
import glob
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from pathlib import Path

from atomic import read_whole
from config import ROOT
from errors import UserError
from paths import file_name, portable, run_paths, snake_case
from runs.human_scores import SCORES as HUMAN_SCORES
from runs.results import CSV_BYTES, CSV_LINES, PHASES, described_flags, description_path
from schema import FINITE

MOST_RUNS = 1000  # whose tests are in one file
MOST_CELLS = 3_000_000  # 100,000 lines of a run have half as many
NOT_FINITE = ("nan", "inf", "-inf", "infinity", "-infinity")  # as others write them
SNAPSHOT = re.compile(r"(.+?)(_[0-9]+)?\.pkl")  # snapshots/<run>_<epoch>.pkl
SCORES = ("average_reward", "min_game_reward", "max_game_reward", "median_game_reward")
LAST_EPOCH = 1e9  # a number above it in the epoch column is damage, not an epoch


class NotYet(UserError):
    """A file without results so far: whoever follows a run waits, everybody else gives up."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """One run.

    `fields` are the names of the numeric columns in the header's order. A row has the `phase` it
    was written after, and a number for each field: NaN where the cell is empty or not finite.
    `notes` are sentences about what had to be left out. `run` are its snapshots, less _<epoch>.pkl,
    if the file has the tests of several runs.
    """

    path: Path
    fields: tuple[str, ...]
    rows: tuple[tuple[str, dict[str, float]], ...]
    notes: tuple[str, ...]
    run: str = ""

    @property
    def series(self) -> Path:
        """The file less a seed number, results/breakout.csv for breakout_seed2.csv, absolute.

        Of one run among several in eval.csv: eval.csv/snapshots/breakout.csv.
        """
        path = self.path.resolve() / f"{self.run}.csv" if self.run else self.path.resolve()
        whole = re.sub(r"[_-]?seed[_-]?\d+", "", str(path.with_suffix("")), flags=re.IGNORECASE)
        # results/breakout/seed2.csv takes its folder's name.
        return Path(whole.rstrip("/") + path.suffix) if whole.strip("/") else path

    @property
    def known_game(self) -> str:
        """The game in the run's JSON file, or an Atari game that its name begins with, or ""."""
        file = run_paths(Path(self.run).name)["csv_file"] if self.run else self.path
        flags = described_flags(file)
        game, is_ale = flags.get("game"), flags.get("environment", "ale") == "ale"
        named = ""
        if isinstance(game, str) and re.fullmatch(r"[\w./: +-]*\w", game):
            named = snake_case(Path(game).stem) if is_ale else file_name(game)
        if named in HUMAN_SCORES or (named and not is_ale):
            return named
        name = f"{self.series.stem}_"  # a ROM's file may have any name, the run has the game's
        games = (each for each in HUMAN_SCORES if name.startswith(f"{each}_"))
        return max(games, key=len, default=named)

    @property
    def game(self) -> str:
        """The game, or the whole name if it is not known which part of it is the game."""
        return self.known_game or self.series.stem

    @property
    def setting(self) -> str:
        """What the name has beside the game and the seed."""
        return self.series.stem.removeprefix(self.game).strip("_- ")

    @property
    def last_epoch(self) -> int:
        """The latest epoch with a row, 0 after the random phase alone."""
        return int(max(row["epoch"] for _, row in self.rows))

    def curve(self, phase: str, field: str) -> dict[float, float]:
        """Epoch -> value of one numeric column in one phase, by increasing epoch, without NaN.

        If a resumed run repeats an epoch, the later row counts. Of random phases the first row
        counts: later ones refill the replay memory with a policy that is no longer random. Phases
        in which no game ended have no score.
        """
        rows = [row for name, row in self.rows if name == phase]
        if field in SCORES:
            rows = [row for row in rows if row.get("nr_games", 1)]
        values = [(row["epoch"], row[field]) for row in rows]
        if phase == "random":
            values = values[:1]
        return {epoch: v for epoch, v in sorted(dict(values).items()) if not math.isnan(v)}


def read_results(path: str | Path) -> Results:
    """Reads the CSV of one run. Raises UserError, which lists the columns, if it has no results.

    A half-written or damaged line is skipped and reported in `notes`.
    """
    return _read(Path(path))[0]


def read_runs(path: str | Path) -> list[Results]:
    """Reads a CSV of one run, or of tests of the snapshots of several; see read_results()."""
    whole, snapshots = _read(Path(path))
    rows: dict[str, list[tuple[str, dict[str, float]]]] = {}
    for row, snapshot in zip(whole.rows, snapshots, strict=True):
        of_run = SNAPSHOT.fullmatch(snapshot)
        rows.setdefault(of_run[1] if of_run else "", []).append(row)
    if len(rows) > MOST_RUNS:
        raise UserError(f"{path} has the tests of more than {MOST_RUNS:,} runs: divide it.")
    return [
        replace(whole, run=run, rows=tuple(rows[run]), notes=() if n else whole.notes)
        for n, run in enumerate(rows)
    ]


def _example(path: Path) -> str:
    """The newest CSV whose name begins as that of `path`, for an error message; "" if none does."""
    for folder in (ROOT / "results", ROOT / "agents"):
        found = folder.glob(f"{glob.escape(path.stem)}*.csv")
        if runs := [file for file in found if description_path(file).exists()]:
            return f", like {portable(max(runs, key=lambda file: file.stat().st_mtime))}"
    return ""


def _read(path: Path) -> tuple[Results, list[str]]:
    """All rows as if they were of one run, and the snapshot of each, "" if there is none."""
    try:
        text = read_whole(path, CSV_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        raise NotYet(
            f"{path} does not exist; give the CSV that a training wrote{_example(path)}."
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise UserError(f"{path} is not a text file; give the CSV that a training wrote.") from None
    try:
        header, lines = _split(text)
    except csv.Error as error:
        raise UserError(f"{path} is not a CSV ({error}).") from None

    if not any(header):
        raise NotYet(f"{path} is empty: there are no columns in it; is the training running?")
    if not {"epoch", "phase"} <= set(header):
        # The header itself may be half-written.
        raise (UserError if "\n" in text else NotYet)(
            f"{path} is not a results CSV: it needs the columns epoch and phase "
            f"and has {listed(header)}."
        )
    rows, snapshots, skipped = [], [], []
    read = 0
    for number, whole, cells in lines:
        read += len(header)
        if read > MOST_CELLS:
            raise UserError(f"{path} has more than {MOST_CELLS:,} cells: divide it.")
        row = dict(zip(header, cells, strict=False))
        epoch = _number(row.get("epoch", ""))
        if whole and len(cells) == len(header) and epoch is not None and 0 <= epoch <= LAST_EPOCH:
            rows.append((row["phase"], {name: _number(cell) for name, cell in row.items()}))
            snapshots.append(row.get("snapshot", ""))
        else:
            skipped.append(number)
    if not any(phase in PHASES for phase, _ in rows):
        raise NotYet(
            f"{path} has no whole line of a {', '.join(PHASES[:-1])} or {PHASES[-1]} phase yet, "
            f"only the columns {listed(header)}."
        )
    named = [name for name in dict.fromkeys(header) if name not in ("", "phase")]
    fields = [name for name in named if all(row[name] is not None for _, row in rows)]
    results = Results(
        path=path,
        fields=tuple(fields),
        rows=tuple((phase, {name: row[name] or 0.0 for name in fields}) for phase, row in rows),
        notes=(_skipped(path, skipped),) if skipped else (),
    )
    return results, snapshots


def listed(names: Iterable[str], limit: int = 30) -> str:
    """Column names for a sentence, printable, and shortened if there are very many."""
    shown = [printable(name, 40) for name in names if name]
    more = f" and {len(shown) - limit} more" if len(shown) > limit else ""
    return (", ".join(shown[:limit]) or "none") + more


def printable(text: str, limit: int = 60) -> str:
    """The text on one line, strange characters as question marks, cut to `limit` characters."""
    text = re.sub(r"[^ -\[\]-~\u00a1-\u024f\u0391-\u03a1\u03a3-\u03c9\u0400-\u045f]", "?", text)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _split(text: str) -> tuple[list[str], list[tuple[int, bool, list[str]]]]:
    """The header, and of each line that is not blank its number, whether it is whole, its cells."""
    reader = csv.reader(io.StringIO(text, newline=""))
    read = islice(reader, CSV_LINES + 1)
    lines = [(reader.line_num, True, [c.strip() for c in cells]) for cells in read if cells]
    if next(reader, None) is not None:
        raise csv.Error(f"it has more than {CSV_LINES:,} lines")
    if len(lines) > 1 and not text.endswith(("\n", "\r")):
        lines[-1] = (lines[-1][0], False, lines[-1][2])
    return (lines[0][2], lines[1:]) if lines else ([], [])


def _number(cell: str) -> float | None:
    """The number in a cell; NaN for an empty or infinite one, None if it is not a number."""
    if not cell or cell.lower() in NOT_FINITE:
        return math.nan
    try:
        return float(FINITE.parse("", cell))
    except UserError:
        return None


def _skipped(path: Path, numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
    if len(numbers) == 1:
        return f"line {shown} of {path} is half-written or damaged and was skipped."
    return f"{len(numbers)} lines of {path} ({shown}) are half-written or damaged and were skipped."


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs that are drawn as one: the seeds of one experiment, or a single run."""

    name: str
    runs: tuple[Results, ...]


def group_runs(runs: Sequence[Results]) -> list[Group]:
    """Runs whose paths differ only in a seed number belong together: breakout_seed1, _seed2."""
    members: dict[Path, list[Results]] = {}
    for run in {(run.path.resolve(), run.run): run for run in runs}.values():
        members.setdefault(run.series, []).append(run)
    folders = distinct_folders(list(members))
    return [
        Group(name=f"{folders[path]}{path.stem}", runs=tuple(group))
        for path, group in members.items()
    ]


def distinct_folders(files: Sequence[Path]) -> dict[Path, str]:
    """As many of a file's folders, "x/results/", as tell it apart from others of the same name.

    "" for a file whose name no other has.
    """
    by_name: dict[str, dict[Path, tuple[str, ...]]] = {}
    for path in files:
        by_name.setdefault(path.stem, {})[path] = path.parent.parts[::-1]  # the nearest first
    found = {}
    for folders in by_name.values():
        most = max(map(len, folders.values()))
        n = 0
        while n < most and len({parts[:n] for parts in folders.values()}) < len(folders):
            n += 1
        for path, parts in folders.items():
            found[path] = "".join(f"{name}/" for name in parts[:n][::-1])
    return found


def common_name(names: Iterable[str]) -> str:
    """The leading words that all names share: breakout for breakout_fast and breakout_nature."""
    words = [re.split(r"[_ -]", name) for name in names]
    return "_".join(
        same[0] for same in takewhile(lambda w: len(set(w)) == 1, zip(*words, strict=False))
    )
