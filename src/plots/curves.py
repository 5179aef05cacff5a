"""The picture of one or more runs: a panel a field, curves over epochs, one legend."""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from errors import UserError
from plots.captions import (
    FEWER,
    PHASE_NAMES,
    SPREAD,
    escaped,
    heading,
    length,
    number,
    rounded,
    title,
)
from plots.csv_files import SCORES, Group
from plots.layout import lay_out
from runs.results import PHASES

Values = NDArray[np.float64]
COUNTS = ("nr_games", "steps", "total_train_steps", "replay_memory_count", "weight_updates")
LEARNING = ("meancost",)  # without a meaning in phases that make no weight updates

# Okabe and Ito's palette for every kind of color vision, less its yellow, too faint on white.
BLUE, VERMILION, GREEN, PINK = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
ORANGE, SKY, INK, GRAY = "#e69f00", "#56b4e9", "#222222", "#6a6a6a"
PHASE_COLORS = {"random": GRAY, "train": BLUE, "test": VERMILION}
GROUP_COLORS = (BLUE, VERMILION, GREEN, PINK, ORANGE, SKY, INK)
MAX_GROUPS = len(GROUP_COLORS)
MAX_PANELS = 16

DASHES = (0, (5, 3))  # of the random baseline
DOTS = (0, (1, 1.2))  # where some seeds have no value
FEW = 30  # epochs: curves show their points where no more of them are drawn
FAR_APART = 100  # counts that differ by a larger factor get a logarithmic axis
TOO_LARGE = 1e100  # no axis can be computed for values beyond it


def draw(
    groups: Sequence[Group], fields: Sequence[str], *, width: float, height: float, dpi: float = 80
) -> Figure:
    """The figure, `width` x `height` inches of `dpi` pixels. Each run must have every field.

    Scores of several games have a panel each. Raises UserError if there are too many panels.
    """
    panels = [(field, game) for field in fields for game in _games_of(groups, field)]
    if len(panels) > MAX_PANELS:
        raise UserError(
            f"{len(panels)} panels are too many for one picture, because scores have one for each "
            f"game: give fewer --fields, or fewer games."
        )
    colored = list(zip(groups, GROUP_COLORS, strict=False))
    columns = math.ceil(math.sqrt(len(panels)))
    rows = math.ceil(len(panels) / columns)
    with prepare(rows, columns, width=width, height=height, dpi=dpi) as page:
        games = list(dict.fromkeys(run.game for group in groups for run in group.runs))
        figure = new_figure(heading(games), length(groups), page)
        # Of writing, as a part of a panel's height.
        line = matplotlib.rcParams["font.size"] / 72 / (0.6 * height / rows)
        for place, (field, game) in enumerate(panels):
            axes = figure.add_subplot(rows, columns, place + 1)
            axes.set_title(title(field, game))
            axes.set_xlim(*span(groups))
            here = [(g, color) for g, color in colored if game in ("", g.runs[0].game)]
            _panel(axes, here, field, by_phase=len(groups) == 1)
            _add_headroom(axes, (1.6 if field in SCORES else 0.6) * line)
            if place + columns >= len(panels):
                axes.set_xlabel("Epoch")
        _legend(figure, groups, fields, size=14 * page)
        _part_labels(figure)
    return figure


@contextlib.contextmanager
def prepare(rows: int, columns: int, *, width: float, height: float, dpi: float) -> Iterator[float]:
    """matplotlib's settings for so many panels; yields the page's size, 1 for 16 x 9 inches."""
    page = min(width / 16, height / 9)
    size = 15 * page * math.sqrt(2 / max(columns, 1.5))  # of the letters in a panel, in points
    style: dict[Any, Any] = {
        "figure.dpi": dpi,  # letters are not of exactly the same size with another
        "figure.figsize": (width, height),
        "font.size": size,
        "text.color": INK,
        "axes.edgecolor": GRAY,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.labelcolor": GRAY,
        "axes.linewidth": 0.8 * page,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlepad": 0.7 * size,
        "axes.titlesize": 1.1 * size,
        "axes.titleweight": "bold",
        "axes.ymargin": 0.05,
        "grid.color": "#e4e4e4",
        "grid.linewidth": 0.8 * page,
        "lines.linewidth": size / 7,
        "lines.markeredgewidth": size / 15,
        "lines.markersize": size / 2.5,
        "xtick.color": GRAY,
        "xtick.major.pad": size / 3,
        "xtick.major.size": 0,
        "ytick.color": GRAY,
        "ytick.major.pad": size / 2,
        "ytick.major.size": 0,
    }
    with matplotlib.rc_context(style):
        yield page


