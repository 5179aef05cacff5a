"""Turns a command line into the task of a verb, with the files that it works on."""

from __future__ import annotations

import functools
import logging
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from checkpoint.files import Checkpoint, checkpoint_numbers
from checkpoint.resume import find_run, resumed_config
from commands.catalog import VERBS
from commands.combinations import PLAYING, check_verb
from commands.flags import Parser
from commands.presets import resolve, trained_with
from commands.shipped import choose_agent, find_agent, print_games
from config import CODE, FIELDS, ROOT, Config, check, kind_of
from envs.roms import ENDINGS, find_rom, game_name, rom_md5, rom_of_game
from errors import UserError, shown
from paths import (
    ask_for_places,
    earlier_snapshots,
    file_name,
    is_same_place,
    name_and_epoch,
    run_paths,
)
from runs.outputs import free_path
from runs.results import described_flags
from schema import Value
from snapshot.format import Snapshot, game_of, read_snapshot
from user_code.load import code_name
from user_code.trust import is_harmless, remember_code, trusted_code, trusted_game

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """What is to be done."""

    verb: str
    config: Config
    name: str  # <game>[_<label>], which names the files
    rom: Path | None  # None unless the environment is ALE
    snapshot: Snapshot | None = None  # to be loaded
    checkpoint: Checkpoint | None = None  # to resume from exactly
    given: tuple[str, ...] = ()  # flags on the command line

    @property
    def game(self) -> str:
        """The game's name, as in snapshots."""
        return game_name(str(self.rom)) if self.rom else file_name(self.config.game)

    @property
    def learns(self) -> bool:
        """Whether an agent is trained, or what that costs is measured."""
        config = self.config
        return self.verb not in ("test", *PLAYING) and not (config.play_games or config.test_games)

    @functools.cached_property
    def rom_md5(self) -> str:
        """The ROM's md5 sum, "" without one. The file may be gone before the run ends."""
        return rom_md5(self.rom) if self.rom else ""


def parse(verb: str, arguments: Sequence[str]) -> Task:
    """The task of a command line. Draws the seed if none is given.

    Raises UserError; exits after --help.
    """
    task = _parse(verb, arguments)
    if not task.learns:  # it writes neither snapshots nor checkpoints
        nowhere = replace(task.config, save_weights_prefix=None, checkpoint_path=None)
        task = replace(task, config=nowhere)
    if task.config.random_seed is None:
        task = replace(task, config=replace(task.config, random_seed=secrets.randbits(31)))
    return task


def _parse(verb: str, arguments: Sequence[str]) -> Task:
    about = VERBS[verb]
    words, given = Parser(about).parse(arguments)
    words = [check("game", word) for word in words]
    if given.pop("list", False):
        print_games(agents_folder())
        raise SystemExit(0)
    alone = given.pop("alone", False)
    for flag in CODE.keys() & given.keys():
        given[flag] = code_name(flag, given[flag])
        remember_code(given[flag])
    defaults = dict(about.defaults)
    if not words and verb.startswith("profile"):
        words = ["pong"]
    if not words and verb in ("test", "play", "record", "nvis") and not alone:
        words = [str(choose_agent(agents_folder(), about.usage))]
    if not words or len(words) > 1 + (verb in ("train", "resume")):
        raise UserError(f"Call it as {about.usage}; --help explains the flags.")
    if verb in ("train", "run") or verb.startswith("profile") or alone:
        return _game_task(verb, words[0], words[1:], defaults, given)
    if verb == "resume":
        return _resume_task(words, defaults, given)
    return _snapshot_task(verb, snapshot_of(verb, words[0]), defaults, given)


def agents_folder() -> Path:
    """Where the agents are that come with the project; no run writes there."""
    return ROOT / "agents"


