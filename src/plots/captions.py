"""The text in a picture of results: titles, names, numbers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from plots.csv_files import Group, common_name, printable

TITLES = {
    "epoch": "Epoch",
    "steps": "Steps in the phase",
    "nr_games": "Games per phase",
    "average_reward": "Average score per game",
    "min_game_reward": "Lowest score of a game",
    "max_game_reward": "Highest score of a game",
    "last_exploration_rate": "Exploration rate",
    "total_train_steps": "Training steps so far",
    "replay_memory_count": "Steps in the replay memory",
    "meanq": "Mean maximum Q of the validation states",
    "meancost": "Mean training loss",
    "weight_updates": "Weight updates so far",
    "total_time": "Time since the start (seconds)",
    "epoch_time": "Time of the phase (seconds)",
    "steps_per_second": "Steps per second",
}
PHASE_NAMES = {"random": "Random play", "train": "Training", "test": "Testing"}
SPREAD = "Mean of seeds, band from lowest to highest"
FEWER = "Fewer seeds"


def title(field: str, game: str = "") -> str:
    """A panel's title: a description of the column, or its name if it is unknown."""
    name = TITLES.get(field, escaped(field))
    return f"{heading([game])}: {name[:1].lower()}{name[1:]}" if game else name


def heading(games: Sequence[str]) -> str:
    """The game, or games."""
    shared = common_name(games)
    names = [shared] if shared else games if len(games) < 4 else [f"{len(games)} games"]
    words = " and ".join(names).replace("_", " ").split(" ")
    return escaped(" ".join(w if w == "and" else w[:1].upper() + w[1:] for w in words))


def length(groups: Sequence[Group]) -> str:
    """50,000 random steps, then 200 epochs of 250,000 training and 125,000 testing steps.

    Where runs differ, from the least to the most; of snapshots, the number of tests.
    """
    runs = [run for group in groups for run in group.runs]
    steps = {}
    for phase in PHASE_NAMES:
        # The most common length: a run that was interrupted ends with a shorter phase.
        curves = [list(run.curve(phase, "steps").values()) for run in runs if "steps" in run.fields]
        modes = sorted({statistics.mode(curve) for curve in curves if curve})
        if modes:
            steps[phase] = _from_to(modes)
    epochs = sorted({run.last_epoch for run in runs})
    before = f"{steps['random']} random steps, then " if "random" in steps else ""
    if not before and not any(run.curve("train", "epoch") for run in runs):  # tests of snapshots
        tests = sum(len(run.curve("test", "epoch")) for run in runs)
        return f"{tests:,} test{'s' * (tests != 1)}"
    count = f"{_from_to(epochs)} epoch{'s' * (epochs[-1] != 1)}"
    per_epoch = [f"{steps[p]} {PHASE_NAMES[p].lower()}" for p in ("train", "test") if p in steps]
    return before + count + (f" of {' and '.join(per_epoch)} steps" if per_epoch else "")


def _from_to(values: Sequence[float]) -> str:
    """The first and the last of sorted values, or the only one."""
    ends = dict.fromkeys((values[0], values[-1]))
    return " to ".join(f"{value:,.0f}" for value in ends)


def number(value: float) -> str:
    """A number for people: 50M, 25k, 2,500, 0.00025, 1e-06."""
    for unit, letter, least in ((1e9, "G", 1e9), (1e6, "M", 1e6), (1e3, "k", 1e4)):
        if least <= abs(value) < 1e12:
            return f"{value / unit:,.5g}{letter}".replace("-", "\u2212")
    return f"{value:,.5g}".replace("-", "\u2212")


def rounded(value: float) -> str:
    """A number with four significant digits, or three if it is below 1: 170.5, 0.000375."""
    return number(float(f"{value:.4g}" if abs(value) >= 1 else f"{value:.3g}"))


def escaped(name: str, limit: int = 60) -> str:
    """A name for matplotlib: printable, and without formulas between dollar signs."""
    return printable(name, limit).replace("$", r"\$")