def new_figure(title: str, aside: str, page: float) -> Figure:
    """An empty figure with a heading and, to its right, what is said aside."""
    pad = 0.15 * page
    layout = ConstrainedLayoutEngine(w_pad=pad, h_pad=pad, wspace=0.03, hspace=0.03)
    figure = Figure(layout=layout, facecolor="white")
    left = figure.suptitle(title, x=0.012, ha="left", size=24 * page, weight="bold")
    side: dict[str, Any] = {"ha": "right", "va": "top", "size": 13 * page, "color": GRAY}
    right = figure.text(0.988, 0.97, aside, **side)
    room = 0.95 * figure.bbox.width - right.get_window_extent().width
    left.set_fontsize(24 * page * min(1, room / left.get_window_extent().width))
    return figure


def _games_of(groups: Sequence[Group], field: str) -> list[str]:
    """The games whose scores cannot share an axis; [""] if the panel is for all groups."""
    games = dict.fromkeys(group.runs[0].known_game for group in groups)
    return [*games] if field in SCORES and len(games) > 1 and "" not in games else [""]


def _panel(axes: Axes, groups: Sequence[tuple[Group, str]], field: str, *, by_phase: bool) -> None:
    """The curves of one field of groups with their colors, or `by_phase` with those of phases.

    Testing is bold, or training if there is no testing.
    """
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    shown = [curve for g, _ in groups for p in _phases(g, field) for curve in _curves(g, p, field)]
    values = [value for curve in shown for value in curve.values() if value > 0]
    if field in COUNTS and values and max(values) > FAR_APART * min(values):
        axes.set_yscale("symlog", linthresh=1)  # "sym" because some count may be 0
    else:
        whole = {"integer": True, "min_n_ticks": 1} if field in COUNTS else {}
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10], **whole))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    for group, color in groups:
        phases = _phases(group, field)
        for phase in phases:
            tint = PHASE_COLORS[phase] if by_phase else color
            curves = _curves(group, phase, field)
            if phase == "random":
                level = statistics.fmean(v for curve in curves for v in curve.values())
                width = 0.7 * matplotlib.rcParams["lines.linewidth"]
                axes.axhline(level, color=tint, linestyle=DASHES, linewidth=width)
            else:
                _band(axes, curves, color=tint, bold=phase == phases[-1])
                if phase == phases[-1]:
                    _marks(axes, curves, field, color=tint, words=len(groups) == 1)
    if not axes.lines:
        nothing = "no game ended" if field in SCORES else "no values"
        axes.text(0.5, 0.5, nothing, transform=axes.transAxes, ha="center", color=GRAY)
        axes.set_yticks([])


def _add_headroom(axes: Axes, share: float) -> None:
    """Room above the curves for writing, as a `share` of the panel's height."""
    scale = axes.yaxis.get_transform()
    low, high = scale.transform(axes.get_ylim())
    bottom, top = scale.inverted().transform([low, high + (high - low) * share])
    axes.set_ylim(bottom, top)


def _band(axes: Axes, curves: list[dict[float, float]], *, color: str, bold: bool) -> None:
    """One curve as a line; several as their mean, a band around it and a thin line for each."""
    width = matplotlib.rcParams["lines.linewidth"] * (1.0 if bold else 0.6)
    line: dict[str, Any] = {
        "color": color,
        "alpha": 1.0 if bold else 0.6,
        "zorder": 3.0 if bold else 2.5,
    }
    epochs, values = aligned(curves)
    marker = "o" if axes.viewLim.width <= FEW or len(epochs) == 1 else None
    mean = np.nanmean(values, axis=0)
    plot_mean(axes, epochs, mean, values, lw=width, marker=marker, clip_on=False, **line)
    if len(curves) > 1:
        band = (np.nanmin(values, axis=0), np.nanmax(values, axis=0))
        axes.fill_between(epochs, *band, color=color, alpha=0.16, linewidth=0, zorder=2)
        for curve in curves:
            thin = {**line, "alpha": 0.35, "linewidth": 0.4 * width}
            axes.plot(list(curve), list(curve.values()), **thin)


