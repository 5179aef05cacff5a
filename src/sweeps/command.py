"""The command line of ./sweep.sh."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from checkpoint.resume import CHANGE_LEARNING, MAY_CHANGE
from commands.catalog import Verb
from commands.flags import Parser, text_of
from commands.plain_parser import PlainParser
from commands.presets import read_preset
from commands.verbs import Task, parse
from config import CODE, FIELDS, kind_of, parse_value, unknown_flag
from errors import UserError, shown
from paths import portable_flags
from schema import Value
from sweeps.plan import MOST_RUNS, Sweep, run_label

USAGE = "./sweep.sh GAME... [flags], or ./sweep.sh status NAME"
DESCRIPTION = """\
Trains every combination of games, settings and seeds, as many runs at once as there are cores.
Each is an ordinary run, results/<game>_<name>_<setting>_seed<k>.csv, which works with resume, test,
play, plot and nvis. Give the same command again to finish an interrupted sweep. The results of all
runs are in results/<name>.csv and results/<name>.png. status NAME shows the progress of a sweep."""
# Flags that a sweep sets itself, or that make no sense for many runs.
REFUSED = {
    "log",
    "random_seed",
    "start_epoch",
    "play_games",
    "test_games",
    "overwrite",
    "display_screen",
}
REFUSED |= {flag for flag in FIELDS if kind_of(flag) is Path and flag != "load_weights"}
KEPT = (*MAY_CHANGE, *CODE)  # given to a resumed run again; named code needs no agreement
NAME = re.compile(r"[A-Za-z0-9][\w.+-]*", re.ASCII)
COUNT = Value(kind=int, low=1, high=1000)
SEED = Value(kind=int, low=0, high=2**31 - 1)
CORES = Value(kind=float, low=0.01, high=4096)
CARDS = Value(kind=float, low=0, high=64)


@dataclass(frozen=True, kw_only=True)
class Command:
    """What is to be done."""

    sweep: Sweep
    begin: dict[str, tuple[str, ...]]  # the arguments that start a run, by its name
    again: dict[str, tuple[str, ...]]
    cpus: float  # for each run
    gpus: float
    address: str | None
    last_tests: int
    dry_run: bool
    detach: bool


def read_command(arguments: Sequence[str]) -> Command:
    """Parse and check a command line. Raises UserError; exits after --help."""
    own, rest = _own_parser().parse_known_args(list(arguments))
    games, given = Parser(Verb(USAGE, DESCRIPTION)).parse(rest)
    if not games:
        raise UserError(f"Call it as {USAGE}; --help explains the flags.")
    if refused := sorted(REFUSED & given.keys()):
        instead = ": give --seeds" if refused[0] == "random_seed" else ""
        raise UserError(f"--{refused[0]} is not for a sweep{instead or ': remove it'}.")
    if not NAME.fullmatch(own.name):
        raise UserError(f"--name {shown(own.name)} becomes part of file names: use letters and _.")
    cpus = CORES.parse("--cpus", own.cpus)
    seeds = _seeds(own.seeds)
    settings = _settings(own.preset, own.vary or [], given, int(max(1, cpus)))
    if len(games) * len(seeds) * len(settings) > MOST_RUNS:
        raise UserError(f"A sweep has at most {MOST_RUNS:,} runs: divide it into several.")
    tasks = {
        (game, setting): _task(game, own.name, setting, seeds[0], flags)
        for setting, flags in settings.items()
        for game in games
    }
    named = {game: tasks[game, next(iter(settings))].game for game in games}
    if len(set(named.values())) < len(games):
        raise UserError("A game is named twice: name each once.")
    sweep = Sweep(
        name=own.name,
        games=tuple(named.values()),
        seeds=seeds,
        settings={s: _decisive(tasks[games[0], s]) for s in settings},
    )
    words = {name: game for game, name in named.items()}
    begin, again = {}, {}
    for run in sweep.runs:
        flags = settings[run.setting]
        place = (words[run.game], run.label)
        begin[run.name] = ("train", *place, *flags, f"--random_seed={run.seed}", "--overwrite")
        kept = [word for word in flags if word[2:].split("=")[0] in KEPT]
        again[run.name] = ("resume", *place, *kept)
    return Command(
        sweep=sweep,
        begin=begin,
        again=again,
        cpus=cpus,
        gpus=CARDS.parse("--gpus", own.gpus),
        address=own.address,
        last_tests=COUNT.parse("--last_tests", own.last_tests),
        dry_run=own.dry_run,
        detach=own.detach,
    )


def _own_parser() -> argparse.ArgumentParser:
    parser = PlainParser(
        prog="./sweep.sh",
        usage=USAGE,
        description=DESCRIPTION,
        epilog="All flags of ./train.sh are accepted too; ./train.sh --help all explains them.",
    )
    add = parser.add_argument
    add(
        "--seeds",
        default="5",
        metavar="N|A,B,C",
        help="the number of seeds (1 to N), or a list of them [5]",
    )
    add("--preset", metavar="P[,Q]", help="presets to compare, or one for all runs")
    add(
        "--vary",
        action="append",
        metavar="FLAG=A,B,C",
        help="values of a flag to compare; may be repeated",
    )
    add("--name", default="sweep", help="name of the sweep, part of all file names [sweep]")
    add("--cpus", default="1", metavar="N", help="cores, and threads, for each run [1]")
    add("--gpus", default="0", metavar="N", help="GPUs for each run; 0.25: four runs share one [0]")
    add("--address", metavar="HOST:PORT", help="the head of a Ray cluster [only this machine]")
    add(
        "--last_tests",
        default="3",
        metavar="N",
        help="last tests averaged in results/<name>.csv [3]",
    )
    add(
        "--dry_run",
        action="store_true",
        help="list and measure the runs, estimate hours and disk space",
    )
    add(
        "--detach",
        action="store_true",
        help="run in the background; ./sweep.sh status NAME shows it",
    )
    return parser


def _seeds(text: str) -> tuple[int, ...]:
    words = [word for word in text.split(",") if word]
    if "," not in text:
        return tuple(range(1, COUNT.parse("--seeds", text) + 1))
    seeds = tuple(SEED.parse("--seeds", word) for word in words)
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds {shown(text)} names no seed, or one twice.")
    return seeds


def _settings(
    presets: str | None, varied: Sequence[str], given: dict[str, Any], threads: int
) -> dict[str, tuple[str, ...]]:
    """The flags of each setting, by the setting's name."""
    choices: list[list[tuple[str, str]]] = []  # of each varied flag, its values
    fixed = {flag: text_of(value) for flag, value in given.items()}
    names = presets.split(",") if presets else []
    if len(names) > 1:
        choices.append([("preset", name) for name in names])
    elif names:
        fixed["preset"] = names[0]
    for word in varied:
        flag, _, values = word.partition("=")
        if flag not in FIELDS or flag == "game":
            raise unknown_flag(flag)
        if flag in REFUSED or flag == "preset" or flag in fixed:
            raise UserError(
                f"--vary {flag} is not possible: the sweep sets --{flag} itself, or it is given "
                "already."
            )
        if "" in values.split(","):
            raise UserError(f"--vary {shown(word)} needs values: --vary {flag}=A,B.")
        parsed = [parse_value(flag, value) for value in values.split(",")]
        if any(value in parsed[:n] for n, value in enumerate(parsed)):
            raise UserError(f"--vary {shown(word)} has a value twice: give each once.")
        choices.append([(flag, value) for value in values.split(",")])
    settings: dict[str, tuple[str, ...]] = {}
    for combination in product(*choices):
        flags = fixed | dict(combination)
        preset = read_preset(flags["preset"]) if "preset" in flags else {}
        # One thread per run, because a run has one core; the number of parts affects the last bits.
        # Runs that start together would all rely on the same free memory for an array.
        count = str(threads)
        own = {"threads": count, "update_parts": count, "replay_storage": "compressed"}
        flags = {flag: value for flag, value in own.items() if flag not in preset} | flags
        name = "_".join(_word(flag, value) for flag, value in combination)
        if name in settings:
            raise UserError(
                f"There are two settings {name}: give each value once, and files different names."
            )
        settings[name] = tuple(f"--{flag}={value}" for flag, value in flags.items())
    return settings


