"""The picture of several settings: curves with bands for each game, and what the seeds allow to be
said of all games together."""

from __future__ import annotations

import math
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

from errors import UserError
from plots.captions import escaped, heading, length, number, rounded
from plots.csv_files import Group, Results, common_name, group_runs
from plots.curves import GRAY, GROUP_COLORS, INK, MAX_PANELS, common, new_figure, prepare, span
from plots.intervals import (
    FEWEST_SEEDS,
    Scores,
    interquartile_mean,
    probability_of_improvement,
)
from runs.human_scores import SCORES, human_normalized

LAST_TESTS = 3  # averaged into a run's score
STYLES = ("-", (0, (4, 2)))  # the second for settings beyond the colors
MOST_SETTINGS = len(GROUP_COLORS) * len(STYLES)
ALL_PAIRS = 4  # settings; of more, each is compared with the first only


def scores_of(run: Results) -> list[float]:
    """A run's test scores in their order, all finite."""
    if "average_reward" not in run.fields:
        return []
    return [v for v in run.curve("test", "average_reward").values() if abs(v) < 1e100]


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


def settings_of(runs: Sequence[Results]) -> list[Setting]:
    """The settings of tested runs: their files' names less the game and the seed."""
    found: dict[str, dict[str, list[Results]]] = {}
    for run in runs:
        if scores_of(run):
            game, rest = _parts(run)
            found.setdefault(rest, {}).setdefault(game, []).append(run)
    if len(found) > MOST_SETTINGS:
        raise UserError(
            f"{len(found)} settings are too many for one picture: give at most {MOST_SETTINGS}."
        )
    shared = common_name(found) if len(found) > 1 else ""
    return [
        Setting(
            name=name[len(shared) :].strip("_- ") or name or "default",
            runs={game: tuple(group) for game, group in games.items()},
            color=GROUP_COLORS[i % len(GROUP_COLORS)],
            style=STYLES[i // len(GROUP_COLORS)],
        )
        for i, (name, games) in enumerate(found.items())
    ]


def _parts(run: Results) -> tuple[str, str]:
    """The game, and what is left of the file's name."""
    stem = run.series.stem
    # Without a description beside the CSV, a game's name may be the beginning of the file's.
    known = [game for game in SCORES if f"{stem}_".startswith(f"{game}_")]
    game = run.game if run.game != stem else max(known, key=len, default=stem)
    return game, stem.removeprefix(game).strip("_- ")


def compares_settings(groups: Sequence[Group]) -> bool:
    """Whether these are seeds of several settings or games, which this picture is for."""
    tested = all(scores_of(run) for group in groups for run in group.runs)
    return tested and len(groups) > 1 and any(len(group.runs) > 1 for group in groups)


def draw_comparison(
    runs: Sequence[Results], *, last_tests: int = LAST_TESTS, width: float, height: float
) -> Figure:
    """The figure, `width` x `height` inches. Raises UserError if there is too much to draw."""
    settings = settings_of(runs)
    games = list(dict.fromkeys(game for setting in settings for game in setting.runs))
    shown = games[: MAX_PANELS - 2]
    groups = group_runs(runs)
    panels = len(shown) + 1 + (len(settings) > 1)
    columns = math.ceil(math.sqrt(panels))
    rows = math.ceil(panels / columns)
    with prepare(rows, columns, width=width, height=height) as page:
        hidden = f" {len(games) - len(shown)} games are not drawn." if shown != games else ""
        figure = new_figure(heading(games), length(groups) + hidden, page)
        for place, game in enumerate(shown, start=1):
            axes = figure.add_subplot(rows, columns, place)
            axes.set_xlim(*span(groups))
            _curves(axes, game, settings)
            if place + columns > panels:
                axes.set_xlabel("Epoch")
        common_games = [game for game in games if all(game in s.runs for s in settings)]
        axes = figure.add_subplot(rows, columns, len(shown) + 1)
        _aggregates(axes, settings, common_games, last_tests)
        if len(settings) > 1:
            axes = figure.add_subplot(rows, columns, len(shown) + 2)
            _improvements(axes, settings, common_games, last_tests)
        _legend(figure, settings, size=14 * page)
    return figure


def _curves(axes: Axes, game: str, settings: Sequence[Setting]) -> None:
    axes.set_title(escaped(game.replace("_", " ").capitalize(), 30))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(lambda value, _: number(value))
    for setting in settings:
        runs = setting.runs.get(game, ())
        epochs, values = common([run.curve("test", "average_reward") for run in runs])
        if not len(epochs):
            continue
        line: dict[str, Any] = {"color": setting.color, "linestyle": setting.style}
        marker = "o" if len(epochs) == 1 else None
        if len(runs) < FEWEST_SEEDS:
            axes.plot(epochs, values[0], alpha=0.5, lw=1, marker=marker, **line)
            continue
        estimate = interquartile_mean([values])
        axes.plot(epochs, estimate.value, marker=marker, **line)
        band = (estimate.low, estimate.high)
        axes.fill_between(epochs, *band, color=setting.color, alpha=0.16, linewidth=0)
    if not axes.lines:
        _say(axes, "no epoch that all seeds have")


def _aggregates(
    axes: Axes, settings: Sequence[Setting], games: Sequence[str], last_tests: int
) -> None:
    """The interquartile mean of each setting's human-normalized scores."""
    axes.set_title("Interquartile mean, % of human")
    known = [game for game in games if human_normalized(game, 0.0) is not None]
    if not known:
        return _say(axes, "no game with a published human score")
    if not _enough(settings, known):
        return _say(axes, f"needs {FEWEST_SEEDS} seeds of each game")
    places = np.arange(len(settings))[::-1]
    for place, setting in zip(places, settings, strict=True):
        scores = [_normalized(game, setting.scores(game, last_tests)) for game in known]
        _interval(axes, place, interquartile_mean(scores), setting.color)
    axes.set_yticks(places, [escaped(setting.name, 30) for setting in settings])
    axes.set_ylim(-0.6, len(settings) - 0.4)
    axes.set_xlabel(
        f"{len(known)} game{'s' * (len(known) > 1)}, mean of the last {last_tests} tests"
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
    if len(settings) > ALL_PAIRS:
        pairs = [(other, settings[0]) for other in settings[1:]]
    places = np.arange(len(pairs))[::-1]
    for place, (x, y) in zip(places, pairs, strict=True):
        halves = ([s.scores(game, last_tests) for game in games] for s in (x, y))
        _interval(axes, place, probability_of_improvement(*halves), x.color, digits="{:.2f}")
    names = [f"{escaped(x.name, 24)} > {escaped(y.name, 24)}" for x, y in pairs]
    axes.set_yticks(places, names)
    axes.set_ylim(-0.6, len(pairs) - 0.4)
    axes.set_xlim(0, 1)
    axes.axvline(0.5, color=GRAY, lw=1, linestyle=(0, (5, 3)))


def _enough(settings: Sequence[Setting], games: Sequence[str]) -> bool:
    return all(len(s.runs[game]) >= FEWEST_SEEDS for s in settings for game in games)


def _normalized(game: str, scores: Scores) -> Scores:
    return np.array([human_normalized(game, score) for score in scores], np.float64)


def _interval(axes: Axes, place: float, estimate: Any, color: str, *, digits: str = "") -> None:
    size = matplotlib.rcParams["font.size"]
    axes.plot([estimate.low, estimate.high], [place, place], color=color, lw=0.5 * size, alpha=0.4)
    axes.plot(estimate.value, place, "o", color=color, markersize=0.6 * size)
    text = digits.format(estimate.value) if digits else rounded(float(estimate.value))
    at = (float(estimate.value), place)
    axes.annotate(text, at, (0, 0.6 * size), textcoords="offset points", ha="center", color=color)


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", color=GRAY)
    axes.set_xticks([])
    axes.set_yticks([])


def _legend(figure: Figure, settings: Sequence[Setting], *, size: float) -> None:
    entries: list[tuple[Any, str]] = []
    for setting in settings:
        counts = sorted({len(runs) for runs in setting.runs.values()})
        seeds = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
        handle = Line2D([], [], color=setting.color, linestyle=setting.style, lw=size / 4)
        plural = "s" * (counts[-1] > 1)
        entries.append((handle, f"{escaped(setting.name)} ({seeds} seed{plural})"))
    band = (Patch(color=INK, alpha=0.16, lw=0), Line2D([], [], color=INK))
    entries.append((band, "Interquartile mean of test scores, 95 % stratified bootstrap interval"))
    handles, labels = zip(*entries, strict=True)
    for columns in range(len(entries), 0, -1):
        legend = figure.legend(
            handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=size
        )
        if columns == 1 or legend.get_window_extent().width < 0.97 * figure.bbox.width:
            return
        legend.remove()
