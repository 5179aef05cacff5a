"""Draws results CSVs in one picture: `./plot.sh results/breakout.csv` makes results/breakout.png.

There is a panel for each field, with curves over epochs of training and testing and a line for
random play. Runs whose paths differ only in a seed number (breakout_seed1.csv, breakout_seed2.csv)
are drawn as one: their mean, dotted where some of them have no value, and a band from the lowest to
the highest. Each other run has its own curves. Scores of several games have a panel each. The CSV
of ./test.sh SNAPSHOT... is drawn as the runs that its snapshots are from.

Several settings or games with several seeds each are compared, unless --fields is given: for each
game the interquartile mean of the seeds, then the interquartile mean of the human-normalized scores
of all games, and the probability that one setting is better than another, all with 95 % bootstrap
intervals.
"""

from __future__ import annotations

from commands.prepare import prepare

if __name__ == "__main__":
    prepare()

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib

from atomic import stamp
from commands.exit_codes import exit_code, say
from commands.plain_parser import PlainParser
from errors import NotSaved, UserError, clean
from plots.comparison import check_tested, compares_settings, draw_comparison
from plots.csv_files import (
    Group,
    NotYet,
    Results,
    common_name,
    group_runs,
    listed,
    printable,
    read_runs,
)
from plots.curves import MAX_GROUPS, MAX_PANELS, draw, has_curves
from plots.files import save_figure

FIELDS = "average_reward,meanq,nr_games,meancost"
FOLLOW_SECONDS = 10.0
DEVICES = (Path("/dev"), Path("/dev/fd"))  # of ./plot.sh /dev/stdin < results/pong.csv
MAX_PIXELS = 20_000  # of a side: 1.6 GB while it is drawn
LEAST_DPI = 8  # for a page of 16 x 9 inches; with fewer, letters would be smaller than a pixel
WEBP_PIXELS = 16_383  # of a side: the format's limit


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line. Raises UserError if a value is out of range."""
    parser = PlainParser(prog="./plot.sh", description=__doc__)
    add = parser.add_argument
    add(
        "csv_file",
        nargs="+",
        type=Path,
        help="results CSVs: one run, its seeds, or runs to compare",
    )
    add(
        "--png_file",
        type=Path,
        help="the picture (default: named after the CSVs, in the folder of the first)",
    )
    add(
        "--fields",
        type=_fields,
        help=f"numeric columns, one panel for each (default {FIELDS})",
    )
    add("--dpi", type=_within(10, 1000), default=80, help="pixels per inch (default 80)")
    size = _within(3, 100)
    add("--figure_width", type=size, default=16, help="inches (default 16)")
    add("--figure_height", type=size, default=9, help="inches (default 9)")
    add(
        "--follow",
        metavar="SECONDS",
        type=_within(0.1, 86400),
        help=f"redraw new results every SECONDS (default {FOLLOW_SECONDS:g}) until Ctrl-C",
    )
    options = parser.parse_intermixed_args(_with_seconds(arguments))
    is_webp = options.png_file and options.png_file.suffix.lower() == ".webp"
    most = WEBP_PIXELS if is_webp else MAX_PIXELS
    if options.dpi * max(options.figure_width, options.figure_height) > most:
        parser.error(f"the picture would be more than {most:,} pixels long: lower --dpi")
    page = min(options.figure_width / 16, options.figure_height / 9)
    if options.dpi * page < LEAST_DPI:
        parser.error("letters would be smaller than a pixel: raise --dpi, or give more inches")
    return options


def read_groups(
    paths: Sequence[Path], fields: Sequence[str] | None
) -> tuple[list[Group], list[str]]:
    """Reads the CSVs and groups the seeds.

    Returns the groups, and a note for each CSV and run that is left out. Raises UserError if
    nothing can be drawn.
    """
    found: list[Results] = []
    errors: list[UserError] = []
    for path in paths:
        try:
            found += read_runs(path)
        except UserError as error:
            errors.append(error)
    compared = fields is None and compares_settings(group_runs(found))
    runs = []
    for run in found:
        try:
            check_tested(run) if compared else _check_fields(run, fields or FIELDS.split(","))
            runs.append(run)
        except UserError as error:
            errors.append(error)
    if not runs:
        raise errors[0]
    groups = group_runs(runs)
    if len(groups) > MAX_GROUPS and not compared:
        raise UserError(
            f"{len(groups)} different runs are too many for one picture; "
            f"give at most {MAX_GROUPS} (seeds of one run count once)."
        )
    return groups, [f"left out: {error}" for error in errors]


def _check_fields(run: Results, fields: Sequence[str]) -> None:
    for field in fields:
        if field not in run.fields:
            raise UserError(
                f"{run.path} has no numeric column {printable(field)}; "
                f"--fields can be any of {listed(run.fields)}."
            )


def usual_fields(groups: Sequence[Group]) -> list[str]:
    """The usual fields, without those that have no values: tests alone have no loss."""
    fields = FIELDS.split(",")
    return [field for field in fields if has_curves(groups, field)] or fields


def png_path(groups: Sequence[Group]) -> Path:
    """A path in the folder of the first CSV, named after what the names of all runs share.

    That is the game and more, or what is behind the game; if they share nothing, their games.
    Raises UserError if that is the system's folder of devices.
    """
    runs = [group.runs[0] for group in groups]
    first = runs[0].path
    folder = first.absolute().parent
    if folder in DEVICES or folder.is_relative_to("/proc"):
        raise UserError(f"{first} has no folder for pictures: name the picture with --png_file.")
    if len({run.path for group in groups for run in group.runs}) == 1:
        return first.with_suffix(".png")
    name = (
        common_name(run.series.stem for run in runs)
        or common_name(run.setting for run in runs)
        or "_".join(dict.fromkeys(run.game for run in runs))[:100]
    )
    return first.with_name(f"{name}.png")


def plot(options: argparse.Namespace) -> Path:
    """Reads, draws and reports what was drawn and what was skipped; returns the picture's path."""
    groups, left_out = read_groups(options.csv_file, options.fields)
    path: Path = options.png_file or png_path(groups)
    runs = [run for group in groups for run in group.runs]
    size = {"width": options.figure_width, "height": options.figure_height, "dpi": options.dpi}
    if not options.fields and compares_settings(groups):
        figure = draw_comparison(runs, **size)
    else:
        figure = draw(groups, options.fields or usual_fields(groups), **size)
    save_figure(figure, path)
    for note in [*left_out, *(note for run in runs for note in run.notes)]:
        print(clean(f"plot: {note}"), file=sys.stderr)
    epochs = max(run.last_epoch for run in runs)
    print(clean(f"{time.strftime('%H:%M:%S')} drew {path} up to epoch {epochs}"), flush=True)
    return path


