"""What each script does: a verb is a set of defaults for the flags, and the files it works on."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from config import FIELDS, ROOT, Config, resolve, trained_with
from envs.custom import environment_name
from envs.roms import file_name, find_rom, game_name
from envs.trust import trusted_environment, trusted_game
from errors import UserError
from runs.checkpoint_files import Checkpoint
from runs.flags import Parser
from runs.resume import find_run, resumed_config
from snapshot.format import Snapshot, game_of, read_snapshot

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verb:
    """A script: how it is called, what it is for, and the flag values that make it so."""

    usage: str
    description: str
    defaults: dict[str, Any] = field(default_factory=dict)


TEST = {"random_steps": 0, "train_steps": 0, "epochs": 1}
PLAY = {"play_games": 1, "random_steps": 0}
VERBS = {
    "train": Verb(
        "./train.sh GAME [LABEL] [flags]",
        "Trains an agent on GAME, a ROM file (roms/pong.bin) or a game's name (pong).\n"
        "Writes results/<game>[_LABEL].csv and .json, and a snapshot after each epoch,\n"
        "snapshots/<game>[_LABEL]_<epoch>.pkl. Ctrl-C saves and says how to go on.",
    ),
    "resume": Verb(
        "./resume.sh GAME [LABEL]|SNAPSHOT [flags]",
        "Goes on with a run exactly where it was, from its newest checkpoint, or makes it longer:\n"
        "--epochs 300. From a snapshot of an earlier epoch, or where there is no checkpoint, it\n"
        "goes on with the snapshot's network, optimizer and flags and a new replay memory.",
    ),
    "test": Verb(
        "./test.sh SNAPSHOT [flags]",
        "Plays a snapshot for --test_steps steps, or --test_games N whole games, and prints how\n"
        "well it does. The published protocol: --test_games 30 --max_episode_frames 18000.",
        TEST,
    ),
    "play": Verb(
        "./play.sh SNAPSHOT|GAME [flags]",
        "Shows a snapshot playing, in a window with sound; m gives you the joystick, h the keys.\n"
        "With the name of a game you play alone.",
        {**PLAY, "display_screen": True},
    ),
    "record": Verb(
        "./record.sh SNAPSHOT [flags]",
        "Films a game: videos/<snapshot>.mov with sound, its frames in videos/<game>/.",
        PLAY,
    ),
    "nvis": Verb(
        "./nvis.sh SNAPSHOT [flags]",
        "Plays a game and shows what each filter of the network looks at: results/<game>.html.",
        PLAY,
    ),
    "profile_random": Verb(
        "./profile_random.sh [GAME] [flags]",
        "Shows what emulation costs: random steps, nothing predicted, nothing learned.",
        {"random_steps": 10_000, "train_steps": 0, "test_steps": 0, "epochs": 1},
    ),
    "profile_test": Verb(
        "./profile_test.sh [GAME] [flags]",
        "Shows what prediction costs: testing steps without exploration.",
        {**TEST, "test_steps": 5_000, "exploration_rate_test": 0.0},
    ),
    "profile_train": Verb(
        "./profile_train.sh [GAME] [flags]",
        "Shows what learning costs: training steps with random actions, an update every step.",
        {
            "random_steps": 500,
            "train_steps": 1_000,
            "test_steps": 0,
            "epochs": 1,
            "exploration_rate_end": 1.0,
            "train_frequency": 1,
            "target_steps": 0,
            "replay_size": 10_000,
        },
    ),
    "run": Verb(
        "python src/main.py GAME [flags]",
        "Trains, tests or plays as the flags say; the scripts call this with flags of their own.",
    ),
}


@dataclass(frozen=True)
class Task:
    """What is to be done."""

    verb: str
    config: Config
    name: str  # <game>[_<label>], of the files written
    rom: Path | None  # None unless the environment is ALE
    snapshot: Snapshot | None = None  # the one that is loaded
    checkpoint: Checkpoint | None = None  # the one that a run goes on from exactly

    @property
    def game(self) -> str:
        """The game's name, as snapshots keep it."""
        return game_name(str(self.rom)) if self.rom else file_name(self.config.game)


def parse(verb: str, arguments: Sequence[str]) -> Task:
    """The task that a command line asks for, its seed drawn and the messages it wants shown.

    Raises UserError; exits after --help.
    """
    task = _parse(verb, arguments)
    logging.getLogger().setLevel(task.config.log_level)
    if task.config.random_seed is None:
        task = replace(task, config=replace(task.config, random_seed=secrets.randbits(31)))
    return task


def _parse(verb: str, arguments: Sequence[str]) -> Task:
    about = VERBS[verb]
    parser = Parser(about.usage.split(" ")[0], about.description, about.defaults)
    parser.usage = about.usage
    words, given = parser.parse(arguments)
    if "environment" in given:
        given["environment"] = environment_name(given["environment"])
    defaults = dict(about.defaults)
    if not words and verb.startswith("profile"):
        words = ["pong"]
    if not words or len(words) > 1 + (verb in ("train", "resume")):
        raise UserError(f"Call it as {about.usage}; --help explains the flags.")
    subject = words[0]
    if verb in ("train", "run") or verb.startswith("profile") or _is_game(verb, subject):
        return _game_task(verb, subject, words[1:], defaults, given)
    if verb == "resume":
        return _resume_task(words, defaults, given)
    return _snapshot_task(verb, Path(subject), defaults, given)


