"""What ./resume.sh continues from: a run's newest checkpoint, exactly, or else a snapshot.

The name of a run means its newest checkpoint. A snapshot means it too if the checkpoint is of the
epoch that led to the snapshot or of the one that follows: the run continues as if it had not been
interrupted. From any other snapshot training continues with a new replay memory.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from checkpoint.files import Checkpoint, checkpoint_numbers, newest_checkpoint
from commands.combinations import check_together
from config import CODE, FIELDS, Config, check, kind_of, to_plain
from envs.roms import ENDINGS, find_rom, game_name, rom_md5, rom_of_game
from errors import UserError, shown
from paths import (
    ask_for_places,
    earlier_snapshots,
    file_name,
    is_same_place,
    located,
    name_and_epoch,
    run_paths,
    snapshot_path,
)
from runs.position import Position, last_epoch, position
from runs.provenance import PACKAGES, versions
from user_code.load import code_name
from user_code.trust import is_moved, trusted_code, trusted_game

logger = logging.getLogger(__name__)

# Flags that may change when a run is resumed. The first change what is learned. Files are among the
# others, because the command line or the run's name decides where they are, never a checkpoint.
CHANGE_LEARNING = tuple(
    "epochs learning_rate learning_rate_end learning_rate_decay_updates average_decay".split()
)
FILES = tuple(name for name in FIELDS if kind_of(name) is Path and name != "load_weights")
MAY_CHANGE = (
    *CHANGE_LEARNING,
    *"checkpoint_minutes replay_storage backend device_id threads display_screen display".split(),
    *"volume overlay keep_snapshots log_level log overwrite".split(),
    *FILES,
)


def find_run(words: Sequence[str], folder: Path | None) -> tuple[str, Checkpoint | Path]:
    """The name of the run, and the checkpoint or the snapshot to continue from.

    `words` are the path of a snapshot, or a game with or without a label. Checkpoints are searched
    for in `folder`, or where a run of that name keeps them. Raises UserError if there are none.
    """
    if len(words) == 1 and Path(words[0]).suffix == ".pkl":
        return _of_snapshot(Path(words[0]), folder)
    word = "_".join(words)
    for game in (words[0], file_name(words[0]), game_name(words[0])):
        name = "_".join([game, *words[1:]])
        files = run_paths(name)
        place = folder or files["checkpoint_path"]
        snapshots = earlier_snapshots(files["save_weights_prefix"])
        if checkpoint_numbers(place) or snapshots:
            break
    checkpoint, problems = newest_checkpoint(place)
    for problem in problems:
        logger.warning(problem)
    if checkpoint and not (snapshots and _is_behind(checkpoint, snapshots[-1])):
        return name, checkpoint
    if snapshots:
        found = f"There is no checkpoint in {place}"
        if checkpoint_numbers(place):
            at = f"is at {position(checkpoint)}" if checkpoint else "is not valid"
            found = f"The checkpoint in {place} {at}"
        logger.warning("%s: resuming from %s with a new replay memory.", found, snapshots[-1])
        return name, snapshots[-1]
    if problems:
        raise UserError(
            f"No checkpoint in {place} can be read and {name} has no snapshot yet: start it again, "
            "with --overwrite."
        )
    raise UserError(
        f"There is no run {shown(word)} to resume, neither in {place} nor in "
        f"{files['save_weights_prefix'].parent}: start one with ./train.sh."
    )


def _of_snapshot(path: Path, folder: Path | None) -> tuple[str, Checkpoint | Path]:
    name, epoch = name_and_epoch(path)
    place = folder or run_paths(name)["checkpoint_path"]
    if not path.is_file() or not checkpoint_numbers(place):
        return name, path
    checkpoint, problems = newest_checkpoint(place)
    for problem in problems:
        logger.warning(problem)
    if not checkpoint:
        logger.warning("%s has no valid checkpoint: resuming from %s.", name, path)
        return name, path
    at = position(checkpoint)
    if _leads_to(checkpoint, path.with_name(name), epoch):
        return name, checkpoint
    logger.info(
        "The checkpoint in %s is at %s: resuming from %s with a new replay memory.", place, at, path
    )
    return name, path


def _leads_to(checkpoint: Checkpoint, prefix: Path, epoch: int) -> bool:
    """Whether the snapshot of `epoch` is the last or the next one of the checkpoint's run."""
    last = _last_epoch(checkpoint)
    return _has_snapshots(checkpoint, prefix) and last <= epoch <= last + 1


def _is_behind(checkpoint: Checkpoint, snapshot: Path) -> bool:
    """Whether the checkpoint's run has written `snapshot` in a later epoch than its next one.

    So it is if the run continued with --checkpoint_minutes 0, or without room for checkpoints.
    """
    name, epoch = name_and_epoch(snapshot)
    ours = _has_snapshots(checkpoint, snapshot.with_name(name))
    return ours and epoch > _last_epoch(checkpoint) + 1


def _has_snapshots(checkpoint: Checkpoint, prefix: Path) -> bool:
    return is_same_place(checkpoint.state["about"]["flags"].get("save_weights_prefix"), prefix)