def _marks(
    axes: Axes, curves: list[dict[float, float]], field: str, *, color: str, words: bool
) -> None:
    """The last value in figures at the end of the curve, and a star at the best score."""
    epochs, values = aligned(curves)
    mean, size = np.nanmean(values, axis=0), matplotlib.rcParams["font.size"]
    note: dict[str, Any] = {
        "color": color,
        "path_effects": [withStroke(linewidth=size / 4, foreground="white")],
        "weight": "bold",
        "textcoords": "offset points",
        "zorder": 5,
    }
    end = (float(epochs[-1]), float(mean[-1]))
    axes.annotate(rounded(end[1]), end, (0.7 * size, 0), va="center", gid="end", **note)
    if field in SCORES:
        best = int(mean.argmax())
        at = (float(epochs[best]), float(mean[best]))
        star = {"marker": "*", "markersize": 1.2 * size, "markeredgecolor": "white"}
        axes.plot(*at, color=color, zorder=4, clip_on=False, **star)
        if words and best < len(epochs) - 1:
            low, high = axes.get_xlim()
            side = (at[0] - low) / (high - low)
            axes.annotate(
                f"best {rounded(at[1])} at epoch {at[0]:g}",
                at,
                (0, 0.8 * size),
                ha="left" if side < 0.3 else "right" if side > 0.8 else "center",
                **note,
            )


def _part_labels(figure: Figure) -> None:
    """Moves the figures at the ends of curves apart, up and then down from the panel's top."""
    lay_out(figure)
    for axes in figure.axes:
        labels = [t for t in axes.texts if isinstance(t, Annotation) and t.get_gid() == "end"]
        labels.sort(key=lambda label: label.xy[1])
        boxes = [label.get_window_extent() for label in labels]
        places = [(box.y0 + box.y1) / 2 for box in boxes]
        gap, count = max((box.height for box in boxes), default=0.0), len(boxes)
        beside = [[a.x0 < b.x1 and b.x0 < a.x1 for b in boxes] for a in boxes]
        for i in range(count):
            below = [places[j] + gap for j in range(i) if beside[i][j]]
            places[i] = max([places[i], *below])
        for i in reversed(range(count)):
            above = [places[j] - gap for j in range(i + 1, count) if beside[i][j]]
            places[i] = min([places[i], axes.bbox.y1, *above])
        for label, box, place in zip(labels, boxes, places, strict=True):
            lift = place - (box.y0 + box.y1) / 2
            label.xyann = (label.xyann[0], lift * 72 / figure.dpi)


def _legend(figure: Figure, groups: Sequence[Group], fields: Sequence[str], *, size: float) -> None:
    """One legend below all panels, in as few lines as fit the page."""
    one = len(groups) == 1
    entries: list[tuple[object, str]] = []
    if not one:
        for group, color in zip(groups, GROUP_COLORS, strict=False):
            seeds = f" ({len(group.runs)} seeds)" if len(group.runs) > 1 else ""
            entries.append((Line2D([], [], color=color, lw=size / 4), escaped(group.name) + seeds))
    drawn = {phase for group in groups for field in fields for phase in _phases(group, field)}
    for phase in (phase for phase in PHASES if phase in drawn):
        bold = phase == "test" or drawn.isdisjoint({"test"})
        handle = Line2D([], [], color=PHASE_COLORS[phase] if one else GRAY, lw=size / 6)
        if phase == "random":
            handle.set(linestyle=DASHES, linewidth=size / 9)
        elif not bold:
            handle.set(alpha=0.6, linewidth=size / 10)
        entries.append((handle, PHASE_NAMES[phase]))
    shown = [_curves(group, p, f) for group in groups for f in fields for p in _phases(group, f)]
    if any(len(group.runs) > 1 for group in groups):
        entries.append(((Patch(color=GRAY, alpha=0.3, lw=0), Line2D([], [], color=GRAY)), SPREAD))
        entries.append((Line2D([], [], color=GRAY, lw=size / 15, alpha=0.6), "Single seeds"))
    if any(np.isnan(aligned(curves)[1]).any() for curves in shown):
        entries.append((Line2D([], [], color=GRAY, lw=size / 6, ls=DOTS), FEWER))
    if drawn & {"train", "test"} and set(fields) & set(SCORES):
        color = PHASE_COLORS["test" if "test" in drawn else "train"] if one else GRAY
        star = Line2D([], [], color=color, marker="*", ls="", ms=size, markeredgecolor="white")
        entries.append((star, "Best score"))
    add_legend(figure, entries, size=size)