def follow(options: argparse.Namespace) -> None:
    """Redraws whenever a CSV has changed, until Ctrl-C.

    Waits if there are no results yet, or no room for the picture.
    """
    seen: list[tuple[int, int] | None] | None = None
    said = ""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            now = [stamp(path) for path in options.csv_file]
            if now != seen:
                seen = now
                problem = ""
                try:
                    plot(options)
                except NotYet as reason:
                    problem = str(reason)
                except NotSaved as reason:
                    problem, seen = str(reason), None  # there may be room at the next look
                if problem and problem != said:
                    say(f"plot: waiting: {problem}")
                said = problem
            time.sleep(options.follow)
    say("")


def main(arguments: Sequence[str]) -> int:
    """Runs the command line. Returns an exit code, see errors.py."""
    matplotlib.rcdefaults()  # a user's own matplotlibrc must not spoil the layout
    with exit_code("plot") as ending:
        options = parse(arguments)
        plot(options) if options.follow is None else follow(options)
    return ending.code


def _within(low: float, high: float) -> Callable[[str], float]:
    def parse_number(word: str) -> float:
        try:
            value = float(word)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be a number from {low:g} to {high:g}")
        return value

    return parse_number


def _fields(word: str) -> list[str]:
    fields = list(dict.fromkeys(name.strip() for name in word.split(",") if name.strip()))
    if not 1 <= len(fields) <= MAX_PANELS:
        raise argparse.ArgumentTypeError(f"takes 1 to {MAX_PANELS} columns, parted by commas")
    return fields


def _with_seconds(arguments: Sequence[str]) -> list[str]:
    """Insert the default of --follow if it is not followed by a number but by a file."""
    words = list(arguments)
    for i, word in enumerate(words):
        following = words[i + 1] if i + 1 < len(words) else ""
        if word == "--follow" and not following.replace(".", "", 1).isdigit():
            words[i] = f"--follow={FOLLOW_SECONDS:g}"
    return words


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
