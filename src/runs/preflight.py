"""Checks before a run starts: the places of its files, and its memory."""

from __future__ import annotations

import logging
import re
import secrets
from pathlib import Path

from atomic import check_replaceable, make_folder
from checkpoint.files import checkpoint_file
from commands.combinations import warn_without_effect
from commands.verbs import Task
from config import Config
from engine.hardware import cores, free_memory
from engine.make import LearningNetwork, free_gpu_memory, weights_of
from errors import UserError
from paths import refuse_links
from runs.results import description_path
from snapshot.safe_pickle import MAX_BYTES

logger = logging.getLogger(__name__)

# The size of arrays in a snapshot's file, where they are text: half of all bytes take two there.
SNAPSHOT_GROWTH = 1.6
SMALL_NETWORK = 10_000_000  # weights; with all copies and an optimizer's states below 0.5 GB
# Bytes of memory that a transition takes in a weight update, per pixel of a screen: its states as
# floats, the outputs of the layers and their gradients. With screens of 84x84, 0.24 (nips), 0.37
# (nature) and 2.64 MB (impala) were measured, twice that if twice as wide, and 7.4 MB for impala
# with iqn (tests/runs/test_preflight.py). Networks of one's own are taken for `nature`.
LAYERS_BYTES = {"nips": 50, "nature": 70, "impala": 400}
FRACTION_BYTES = 11  # the same for each fraction of iqn, at which the features are weighted
NOISY_FRACTION_BYTES = 17
# The numbers of a distribution if --atoms is 0, as in variants/, which imports PyTorch; and the
# bytes for each pair of them, which the error compares: not per pixel.
ATOMS = {"none": 1, "c51": 51, "quantile": 200, "iqn": 64}
PAIR_BYTES = {"none": 0, "c51": 16, "quantile": 46, "iqn": 46}
NUMBER_SIZE = {"float64": 2.0, "float32": 1.0}  # of float32's; others 0.5


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
        files.append(description_path(config.csv_file))
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
    """Raise UserError if a minibatch does not fit into the free memory, or that of a GPU in use."""
    gpu = free_gpu_memory(config)
    free = gpu or free_memory()
    needed = config.batch_size * transition_bytes(config, whole=bool(gpu))
    if needed > free:
        where, other = (" on the GPU", ", or --backend cpu") if gpu else ("", "")
        raise UserError(
            f"--batch_size {config.batch_size} takes {needed / 1e9:.1f} GB but {free / 1e9:.1f} GB "
            f"are free{where}: use a smaller one, smaller screens, a smaller network, fewer --atoms"
            f"{other}."
        )


def transition_bytes(config: Config, *, whole: bool = False) -> float:
    """Bytes of memory that a transition of a minibatch takes in a weight update, reckoned.

    `whole`: the minibatch is computed in one part, as on a GPU, and not by several threads.
    """
    pixels = config.screen_width * config.screen_height
    layers = LAYERS_BYTES.get(config.network, LAYERS_BYTES["nature"])
    if config.batch_norm or config.normalization == "layer":
        layers *= 2  # what goes into the normalization and what comes out of it
    atoms = config.atoms or ATOMS[config.distribution]
    if config.distribution == "iqn":
        layers += atoms * (NOISY_FRACTION_BYTES if config.noisy else FRACTION_BYTES)
    size = NUMBER_SIZE.get(config.datatype, 0.5)
    needed = pixels * layers * config.network_width * size
    needed += PAIR_BYTES[config.distribution] * atoms**2
    if not whole and not config.batch_norm:  # a thread computes one part after the other
        needed *= min((config.threads or cores()) / config.update_parts, 1)
    return needed + 2 * pixels * (config.history_length + config.n_step)


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
        path = saved.folder
        numbers = saved.files[checkpoint_file(saved.number, "npz")]["bytes"] // 4
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
