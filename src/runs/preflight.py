"""Checks before a run starts: its files and its memory. No earlier run is lost by mistake."""

from __future__ import annotations

import json
import logging
import re
import secrets
from pathlib import Path

from atomic import check_replaceable, read_whole
from checkpoint.files import file_name, numbers, remove_all_but
from checkpoint.manifest import parse_row
from commands.paths import earlier_snapshots, refuse_links
from commands.verbs import Task
from config import Config
from engine.hardware import free_memory
from engine.make import LearningNetwork
from errors import UserError
from snapshot.safe_pickle import MAX_BYTES

logger = logging.getLogger(__name__)

# The size of arrays in a snapshot's file, where they are text: half of all bytes take two there.
SNAPSHOT_GROWTH = 1.6
# Bytes of memory that a transition of a minibatch takes per pixel of a screen, reckoned for the
# network `nature`: two states as floats, and the outputs of its layers and their gradients.
MINIBATCH_BYTES = 70


def check_files(task: Task) -> None:
    """Make the folders for a run's files, and remove or set aside what is in their place.

    Raises UserError if an earlier run is in the way, or something that is not a file.
    """
    config, folder = task.config, task.config.checkpoint_path
    files = [path for path in (config.csv_file, config.visualization_file) if path]
    if config.csv_file:
        files.append(config.csv_file.with_suffix(".json"))
    places = [*files, *(path for path in (config.save_weights_prefix, folder) if path)]
    try:
        for place in places:
            refuse_links(place)
        for file in files:
            check_replaceable(file)
    except OSError as error:
        raise UserError(f"Cannot write {error.filename}: {error.strerror}.") from error
    earlier = [] if task.verb == "resume" or config.start_epoch else _earlier(task)
    if folder and task.verb == "resume" and not task.checkpoint and numbers(folder):
        aside = folder.with_name(f"{folder.name}.before_epoch_{config.start_epoch + 1}")
        while aside.exists():
            aside = aside.with_name(f"{aside.name}_")
        folder.rename(aside)
        logger.info("The run's checkpoint is set aside in %s", aside)
    for parent in {*(path.parent for path in places), *([folder] if folder else [])}:
        check_writable(parent)
    remove_leftovers(config)
    for path in earlier:
        path.unlink()
    if folder and task.verb != "resume" and not config.start_epoch:
        remove_all_but(folder, [])


def _earlier(task: Task) -> list[Path]:
    """The files of an earlier run that this one replaces. Raises UserError if it may not."""
    config, folder = task.config, task.config.checkpoint_path
    snapshots = earlier_snapshots(config.save_weights_prefix) if config.save_weights_prefix else []
    manifests = [folder / file_name(n, "json") for n in numbers(folder)] if folder else []
    csvs = [config.csv_file] if config.csv_file and config.csv_file.exists() else []
    earlier = csvs + snapshots + manifests
    if not earlier or config.overwrite:
        return earlier
    if csvs and not snapshots and not manifests and _was_killed_early(csvs[0]):
        logger.info(
            "The earlier run was stopped before its first checkpoint: starting from the beginning."
        )
        return earlier
    ways = ["replace the files with --overwrite"]
    if task.verb == "train":
        ways.insert(0, f"give this run a label (./train.sh {config.game} LABEL)")
    if snapshots or manifests:
        ways.insert(0, f"resume it with ./resume.sh {snapshots[-1] if snapshots else task.name}")
    raise UserError(
        f"An earlier run has written {', '.join(str(p) for p in earlier[:2])}"
        f"{' ...' if len(earlier) > 2 else ''}: {', or '.join(ways)}."
    )


def _was_killed_early(csv_file: Path) -> bool:
    """Whether a CSV is of a run that was killed before its first checkpoint."""
    try:
        about = json.loads(read_whole(csv_file.with_suffix(".json"), 1 << 20))
        flags = about["flags"]
        header, *lines = read_whole(csv_file, 1 << 20).decode().splitlines()
        rows = [parse_row(dict(zip(header.split(","), x.split(","), strict=True))) for x in lines]
    except (OSError, ValueError, LookupError, TypeError, RecursionError, UserError):
        return False
    would_resume = bool(flags.get("checkpoint_minutes")) and bool(flags.get("train_steps"))
    return would_resume and all(row["phase"] == "random" for row in rows)


def check_memory(config: Config) -> None:
    """Raise UserError if a minibatch cannot fit into the free memory."""
    pixels = config.screen_width * config.screen_height
    screens = config.history_length + config.n_step
    needed = config.batch_size * pixels * (MINIBATCH_BYTES + 2 * screens)
    if needed > free_memory():
        raise UserError(
            f"--batch_size {config.batch_size} takes {needed / 1e9:.1f} GB but "
            f"{free_memory() / 1e9:.1f} GB are free: take a smaller one, or smaller screens."
        )


def check_snapshot(network: LearningNetwork) -> None:
    """Raise UserError if the snapshots of `network` would be too large to be read again."""
    state = network.get_state()
    kept = [array.size for name, array in state.items() if name.startswith(("online", "optimizer"))]
    size = int(4 * sum(kept) * SNAPSHOT_GROWTH)
    if size > MAX_BYTES:
        raise UserError(
            f"Snapshots of this network would have {size >> 20} MB, more than the limit of "
            f"{MAX_BYTES >> 20} MB: take smaller screens, a smaller --network_width, or an "
            "--optimizer with fewer states."
        )


def remove_leftovers(config: Config) -> None:
    """Remove unfinished files that a killed run of the same name has left."""
    for path, kind in (
        (config.csv_file, r"\.(csv|json)"),
        (config.save_weights_prefix, r"_\d+\.pkl"),
    ):
        if path:
            stem = path.stem if path is config.csv_file else path.name
            leftover = re.compile(rf"\.{re.escape(stem)}{kind}\.\d+\.tmp")
            for other in path.parent.iterdir():
                if leftover.fullmatch(other.name):
                    other.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Make `folder` if necessary. Raises UserError if files cannot be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe{secrets.token_hex(4)}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"Cannot write into {folder}: {error.strerror}.") from error
