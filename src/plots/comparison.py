"""The picture of several settings: curves with bands for each game, and what the seeds allow to be
said of all games together."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from config import FIELDS
from errors import UserError
from plots.captions import FEWER, escaped, heading, length, number, rounded
from plots.csv_files import Group, Results, common_name, distinct_folders, group_runs
from plots.curves import (
    DASHES,
    DOTS,
    GRAY,
    GROUP_COLORS,
    INK,
    MAX_PANELS,
    Values,
    add_legend,
    aligned,
    drawable,
    new_figure,
    plot_mean,
    prepare,
    span,
)
from plots.intervals import (
    FEWEST_SEEDS,
    Estimate,
    Scores,
    interquartile_mean,
    probability_of_improvement,
)
from plots.layout import for_good, lay_out
from runs.human_scores import human_normalized

LAST_TESTS = 3  # averaged into a run's score
STYLES = ("-", (0, (4, 2)))  # the second for settings beyond the colors
MOST_SETTINGS = len(GROUP_COLORS) * len(STYLES)
ALL_PAIRS = 4  # settings; of more, each is compared with the first only
LONG_NAME = 26  # characters: a name with more has two lines
MOST_TALL_ROWS = 7  # that have room for it
ROWS_GROW = (4, 10)  # games: more have another row of panels
MOST_NOTES = 2  # on settings with fewer seeds
FLAG = re.compile(rf"(?:^|_)({'|'.join(sorted(FIELDS, key=len, reverse=True))})(?=_|$)")


def scores_by_epoch(run: Results) -> dict[float, float]:
    """A run's test scores by epoch, all finite, of tests in which a game ended."""
    if "average_reward" not in run.fields:
        return {}
    return drawable(run.curve("test", "average_reward"))


def scores_of(run: Results) -> list[float]:
    """A run's test scores in their order, all finite."""
    return list(scores_by_epoch(run).values())


def check_tested(run: Results) -> None:
    """Raise UserError for a run that a comparison cannot draw."""
    if not scores_of(run):
        raise UserError(f"{run.path} has no test yet in which a game ended.")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The runs of one setting, by game."""

    name: str
    runs: dict[str, tuple[Results, ...]]
    color: str
    style: Any

    def scores(self, game: str, last_tests: int) -> Scores:
        """A run's score is the mean of its last tests: (runs,)."""
        found = [scores_of(run)[-last_tests:] for run in self.runs[game]]
        return np.array([sum(each) / len(each) for each in found], np.float64)

    @property
    def label(self) -> str:
        """Its name beside a row of a panel, where it may have a second line."""
        return escaped(self.name).replace(", ", ",\n", 1)

    @property
    def shorter(self) -> str:
        """How many of its runs have fewer tests than others, and how many; "" if none has."""
        ends = [[max(scores_by_epoch(run)) for run in runs] for runs in self.runs.values()]
        early = [end for each in ends for end in each if end < max(each)]
        if not early:
            return ""
        return f"{self.name}: {len(early)} of {sum(map(len, ends))} runs until epoch {min(early):g}"