def _word(flag: str, value: str) -> str:
    """A setting's part of a file name."""
    if flag in CODE and ":" in value:  # FILE.py:CLASS
        file, _, name = value.rpartition(":")
        value = f"{Path(file).stem}-{name}"
    elif kind_of(flag) is Path or value.endswith(".toml"):  # a preset's file
        value = Path(value).stem
    value = re.sub(r"[^\w.+-]+", "-", value, flags=re.ASCII)
    return value if flag == "preset" else f"{flag}_{value}"


def _task(game: str, name: str, setting: str, seed: int, flags: tuple[str, ...]) -> Task:
    label = run_label(name, setting, seed)
    task = parse("train", [game, label, *flags, f"--random_seed={seed}"])
    if not task.config.train_steps:
        raise UserError("A sweep trains agents: give --train_steps above 0.")
    if not task.config.checkpoint_minutes:
        raise UserError("A sweep resumes runs: give --checkpoint_minutes above 0.")
    return task


def _decisive(task: Task) -> dict[str, Any]:
    """The flags that affect what is learned; --epochs too, so that runs can be compared."""
    left_out = {"game", "random_seed", *MAY_CHANGE} - set(CHANGE_LEARNING)
    return {k: v for k, v in portable_flags(task.config).items() if k not in left_out}