def snapshot_of(verb: str, subject: str) -> Path:
    """The snapshot `subject`: a file, or the game of an agent that comes with the project."""
    path = Path(subject)
    if path.suffix == ".pkl" or (path.is_file() and path.suffix.lower() not in ENDINGS):
        return path
    if agent := find_agent(agents_folder(), subject):
        logger.info("Using %s, which comes with the project", agent)
        return agent
    if path.exists() or path.parent != Path():
        return path  # reading it says what is wrong with it
    alone = ", or play by yourself with --alone" if verb == "play" else ""
    raise UserError(
        f"No agent of {subject} comes with the project: give a snapshot{alone}. "
        "./train.sh --list names the games with an agent."
    )


def _game_task(
    verb: str, game: str, label: list[str], defaults: dict[str, Any], given: dict[str, Any]
) -> Task:
    if label and not re.fullmatch(r"[\w.+-]*\w[\w.+-]*", label[0]):
        label_shown = shown(label[0])
        raise UserError(
            f"The label {label_shown} becomes part of file names: use letters, digits and _."
        )
    snapshot, trained = None, None
    if weights := given.get("load_weights"):
        snapshot = read_snapshot(weights)
        trained = _trained(weights, snapshot, given)
    config = _resolve({**given, "game": game}, defaults, trained)
    is_ale = config.environment == "ale"
    if not is_ale and not is_harmless(game, config.environment):
        raise UserError(
            f"{shown(game)} cannot be the name of a game: use letters, digits, /, . and -."
        )
    name = "_".join([game_name(game) if is_ale else file_name(game), *label])
    RUN_NAME.check("The name of a run", name)
    check_verb(verb, config)
    if verb == "train":
        files: Any = {k: getattr(config, k) or path for k, path in run_paths(name).items()}
        config = replace(config, **files)
    rom = find_rom(game) if is_ale else None
    return Task(verb, config, name, rom, snapshot, given=tuple(given))


def _resolve(
    given: dict[str, Any], defaults: dict[str, Any], trained: dict[str, Any] | None
) -> Config:
    config = resolve(given, defaults, trained)
    code: Any = {flag: code_name(flag, getattr(config, flag)) for flag in CODE}
    return replace(config, **code)


def _trained(path: Path, snapshot: Snapshot, given: dict[str, Any]) -> dict[str, Any]:
    """The flags a snapshot was trained with. Raises UserError if they are not valid."""
    try:
        trained = trained_with(snapshot.flags)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    for flag in CODE.keys() & trained.keys() - given.keys():
        trained[flag] = trusted_code(path, flag, trained[flag])
    return trained


def _resume_task(words: Sequence[str], defaults: dict[str, Any], given: dict[str, Any]) -> Task:
    name, begin = find_run(words, given.get("checkpoint_path"))
    if isinstance(begin, Path):
        return _snapshot_task("resume", begin, defaults, given)
    config, rom = resumed_config(begin, name, words[0], given)
    return Task("resume", config, name, rom, checkpoint=begin, given=tuple(given))


def _snapshot_task(verb: str, path: Path, defaults: dict[str, Any], given: dict[str, Any]) -> Task:
    if "load_weights" in given:
        raise UserError(f"--load_weights would replace {path}: name one snapshot.")
    snapshot = read_snapshot(path)
    name = name_and_epoch(path)[0]
    defaults["load_weights"] = path
    if verb == "resume":
        defaults |= _resumed_defaults(path, snapshot, given)
        _refuse_namesake(path, name)
        _ask_for_files(path, name, snapshot.flags, given)
    for kind, flag, place in (
        ("record", "video_file", ROOT / "videos" / f"{path.stem}.mov"),
        ("nvis", "visualization_file", ROOT / "results" / f"{name}.html"),
    ):
        if verb == kind:
            defaults[flag] = place if given.get("overwrite") else free_path(place)
    trained = _trained(path, snapshot, given)
    environment = given.get("environment", trained.get("environment", "ale"))
    if trained.get("environment", "ale") != "ale":
        game = trusted_game(path, snapshot.flags.get("game"), environment)
    else:
        game = game_of(path, snapshot)
    rom = _rom_of(game, path) if environment == "ale" else None
    config = _resolve({**given, "game": game}, defaults, trained)
    check_verb(verb, config)
    if verb == "resume" and config.epochs <= config.start_epoch:
        raise UserError(
            f"{path} is of epoch {config.start_epoch} and the run ends with epoch {config.epochs}: "
            "give more --epochs."
        )
    return Task(verb, config, name, rom, snapshot, given=tuple(given))