def _is_game(verb: str, subject: str) -> bool:
    return verb == "play" and not Path(subject).is_file() and not subject.endswith(".pkl")


def _game_task(
    verb: str, game: str, label: list[str], defaults: dict[str, Any], given: dict[str, Any]
) -> Task:
    if label and not re.fullmatch(r"[\w.+-]+", label[0]):
        raise UserError(f"The label {label[0]!r} becomes part of file names: use letters and _.")
    snapshot, trained = None, None
    if weights := given.get("load_weights"):
        snapshot = read_snapshot(weights)
        trained = _trained(weights, snapshot, given)
    config = _resolve({**given, "game": game}, defaults, trained)
    is_ale = config.environment == "ale"
    name = "_".join([game_name(game) if is_ale else file_name(game), *label])
    if verb == "train":
        config = replace(
            config,
            save_weights_prefix=config.save_weights_prefix or ROOT / "snapshots" / name,
            csv_file=config.csv_file or ROOT / "results" / f"{name}.csv",
            checkpoint_path=config.checkpoint_path or ROOT / "checkpoints" / name,
        )
    return Task(verb, config, name, find_rom(game) if is_ale else None, snapshot)


def _resolve(
    given: dict[str, Any], defaults: dict[str, Any], trained: dict[str, Any] | None
) -> Config:
    config = resolve(given, defaults, trained)
    return replace(config, environment=environment_name(config.environment))


def _trained(path: Path, snapshot: Snapshot, given: dict[str, Any]) -> dict[str, Any]:
    """The flags a snapshot was trained with."""
    trained = trained_with(snapshot.info.get("flags"))
    if "environment" in trained and "environment" not in given:
        trained["environment"] = trusted_environment(path, trained["environment"])
    return trained


def _resume_task(words: Sequence[str], defaults: dict[str, Any], given: dict[str, Any]) -> Task:
    name, begin = find_run(words, given.get("checkpoint_path"))
    if isinstance(begin, Path):
        return _snapshot_task("resume", begin, defaults, given)
    config, rom = resumed_config(begin, given)
    return Task("resume", config, name, rom, checkpoint=begin)


def _snapshot_task(verb: str, path: Path, defaults: dict[str, Any], given: dict[str, Any]) -> Task:
    snapshot = read_snapshot(path)
    name = re.sub(r"_\d+$", "", path.stem)
    flags = snapshot.info.get("flags")
    defaults["load_weights"] = path
    if verb == "resume":
        if "preset" in given:
            raise UserError(
                "A resumed run keeps its preset: name single flags that are to change, or begin "
                f"a new run with ./train.sh GAME LABEL --load_weights {path} --preset ..."
            )
        flags = flags if isinstance(flags, dict) else {}
        for unknown in flags.keys() - FIELDS.keys():
            logger.warning("%s was trained with --%s, which is left out.", path, unknown)
        defaults.update({k: flags[k] for k in FIELDS if k in flags and k not in NOT_RESUMED})
        defaults["start_epoch"] = snapshot.epoch
        defaults["save_weights_prefix"] = path.with_name(name)
        defaults["csv_file"] = ROOT / "results" / f"{name}.csv"
        defaults["checkpoint_path"] = ROOT / "checkpoints" / name
    if verb == "record":
        defaults["video_file"] = ROOT / "videos" / f"{path.stem}.mov"
    if verb == "nvis":
        defaults["visualization_file"] = ROOT / "results" / f"{name}.html"
    trained = _trained(path, snapshot, given)
    environment = given.get("environment", trained.get("environment", "ale"))
    if isinstance(flags, dict) and trained.get("environment", "ale") != "ale":
        game = trusted_game(path, flags.get("game"))
    else:
        game = game_of(path, snapshot)
    rom = _rom_of(game, path) if environment == "ale" else None
    config = _resolve({**given, "game": game}, defaults, trained)
    if verb == "record" and config.frames and not config.record_screen_path:
        config = replace(config, record_screen_path=ROOT / "videos" / name)
    if verb == "resume" and config.epochs <= config.start_epoch:
        raise UserError(
            f"{path} is of epoch {config.start_epoch} and the run ends with epoch {config.epochs}: "
            "go on with more --epochs."
        )
    return Task(verb, config, name, rom, snapshot)


# Of a run's flags, those that its resumption finds elsewhere.
NOT_RESUMED = (
    "game",
    "environment",
    "load_weights",
    "save_weights_prefix",
    "csv_file",
    "checkpoint_path",
    "start_epoch",
    "overwrite",
    "visualization_file",
    "record_screen_path",
    "record_sound_filename",
)


def _rom_of(game: str, snapshot: Path) -> Path:
    """The ROM of a snapshot's game: the user's own in roms/, or the one that comes with ALE."""
    for ending in (".bin", ".rom", ".a26"):
        own = ROOT / "roms" / f"{game}{ending}"
        if own.is_file():
            return find_rom(str(own))
    parts = game.split("_")  # space_invaders_mylabel: the game is followed by a label
    for n in range(len(parts), 0, -1):
        try:
            return find_rom("_".join(parts[:n]))
        except UserError:
            continue
    raise UserError(
        f"Cannot tell which game {snapshot} plays: name it <game>_<epoch>.pkl, like "
        "space_invaders_200.pkl."
    )