def add_legend(figure: Figure, entries: Sequence[tuple[object, str]], *, size: float) -> None:
    """A legend below all panels, in as few lines as fit the page."""
    for columns in range(len(entries), 0, -1):
        # matplotlib fills columns; people read rows
        by_row = [entry for column in range(columns) for entry in entries[column::columns]]
        handles, labels = zip(*by_row, strict=True)
        legend = figure.legend(
            handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=size
        )
        if columns == 1 or legend.get_window_extent().width < 0.97 * figure.bbox.width:
            return
        legend.remove()


def _phases(group: Group, field: str) -> list[str]:
    """The phases that have something to draw, the one that counts most last."""
    phases = ("train",) if field in LEARNING else PHASES
    return [phase for phase in phases if _curves(group, phase, field)]


def has_curves(groups: Sequence[Group], field: str) -> bool:
    """Whether there is something to draw of a field."""
    return any(_phases(group, field) for group in groups)


def _curves(group: Group, phase: str, field: str) -> list[dict[float, float]]:
    """The group's curves, of each the values that can be drawn: epoch -> value."""
    curves = [drawable(run.curve(phase, field)) for run in group.runs]
    return [curve for curve in curves if curve]


def drawable(curve: dict[float, float]) -> dict[float, float]:
    """A curve without values that no axis can be computed for."""
    return {epoch: value for epoch, value in curve.items() if abs(value) < TOO_LARGE}


def aligned(curves: Sequence[dict[float, float]]) -> tuple[Values, Values]:
    """The epochs (n,) that any of the curves has, and the values (curves, n) there.

    A curve is straight between its epochs, as it is drawn, and NaN before the first and after the
    last.
    """
    epochs = np.array(sorted(set().union(*curves)), np.float64)
    outside = {"left": math.nan, "right": math.nan}
    return epochs, np.array([np.interp(epochs, [*c], [*c.values()], **outside) for c in curves])


def plot_mean(axes: Axes, epochs: Values, mean: Values, values: Values, **line: Any) -> None:
    """The mean of curves (curves, n) as a line, dotted where some of them have no value."""
    fewer: NDArray[np.bool_] = np.isnan(values).any(axis=0)  # type: ignore[assignment]
    if not fewer.all():
        axes.plot(epochs, np.where(fewer, math.nan, mean), **line)
    if fewer.any():
        dotted = fewer.copy()  # with the neighbors that it starts and ends at
        dotted[1:] |= fewer[:-1]
        dotted[:-1] |= fewer[1:]
        axes.plot(epochs, np.where(dotted, mean, math.nan), **{**line, "linestyle": DOTS})


def span(groups: Sequence[Group]) -> tuple[float, float]:
    """From the start, or the first epoch of a run that began later, to the last epoch."""
    rows = [row for group in groups for run in group.runs for row in run.rows]
    epochs = [row["epoch"] for phase, row in rows if phase in PHASES[1:]] or [1.0]
    first, last = min(epochs), max(epochs)
    if first == last:
        return first - 0.5, last + 0.5
    return (0.0 if first <= 1 else first), last
