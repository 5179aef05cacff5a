"""The results of a sweep: results/<name>.csv, a row for each run, and the picture, .png."""

from __future__ import annotations

import logging
import math
from pathlib import Path

from atomic import csv_bytes, write_atomically
from errors import UserError
from plots.comparison import scores_of
from plots.csv_files import Results, read_results
from sweeps.plan import PlannedRun, Sweep, is_finished, results_path

logger = logging.getLogger(__name__)

COLUMNS = (
    "run",
    "game",
    "setting",
    "seed",
    "finished",
    "epochs",
    "last",
    "best",
    "mean_of_last",
    "steps",
    "hours",
)


def write_results(sweep: Sweep, last_tests: int) -> list[Results]:
    """Write a row for each run that has results, and return the results of runs with a test.

    `last_tests` of a run's last tests are averaged. A full disk is reported.
    """
    rows, found = [], []
    for run in sweep.runs:
        try:
            results = read_results(run.csv_file)
        except UserError:  # nothing yet
            continue
        row = _row(run, results, last_tests)
        rows.append(row)
        if row["last"] != "":
            found.append(results)
    path = results_path(sweep.name)
    try:
        write_atomically(path, csv_bytes(COLUMNS, rows))
    except OSError as error:
        logger.error("Cannot write %s (%s).", path, error.strerror)
    return found


def _row(run: PlannedRun, results: Results, last_tests: int) -> dict[str, object]:
    scores = scores_of(results)
    _, newest = results.rows[-1]
    last = scores[-last_tests:]
    # NaN if that cell is damaged.
    steps, seconds = newest.get("total_train_steps", 0.0), newest.get("total_time", 0.0)
    return {
        "run": run.name,
        "game": run.game,
        "setting": run.setting,
        "seed": run.seed,
        "finished": str(is_finished(run)).lower(),
        "epochs": results.last_epoch,
        "last": scores[-1] if scores else "",
        "best": max(scores) if scores else "",
        "mean_of_last": sum(last) / len(last) if last else "",
        "steps": "" if math.isnan(steps) else int(steps),
        "hours": "" if math.isnan(seconds) else round(seconds / 3600, 3),
    }


def draw_results(sweep: Sweep, found: list[Results], last_tests: int) -> Path | None:
    """Draw the picture as ./plot.sh does; None if there is nothing to draw yet."""
    from plots.comparison import draw_comparison  # importing matplotlib is slow
    from plots.files import save_figure

    if not found:
        return None
    path = results_path(sweep.name).with_suffix(".png")
    try:
        figure = draw_comparison(found, last_tests=last_tests, width=16, height=9)
        save_figure(figure, path)
    except UserError as error:
        logger.error("%s", error)
        return None
    return path
