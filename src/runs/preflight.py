"""Checks before a run starts: the places of its files, and its memory."""

from __future__ import annotations

import logging
import re
import secrets
from pathlib import Path

from atomic import check_replaceable, make_folder
from commands.combinations import warn_without_effect
from commands.verbs import Task
from config import Config
from engine.hardware import cores, free_memory
from engine.make import LearningNetwork, weights_of
from errors import UserError
from paths import refuse_links
from snapshot.safe_pickle import MAX_BYTES

logger = logging.getLogger(__name__)

# The size of arrays in a snapshot's file, where they are text: half of all bytes take two there.
SNAPSHOT_GROWTH = 1.6
SMALL_NETWORK = 10_000_000  # weights; with all copies and an optimizer's states below 0.5 GB
# Bytes of memory that a transition of a minibatch takes per pixel of a screen, reckoned for the
# network `nature`: two states as floats, and the outputs of its layers and their gradients.
MINIBATCH_BYTES = 70


def check_files(task: Task) -> None:
    """Make the folders for a run's files. Raises UserError if one cannot be written.

    Warns of flags without effect.
    """
    config, folder = task.config, task.config.checkpoint_path
    warn_without_effect(task.given, config, learns=task.learns)
    if config.threads > cores():
        logger.warning(
            "--threads %d is more than the %d cores, which is slower.", config.threads, cores()
        )
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
    if config.csv_file and config.csv_file.suffix.lower() != ".csv":
        raise UserError(f"--csv_file {config.csv_file} must end in .csv.")
    for parent in {*(path.parent for path in places), *([folder] if folder else [])}:
        check_writable(parent)
    remove_leftovers(config)


def check_memory(config: Config) -> None:
    """Raise UserError if a minibatch cannot fit into the free memory."""
    pixels = config.screen_width * config.screen_height
    screens = config.history_length + config.n_step
    needed = config.batch_size * pixels * (MINIBATCH_BYTES + 2 * screens)
    if needed > free_memory():
        raise UserError(
            f"--batch_size {config.batch_size} takes {needed / 1e9:.1f} GB but "
            f"{free_memory() / 1e9:.1f} GB are free: use a smaller one, or smaller screens."
        )


def check_snapshot_size(network: LearningNetwork) -> int:
    """How many bytes a snapshot of `network` has at most. Raises UserError if that is too much."""
    state = network.get_state()
    kept = [array.size for name, array in state.items() if name.startswith(("online", "optimizer"))]
    size = int(4 * sum(kept) * SNAPSHOT_GROWTH)
    if size > MAX_BYTES:
        raise UserError(
            f"Snapshots of this network would have {size >> 20} MB, more than the limit of "
            f"{MAX_BYTES >> 20} MB: use smaller screens, a smaller --network_width, or an "
            "--optimizer with fewer states."
        )
    return size


def check_weights(task: Task, num_actions: int) -> None:
    """Raise UserError if a network needs more weights than are in the file that it is loaded from.

    It is called before the network is made: a small file could describe one of many gigabytes.
    """
    if snapshot := task.snapshot:
        arrays = [*snapshot.tensors.values()]
        arrays += [array for layer in snapshot.layers for array in layer.params.values()]
        path, numbers = task.config.load_weights, sum(array.size for array in arrays)
    elif saved := task.checkpoint:
        path, numbers = saved.folder, saved.files[file_name(saved.number, "npz")]["bytes"] // 4
    else:
        return
    weights = weights_of(task.config, num_actions)
    if weights > max(numbers, SMALL_NETWORK):
        raise UserError(
            f"The network that its flags describe has {weights:,} weights, but {path} contains "
            f"only {numbers:,} numbers: check --network_width, --atoms and the screen's size."
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
        make_folder(folder)
        probe = folder / f".probe{secrets.token_hex(4)}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"Cannot write into {folder}: {error.strerror}.") from error