def settings_of(runs: Sequence[Results]) -> list[Setting]:
    """The settings of tested runs: their files' names less the game and the seed."""
    found: dict[str, dict[str, list[Results]]] = {}
    tested = [run for run in runs if scores_of(run)]
    folders = distinct_folders([run.series for run in tested])
    for run in tested:
        name = f"{folders[run.series]}{run.setting}".rstrip("/")
        found.setdefault(name, {}).setdefault(run.game, []).append(run)
    if len(found) > MOST_SETTINGS:
        raise UserError(
            f"{len(found)} settings are too many for one picture: give at most {MOST_SETTINGS}."
        )
    shared = common_name(found) if len(found) > 1 else ""
    flags = [*FLAG.finditer(shared)]
    if flags:  # learning_rate_0.1 and learning_rate_0.2 share the flag, which must be named
        shared = shared[: flags[-1].start()]
    return [
        Setting(
            name=_in_words(name[len(shared) :]) or _in_words(name) or "default",
            runs={game: tuple(group) for game, group in games.items()},
            color=GROUP_COLORS[i % len(GROUP_COLORS)],
            style=STYLES[i // len(GROUP_COLORS)],
        )
        for i, (name, games) in enumerate(found.items())
    ]


def _in_words(name: str) -> str:
    """x_learning_rate_0.1_double_q_true as x, learning_rate 0.1, double_q true."""
    return FLAG.sub(r", \1 ", name).replace(" _", " ").strip(",_- ")


def compares_settings(groups: Sequence[Group]) -> bool:
    """Whether these are seeds of several settings or games, which this picture is for."""
    tested = any(scores_of(run) for group in groups for run in group.runs)
    return tested and len(groups) > 1 and any(len(group.runs) > 1 for group in groups)


def draw_comparison(
    runs: Sequence[Results],
    *,
    last_tests: int = LAST_TESTS,
    width: float,
    height: float,
    dpi: float = 80,
) -> Figure:
    """The figure, `width` x `height` inches of `dpi` pixels.

    Raises UserError if there is too much to draw.
    """
    settings = settings_of(runs)
    games = list(dict.fromkeys(game for setting in settings for game in setting.runs))
    shown = games[: MAX_PANELS - 2]
    groups = group_runs(runs)
    rows = sum(len(shown) > most for most in (0, *ROWS_GROW))
    columns = math.ceil(len(shown) / rows)
    below = len(shown) > 1  # the curves of one game have the left half of the page
    with prepare(rows, max(columns, 2), width=width, height=height, dpi=dpi) as page:
        more = len(games) - len(shown)
        hidden = f"; {more} game{'s' * (more > 1)} not drawn" if more else ""
        figure = new_figure(heading(games), length(groups) + hidden, page)
        # Each half has margins of its own, because names of settings are long.
        halves = {"nrows": 2, "height_ratios": [rows, 1]} if below else {"ncols": 2}
        upper, lower = figure.subfigures(**halves)
        for place, game in enumerate(shown, start=1):
            axes = upper.add_subplot(rows, columns, place)
            axes.set_xlim(*span(groups))
            _curves(axes, game, settings)
        common_games = [game for game in games if all(game in s.runs for s in settings)]
        several = 1 + (len(settings) > 1)
        grid = (1, several) if below else (several, 1)
        dots = [*lower.subplots(*grid, squeeze=False).flat]
        _aggregates(dots[0], settings, common_games, last_tests)
        if several > 1:
            _improvements(dots[1], settings, common_games, last_tests)
        _legend(figure, settings, size=page * (14 if len(settings) <= MOST_TALL_ROWS else 11))
        lay_out(figure)
        for axes in dots:
            _fit(axes, 72 * axes.bbox.height / figure.dpi)
        lay_out(figure)  # a layout is exact only if it hardly differs from the one before
        with for_good():
            figure.draw_without_rendering()
        figure.set_layout_engine("none")  # or moving what is written would move the panels
        for axes in dots:
            _keep_on_page(axes, 0.99 * figure.bbox.width)
    return figure


def _curves(axes: Axes, game: str, settings: Sequence[Setting]) -> None:
    axes.set_title(heading([game]))
    axes.set_xlabel("Epoch")
    axes.set_ylabel("Test score")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: number(value))
    for setting in settings:
        runs = setting.runs.get(game, ())
        if not runs:
            continue
        epochs, values = aligned([scores_by_epoch(run) for run in runs])
        line: dict[str, Any] = {"color": setting.color, "linestyle": setting.style}
        line["marker"] = "o" if len(epochs) == 1 else None
        if len(runs) < FEWEST_SEEDS:
            axes.plot(epochs, values[0], alpha=0.5, lw=1, **line)
            continue
        estimate = _by_epoch(values)
        plot_mean(axes, epochs, estimate.value, values, **line)
        band = (estimate.low, estimate.high)
        axes.fill_between(epochs, *band, color=setting.color, alpha=0.16, linewidth=0)


def _by_epoch(values: Values) -> Estimate:
    """The interquartile mean at each epoch of the runs (runs, epochs) that have a value there.

    A single run has no interval.
    """
    found = np.full((3, values.shape[1]), math.nan)
    present = ~np.isnan(values)
    for these in np.unique(present, axis=1).T:
        at = (present == these[:, None]).all(axis=0)
        drawn = values[these][:, at]
        if len(drawn) < FEWEST_SEEDS:
            found[0, at] = drawn[0]
        else:
            found[:, at] = interquartile_mean([drawn])
    return Estimate(*found)


def _aggregates(
    axes: Axes, settings: Sequence[Setting], games: Sequence[str], last_tests: int
) -> None:
    """The interquartile mean of each setting's human-normalized scores."""
    axes.set_title("Interquartile mean, % of human")
    if not games:
        return _say(axes, "no game that all settings have")
    known = [game for game in games if human_normalized(game, 0.0) is not None]
    if not known:
        return _say(axes, "no game with a published human score")
    if not _enough(settings, known):
        return _say(axes, f"needs {FEWEST_SEEDS} seeds of each game")
    places = _rows(axes, [setting.label for setting in settings])
    for place, setting in zip(places, settings, strict=True):
        scores = [_normalized(game, setting.scores(game, last_tests)) for game in known]
        _interval(axes, place, interquartile_mean(scores), setting)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(lambda value, _: number(value))
    axes.set_xlabel(
        f"{len(known)} game{'s' * (len(known) > 1)}, mean of each run's last {last_tests} tests"
    )