def _last_epoch(checkpoint: Checkpoint) -> int:
    """The epoch of the last snapshot before the checkpoint."""
    start = checkpoint.state["about"]["flags"].get("start_epoch")
    return last_epoch(position(checkpoint), start if type(start) is int else 0)


def resumed_config(
    checkpoint: Checkpoint, name: str, word: str, given: dict[str, Any]
) -> tuple[Config, Path | None]:
    """The flags with which the run `name` continues from `checkpoint`, and its ROM.

    `word` is its game on the command line, perhaps the file of a ROM. Raises UserError if flags
    `given` on the command line would change what the run has already done.
    """
    folder, about = checkpoint.folder, checkpoint.state["about"]
    try:
        old = _checked_flags(about["flags"]) | {"overwrite": False}
    except UserError as error:
        raise UserError(
            f"The checkpoint in {folder} is of another version of this program "
            f"({str(error).rstrip('.')}): resume from a snapshot of it instead."
        ) from error
    values = to_plain(Config(**old))
    plain = {k: to_plain(Config(**{k: v}))[k] for k, v in given.items()}
    changed = {k: given[k] for k, value in plain.items() if k in FILES or value != values[k]}
    for flag in changed:
        if flag not in MAY_CHANGE and not (flag in CODE and is_moved(values[flag], plain[flag])):
            raise UserError(
                f"--{flag} {plain[flag]} would change what the run has done with {values[flag]}: "
                "start a new one (./train.sh GAME LABEL --load_weights SNAPSHOT), leave that flag "
                "out, or resume from a snapshot with another --checkpoint_path, --csv_file and "
                "--save_weights_prefix; docs/reliability.md lists the flags that may change."
            )
    files = _files(folder, name, about["flags"], given)
    config = Config(**{**old, **files, **changed, "checkpoint_path": folder})
    check_together(config)
    at = position(checkpoint)
    if at.epoch > config.epochs and not _lacks_its_last_snapshot(config, at):
        begins = at.phase == "train" and not at.step
        so_far = f"finished after epoch {at.epoch - 1}" if begins else f"in epoch {at.epoch}"
        raise UserError(f"This run is {so_far}: resume it with more --epochs.")
    for flag in CODE:
        if flag not in given:
            trusted: Any = trusted_code(folder, flag, getattr(config, flag))
            code: Any = {flag: code_name(flag, trusted)}
            config = replace(config, **code)
    rom = None
    if config.environment == "ale":
        rom = _rom(config.game, about["rom_md5"], Path(word))
    else:
        trusted_game(folder, config.game, config.environment)
    _warn_of_versions(about["versions"])
    logger.info("Resuming %s at %s", folder.name, at)
    return config, rom


def _lacks_its_last_snapshot(config: Config, at: Position) -> bool:
    """Whether a run is finished except for its last snapshot, for which there was no room."""
    prefix = config.save_weights_prefix
    if not prefix or not config.train_steps or at != Position(config.epochs + 1, "train", 0):
        return False
    return not snapshot_path(prefix, config.epochs).exists()


def _checked_flags(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags that a checkpoint's run was started with, except those that name files.

    Raises UserError.
    """
    if unknown := [name for name in flags if name not in FIELDS]:
        raise UserError(f"it has a flag {shown(unknown[0])}.")
    checked: dict[str, Any] = {n: check(n, value) for n, value in flags.items() if n not in FILES}
    if checked.get("load_weights"):  # which is not read again
        checked["load_weights"] = located(checked["load_weights"])
    return checked


def _files(
    folder: Path, name: str, begun: dict[str, Any], given: dict[str, Any]
) -> dict[str, Path]:
    """The files of a resumed run, by its name. Raises UserError if it used others before."""
    files = run_paths(name)
    asked = {k: files[k] for k in ("csv_file", "save_weights_prefix") if k not in given}
    ask_for_places(f"the checkpoint in {folder}", begun, asked)
    for flag in asked:
        if begun.get(flag) is None:
            del files[flag]
    others = [n for n in FILES if n not in files and begun.get(n) is not None and n not in given]
    if others:
        names = " and ".join(f"--{other}" for other in others)
        logger.warning(
            "The run was started with %s, which is not continued: give it again, for a film with "
            "another file.",
            names,
        )
    return files


def _rom(game: str, md5: str, word: Path) -> Path:
    """The ROM of a run that was started with a ROM of hash `md5`. Raises UserError."""
    is_rom = word.suffix.lower() in ENDINGS and word.is_file()
    rom = find_rom(str(word)) if is_rom else rom_of_game(game)
    if rom_md5(rom) != md5:
        raise UserError(
            f"The run was started with another ROM than {rom}: give the file instead of the game: "
            "./resume.sh FILE.bin."
        )
    return rom


def _warn_of_versions(begun: dict[str, str]) -> None:
    now = versions()
    for name in ("python", *PACKAGES):
        if begun.get(name) != now.get(name):
            logger.warning(
                "The run was started with %s %s and continues with %s: its last bits may differ.",
                name,
                begun.get(name),
                now.get(name),
            )
