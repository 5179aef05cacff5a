"""What ./resume.sh goes on from: a run's newest checkpoint, exactly, or else a snapshot.

The name of a run means its newest checkpoint. A snapshot means it too if the checkpoint is of the
epoch that led to the snapshot or of the one that follows: the run goes on as if it had not been
interrupted. From any other snapshot training goes on with a new replay memory.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from config import FIELDS, ROOT, Config, check, check_together, to_plain
from envs.roms import file_name, find_rom, game_name, rom_md5
from envs.trust import trusted_environment, trusted_game
from errors import UserError
from runs.checkpoint_files import Checkpoint, newest, numbers
from runs.paths import earlier_snapshots
from runs.position import position
from runs.provenance import PACKAGES, versions

logger = logging.getLogger(__name__)

# The flags of a resumed run that may differ from those it was begun with.
MAY_CHANGE = tuple(
    """epochs learning_rate checkpoint_path checkpoint_minutes replay_storage backend device_id
    threads display_screen record_screen_path record_sound_filename log_level""".split()
)


def find_run(words: Sequence[str], folder: Path | None) -> tuple[str, Checkpoint | Path]:
    """The name of the run that is meant, and the checkpoint or the snapshot to go on from.

    `words` are the path of a snapshot, or a game with or without a label; checkpoints are looked
    for in `folder`, else where a run of that name keeps them. Raises UserError if there are none.
    """
    if len(words) == 1 and Path(words[0]).suffix == ".pkl":
        return _of_snapshot(Path(words[0]), folder)
    word = "_".join(words)
    for game in (words[0], file_name(words[0]), game_name(words[0])):
        name = "_".join([game, *words[1:]])
        place = folder or ROOT / "checkpoints" / name
        snapshots = earlier_snapshots(ROOT / "snapshots" / name)
        if numbers(place) or snapshots:
            break
    checkpoint, problems = newest(place)
    for problem in problems:
        logger.warning(problem)
    if checkpoint:
        return name, checkpoint
    if snapshots:
        logger.warning("%s has no valid checkpoint: going on from %s.", name, snapshots[-1])
        return name, snapshots[-1]
    raise UserError(
        f"There is nothing of a run {word} to go on from, neither in {place} nor in "
        f"{ROOT / 'snapshots'}: begin it with ./train.sh."
    )


def _of_snapshot(path: Path, folder: Path | None) -> tuple[str, Checkpoint | Path]:
    name, epoch = path.stem, -1
    if found := re.fullmatch(r"(.+)_(\d{1,9})", path.stem):
        name, epoch = found[1], int(found[2])
    place = folder or ROOT / "checkpoints" / name
    if not path.is_file() or not numbers(place):
        return name, path
    checkpoint, problems = newest(place)
    for problem in problems:
        logger.warning(problem)
    if not checkpoint:
        logger.warning("%s has no valid checkpoint: going on from %s.", name, path)
        return name, path
    at = position(checkpoint)
    if _leads_to(checkpoint, path.with_name(name), epoch):
        return name, checkpoint
    logger.info(
        "The checkpoint in %s is at %s: going on from %s with a new replay memory.", place, at, path
    )
    return name, path


def _leads_to(checkpoint: Checkpoint, prefix: Path, epoch: int) -> bool:
    """Whether the run of a checkpoint has the snapshot of `epoch` as its last or its next one."""
    try:
        flags, at = _flags(checkpoint), position(checkpoint)
        same = Path(flags["save_weights_prefix"]).resolve() == prefix.resolve()
        last = at.epoch - (at.phase == "train") if at.epoch else int(flags["start_epoch"])
    except (KeyError, TypeError, ValueError):
        return False
    return same and last <= epoch <= last + 1


def resumed_config(checkpoint: Checkpoint, given: dict[str, Any]) -> tuple[Config, Path | None]:
    """The flags that the run of a checkpoint goes on with, and its ROM.

    Raises UserError if flags `given` on the command line would change what was done before.
    """
    folder = checkpoint.folder
    try:
        values = {name: check(name, value) for name, value in _flags(checkpoint).items()}
        md5, begun = checkpoint.state["about"]["rom_md5"], checkpoint.state["about"]["versions"]
        old = to_plain(Config(**values))
        changed = {k: v for k, v in given.items() if to_plain(Config(**{k: v}))[k] != old[k]}
        at = position(checkpoint)
    except (KeyError, TypeError, ValueError, UserError) as error:
        raise UserError(
            f"The checkpoint in {folder} is of another version of this program ({error}): go on "
            "from a snapshot of it instead."
        ) from error
    for name in changed:
        if name not in MAY_CHANGE:
            raise UserError(
                f"--{name} {changed[name]} would change a run that has begun with {old[name]}: "
                "begin another one with ./train.sh GAME LABEL --load_weights SNAPSHOT. A run that "
                f"goes on can change {', '.join('--' + name for name in MAY_CHANGE)}."
            )
    config = Config(**{**values, **changed, "checkpoint_path": folder})
    check_together(config)
    if at.epoch > config.epochs:
        raise UserError(
            f"This run is finished, all {config.epochs} epochs of it: go on with more --epochs."
        )
    rom = None
    if config.environment == "ale":
        rom = find_rom(config.game)
        if rom_md5(rom) != md5:
            raise UserError(f"The run in {folder} was begun with another ROM than {rom}.")
    elif "environment" not in given:
        trusted_environment(folder, config.environment)
        trusted_game(folder, config.game)
    now = versions()
    for name in ("python", *PACKAGES):
        if begun.get(name) != now.get(name):
            logger.warning(
                "The run was begun with %s %s and goes on with %s: its last bits may differ.",
                name,
                begun.get(name),
                now.get(name),
            )
    logger.info("Going on with %s at %s", folder.name, at)
    return config, rom


def _flags(checkpoint: Checkpoint) -> dict[str, Any]:
    """The flags of a run; paths in this program's folder follow it to where it is now."""
    about: dict[str, Any] = checkpoint.state["about"]
    flags, root = dict(about["flags"]), str(about["root"])
    if unknown := [name for name in flags if name not in FIELDS]:
        raise ValueError(f"it has a flag {unknown[0]}")
    for name, value in flags.items():
        if FIELDS[name].type == "Path | None" and isinstance(value, str):
            path = Path(value)
            if path.is_relative_to(root):
                flags[name] = str(ROOT / path.relative_to(root))
    return flags