def _improvements(
    axes: Axes, settings: Sequence[Setting], games: Sequence[str], last_tests: int
) -> None:
    """The probability that a run of one setting beats a run of another."""
    axes.set_title("Probability of improvement")
    if not games:
        return _say(axes, "no game that all settings have")
    if not _enough(settings, games):
        return _say(axes, f"needs {FEWEST_SEEDS} seeds of each game")
    pairs = [(b, a) for a, b in combinations(settings, 2)]
    names = [f"{escaped(x.name)}\n> {escaped(y.name)}" for x, y in pairs]
    if len(settings) > ALL_PAIRS:
        pairs = [(other, settings[0]) for other in settings[1:]]
        names = [x.label for x, _ in pairs]
        axes.set_xlabel(f"over {escaped(settings[0].name)}")
    for place, (x, y) in zip(_rows(axes, names), pairs, strict=True):
        halves = ([s.scores(game, last_tests) for game in games] for s in (x, y))
        _interval(axes, place, probability_of_improvement(*halves), x, digits="{:.2f}")
    axes.set_xlim(-0.05, 1.05)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.axvline(0.5, color=GRAY, lw=1, linestyle=DASHES)


def _enough(settings: Sequence[Setting], games: Sequence[str]) -> bool:
    return all(len(s.runs[game]) >= FEWEST_SEEDS for s in settings for game in games)


def _normalized(game: str, scores: Scores) -> Scores:
    return np.array([human_normalized(game, score) for score in scores], np.float64)


def _rows(axes: Axes, names: Sequence[str]) -> list[int]:
    """A row of a panel for each name, in which a line may end if it is long."""
    if len(names) > MOST_TALL_ROWS or max(map(len, names)) < LONG_NAME:
        names = [name.replace("\n", " ") for name in names]
    places = list(range(len(names)))[::-1]
    axes.set_yticks(places, names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    return places


def _fit(axes: Axes, height: float) -> None:
    """Makes letters, bars and dots as small as the rows of a panel of `height` points."""
    labels = axes.get_yticklabels()
    # Two lines of one name must be nearer to each other than to those of the next one.
    lines = max((1.35 * label.get_text().count("\n") + 1.25 for label in labels), default=1)
    size = matplotlib.rcParams["font.size"]
    small = min(1, height / (len(labels) + 0.2) / lines / size)
    for label in labels:
        label.set(fontsize=small * size, linespacing=1, color=INK)
    for text in axes.texts if labels else ():
        text.set_fontsize(small * size)
    for line in axes.lines:
        line.set(linewidth=small * line.get_linewidth(), markersize=small * line.get_markersize())


def _keep_on_page(axes: Axes, right: float) -> None:
    """Moves what is written above and below a narrow panel away from the page's right edge."""
    for text in (axes.set_title(axes.get_title(loc="left")), axes.xaxis.label):
        beyond = max(0, text.get_window_extent().x1 - right)
        text.set_x(text.get_position()[0] - beyond / axes.bbox.width)


def _interval(
    axes: Axes, place: float, estimate: Estimate, setting: Setting, *, digits: str = ""
) -> None:
    """A bar for the interval, a dot for the value, and to the right of all of them its figures."""
    size = matplotlib.rcParams["font.size"]
    line: dict[str, Any] = {"color": setting.color, "clip_on": False}
    ends = [estimate.low, estimate.high]
    axes.plot(ends, [place, place], lw=0.5 * size, alpha=0.4, solid_capstyle="butt", **line)
    fill = setting.color if setting.style == STYLES[0] else "white"
    dot: dict[str, Any] = {"markersize": 0.7 * size, "markerfacecolor": fill}
    axes.plot(estimate.value, place, "o", markeredgewidth=0.12 * size, zorder=3, **dot, **line)
    text = digits.format(estimate.value) if digits else rounded(float(estimate.value))
    right = axes.get_yaxis_transform()
    axes.text(1.02, place, text, transform=right, va="center", size=size, color=INK)


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", color=GRAY)
    axes.set_xticks([])
    axes.set_yticks([])


def _legend(figure: Figure, settings: Sequence[Setting], *, size: float) -> None:
    entries: list[tuple[object, str]] = []
    for setting in settings:
        counts = sorted({len(runs) for runs in setting.runs.values()})
        seeds = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
        handle = Line2D([], [], color=setting.color, linestyle=setting.style, lw=size / 4)
        plural = "s" * (counts[-1] > 1)
        entries.append((handle, f"{escaped(setting.name)} ({seeds} seed{plural})"))
    band = (Patch(color=INK, alpha=0.16, lw=0), Line2D([], [], color=INK))
    entries.append((band, "Interquartile mean of test scores, 95 % stratified bootstrap interval"))
    shorter = [setting.shorter for setting in settings if setting.shorter]
    if shorter:
        more = len(shorter) - MOST_NOTES
        notes = [*map(escaped, shorter[:MOST_NOTES]), *([f"{more} more"] if more > 0 else [])]
        handle = Line2D([], [], color=INK, linestyle=DOTS, lw=size / 6)
        entries.append((handle, f"{FEWER} ({'; '.join(notes)})"))
    add_legend(figure, entries, size=size)
