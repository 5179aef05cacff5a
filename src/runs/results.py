"""A run's results: the rows of its CSV, and the description in the .json beside it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomic import read_whole
from errors import UserError
from schema import COUNT, FINITE, MAX_EPOCHS, Value, record

PHASES = ("random", "train", "test")
EPOCH = Value(kind=int, low=0, high=MAX_EPOCHS)
CSV_BYTES = 1 << 24  # of the CSV of a run, at most
CSV_LINES = 100_000
DESCRIPTION_BYTES = 1 << 20
ROW = {  # of the CSV, in the order of its columns
    "epoch": EPOCH,
    "phase": Value(kind=str, choices=PHASES),
    "steps": COUNT,
    "nr_games": COUNT,
    "average_reward": FINITE,
    "min_game_reward": FINITE,
    "max_game_reward": FINITE,
    "last_exploration_rate": FINITE,
    "total_train_steps": COUNT,
    "replay_memory_count": COUNT,
    "meanq": FINITE,
    "meancost": FINITE,
    "weight_updates": COUNT,
    "total_time": FINITE,
    "epoch_time": FINITE,
    "steps_per_second": FINITE,
}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All rows of a run's CSV. Raises OSError, or ValueError if it is not one."""
    text = read_whole(path, CSV_BYTES).decode()
    if text.count("\n") > CSV_LINES:
        raise ValueError("it has too many lines")
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = list(reader)
        if any(set(names) != set(ROW) for names in [reader.fieldnames or ROW, *rows]):
            raise ValueError("it has other columns")
        return [_parse(row) for row in rows]
    except (UserError, csv.Error) as error:
        raise ValueError(str(error)) from None


def to_numbers(rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Rows as an array (rows, columns), in which a phase is its number in PHASES.

    float64 has room for every COUNT.
    """
    cells = [[row[name] for name in ROW] for row in rows]
    numbers = [[PHASES.index(x) if isinstance(x, str) else x for x in row] for row in cells]
    return np.array(numbers, np.float64).reshape(-1, len(ROW))


def from_numbers(numbers: NDArray[Any]) -> list[dict[str, Any]]:
    """The rows of which `to_numbers` has made an array. Raises ValueError if they are none."""
    if numbers.dtype != np.float64 or numbers.shape[1:] != (len(ROW),) or len(numbers) > CSV_LINES:
        raise ValueError("its rows are of another size")
    try:
        return [_from_numbers(row) for row in numbers.tolist()]
    except UserError as error:
        raise ValueError(str(error).rstrip(".")) from None


def _from_numbers(numbers: Sequence[float]) -> dict[str, Any]:
    cells: dict[str, Any] = dict(zip(ROW, numbers, strict=True))
    for name, value in ROW.items():
        if value.kind is int and cells[name].is_integer():
            cells[name] = int(cells[name])
    if cells["phase"] in range(len(PHASES)):
        cells["phase"] = PHASES[int(cells["phase"])]
    return record("a row", cells, ROW)


def _parse(cells: dict[str, str | None]) -> dict[str, Any]:
    """A row with its cells converted to numbers. Raises UserError, or ValueError without a cell."""
    found = {}
    for name, value in ROW.items():
        cell = cells[name]
        if cell is None:  # of a row half-written
            raise ValueError(f"{name} is missing")
        whole = value.kind is int and cell.endswith(".0")  # as pandas writes it
        found[name] = value.parse(name, cell.removesuffix(".0") if whole else cell)
    return found


def description_path(csv_file: Path) -> Path:
    """Where the description of the run with that CSV is."""
    return csv_file.with_suffix(".json")


def read_description(csv_file: Path) -> dict[str, Any]:
    """The description of the run with that CSV, unchecked; {} if there is none to be read."""
    try:
        found = json.loads(read_whole(description_path(csv_file), DESCRIPTION_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def described_flags(csv_file: Path) -> dict[str, Any]:
    """The flags in the description of the run with that CSV, unchecked; {} if it has none."""
    flags = read_description(csv_file).get("flags")
    return flags if isinstance(flags, dict) else {}