def _resumed_defaults(path: Path, snapshot: Snapshot, given: dict[str, Any]) -> dict[str, Any]:
    """The values of flags with which training continues from a snapshot."""
    if "preset" in given:
        raise UserError(
            "A resumed run keeps its preset: give the flags that should change, or start a new "
            f"run with ./train.sh GAME LABEL --load_weights {path} --preset ..."
        )
    flags = snapshot.flags
    for unknown in flags.keys() - FIELDS.keys() - {*RETIRED}:
        word = shown(unknown).strip("'")
        logger.warning("%s was trained with --%s, which is ignored.", path, word)
    begun = {k: flags[k] for k in FIELDS if k in flags and k not in (*NOT_RESUMED, *given)}
    try:
        defaults = {flag: check(flag, value) for flag, value in begun.items()}
        if "target" in flags and "target" not in given:
            defaults["target"] = trusted_code(path, "target", check("target", flags["target"]))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    name = name_and_epoch(path)[0]
    defaults |= {"start_epoch": snapshot.epoch, **run_paths(name)}
    if path.absolute().parent != agents_folder():
        defaults["save_weights_prefix"] = path.with_name(name)
    return defaults


# Flags that a resumed run does not take from the snapshot. The places of files are decided by the
# command line or the run's name, never by a snapshot.
NOT_RESUMED = ("game", *CODE, "start_epoch", "overwrite")
NOT_RESUMED += tuple(name for name in FIELDS if kind_of(name) is Path)
RETIRED = ("frames",)  # flags of earlier versions that changed nothing in a training
RUN_NAME = Value(kind=str, longest=150)  # endings come after it, and file systems take 255


def _refuse_namesake(snapshot: Path, name: str) -> None:
    """Raise UserError if `snapshot` is from elsewhere and there already is a run of that name."""
    paths = run_paths(name)
    mine = paths["save_weights_prefix"]
    if snapshot.resolve().parent == mine.parent.resolve() or _wrote(name, snapshot):
        return
    if (
        paths["csv_file"].exists()
        or earlier_snapshots(mine)
        or checkpoint_numbers(paths["checkpoint_path"])
    ):
        raise UserError(
            f"A run {name} already exists, and {snapshot} is not part of it: resume that run with "
            f"./resume.sh {name}, or start a new one with ./train.sh GAME LABEL --load_weights "
            f"{snapshot}"
        )


def _ask_for_files(snapshot: Path, name: str, begun: dict[str, Any], given: dict[str, Any]) -> None:
    """Raise UserError if the run of `snapshot` has files in other places than a run of that name.

    A snapshot that was moved or renamed begins new files.
    """
    if not is_same_place(begun.get("save_weights_prefix"), snapshot.with_name(name)):
        return
    paths = run_paths(name)
    asked = {k: paths[k] for k in ("csv_file", "checkpoint_path") if k not in given}
    ask_for_places(snapshot, begun, asked)


def _wrote(name: str, snapshot: Path) -> bool:
    """Whether, by its description, the run `name` writes its snapshots where `snapshot` is."""
    flags = described_flags(run_paths(name)["csv_file"])
    return is_same_place(flags.get("save_weights_prefix"), snapshot.with_name(name))


def _rom_of(game: str, snapshot: Path) -> Path:
    """The ROM of a snapshot's game: the user's own in roms/, or the one that comes with ALE."""
    parts = game.split("_")  # space_invaders_mylabel: the game is followed by a label
    for n in range(len(parts), 0, -1):
        try:
            return rom_of_game("_".join(parts[:n]))
        except UserError:
            continue
    raise UserError(
        f"Cannot tell which game {snapshot} plays: put the ROM of {shown(game)} into roms/, or "
        "name the snapshot <game>_<epoch>.pkl, like space_invaders_200.pkl."
    )
