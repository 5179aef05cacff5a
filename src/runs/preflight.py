"""The files of a run: checked before it starts, written so that a full disk loses nothing."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from config import ROOT, Config, to_plain
from engine.hardware import describe, free_memory, versions
from engine.make import free_gpu_memory
from envs.parallel import games_bytes
from envs.roms import rom_md5
from errors import UserError
from replay.compressed import storage_bytes
from runs.checkpoint import Checkpointer
from runs.checkpoint_files import file_name, numbers, remove_all_but
from runs.resume import earlier_snapshots
from runs.verbs import Task
from snapshot.format import write_atomically
from stats import Statistics

logger = logging.getLogger(__name__)

PROCESS_BYTES = 600 * 2**20  # what a run takes beside its replay memory


def choose_storage(config: Config) -> str:
    """How the replay memory keeps its screens: `gpu`, `array` or `compressed`.

    Raises UserError if it will not fit into the free memory.
    """
    storage, kinds = config.replay_storage, ("gpu", "array", "compressed")
    size, pixels = config.replay_size, (config.screen_height, config.screen_width)
    main = free_memory() - PROCESS_BYTES - games_bytes(config, config.num_envs)
    gpu = 0
    if storage in ("auto", "gpu"):
        gpu = free_gpu_memory(config.engine, config.backend, config.device_id)
    free = {"gpu": gpu, "array": main, "compressed": main}
    needed = {kind: storage_bytes(kind, size, *pixels) for kind in kinds}
    if storage == "auto":
        comfortable = (kind for kind in kinds if needed[kind] <= free[kind] / 2)
        storage = next(comfortable, "compressed")
    if storage == "gpu" and not gpu:
        raise UserError("--replay_storage gpu needs a GPU that PyTorch can use: leave it out.")
    if needed[storage] > free[storage]:
        fits = "--replay_storage compressed fits"
        if needed["compressed"] > main:
            largest = max(main, 0) // storage_bytes("compressed", 1, *pixels)
            fits = f"--replay_size {largest} fits, compressed"
        raise UserError(
            f"--replay_size {size} takes {needed[storage] / 1e9:.1f} GB ({storage}) but "
            f"{max(free[storage], 0) / 1e9:.1f} GB are free: {fits}."
        )
    words = {"gpu": "screens on the GPU", "array": "screens in an array"}
    logger.info(
        "Replay memory: %d steps, %s, at most %.1f of %.1f GB free",
        size,
        words.get(storage, "screens compressed"),
        needed[storage] / 1e9,
        free[storage] / 1e9,
    )
    return storage


def check_files(task: Task) -> None:
    """Make the folders of the files to come, and take or set aside what is in their place.

    Raises UserError if an earlier run is in the way.
    """
    config, folder = task.config, task.config.checkpoint_path
    if folder and task.verb == "resume" and not task.checkpoint and numbers(folder):
        aside = folder.with_name(f"{folder.name}.before_epoch_{config.start_epoch + 1}")
        while aside.exists():
            aside = aside.with_name(f"{aside.name}_")
        folder.rename(aside)
        logger.info("The run's checkpoint is set aside in %s", aside)
    wanted = [config.csv_file, config.save_weights_prefix, config.visualization_file]
    for path in [*(path.parent for path in wanted if path), *([folder] if folder else [])]:
        check_writable(path)
    remove_leftovers(config)
    if task.verb == "resume" or config.start_epoch:  # goes on with its files
        return
    snapshots = earlier_snapshots(config.save_weights_prefix) if config.save_weights_prefix else []
    manifests = [folder / file_name(n, "json") for n in numbers(folder)] if folder else []
    csvs = [config.csv_file] if config.csv_file and config.csv_file.exists() else []
    earlier = csvs + snapshots + manifests
    if earlier and not config.overwrite:
        ways = ["replace the files with --overwrite"]
        if task.verb == "train":
            ways.insert(0, f"give this run a label (./train.sh {config.game} LABEL)")
        if snapshots or manifests:
            ways.insert(0, f"go on with ./resume.sh {snapshots[-1] if snapshots else task.name}")
        raise UserError(
            f"An earlier run has written {', '.join(str(p) for p in earlier[:2])}"
            f"{' ...' if len(earlier) > 2 else ''}: {', or '.join(ways)}."
        )
    for path in earlier:
        path.unlink()
    if folder:
        remove_all_but(folder, [])


def remove_leftovers(config: Config) -> None:
    """Remove what a killed run of the same name left of files that it was writing."""
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
    """Make `folder` if need be. Raises UserError if files cannot be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe{secrets.token_hex(4)}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"Cannot write into {folder}: {error.strerror}.") from error


def snapshot_path(prefix: Path, epoch: int) -> Path:
    """Where the snapshot of an epoch goes."""
    return prefix.with_name(f"{prefix.name}_{epoch}.pkl")


def snapshot_info(task: Task, actions: Sequence[str], stats: Statistics) -> dict[str, Any]:
    """What a snapshot says of itself beside the weights."""
    row = stats.rows[-1] if stats.rows else {}
    return {
        "game": task.game,
        "rom_md5": rom_md5(task.rom) if task.rom else "",
        "actions": list(actions),
        "preset": task.config.preset,
        "flags": portable_flags(task.config),
        "versions": versions(),
        "total_train_steps": stats.agent.total_train_steps,
        "weight_updates": stats.network.train_iterations,
        "score": float(row.get("average_reward", 0.0)),
    }


def about_run(task: Task) -> dict[str, Any]:
    """What a checkpoint says of the run it is of."""
    return {
        "root": str(ROOT),
        "rom_md5": rom_md5(task.rom) if task.rom else "",
        "versions": versions(),
        "flags": to_plain(task.config),
    }


def portable_flags(config: Config) -> dict[str, Any]:
    """Flag values for files that are handed on: paths in this clone are told from its root."""
    flags = to_plain(config)
    paths = [name for name in flags if isinstance(getattr(config, name), Path)]
    return flags | {name: flags[name].removeprefix(f"{ROOT}{os.sep}") for name in paths}


def write_description(task: Task) -> None:
    """Write what this run is beside its CSV: flags, versions, ROM, seed, machine."""
    if not task.config.csv_file:
        return
    path = task.config.csv_file.with_suffix(".json")
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    about: dict[str, Any] = {
        "command": task.verb,
        "started": now,
        "rom_md5": rom_md5(task.rom) if task.rom else "",
        "seed": task.config.random_seed,
        "machine": describe(),
        "versions": versions(),
        "flags": portable_flags(task.config),
    }
    if task.checkpoint:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            before = json.loads(path.read_bytes())
            about |= {"command": before["command"], "started": before["started"]}
            about["resumed"] = [*before.get("resumed", []), now]
    try:
        write_atomically(path, (json.dumps(about, indent=2) + "\n").encode())
    except OSError as error:
        logger.error("Cannot write %s (%s).", path, error.strerror)


def load(task: Task, parts: Any) -> None:
    """Take over the network of a snapshot, and its counters when training goes on from it."""
    path, agent = task.config.load_weights, parts.agent
    assert path
    snapshot = parts.network.load_weights(path)
    names = list(parts.environment.action_names)
    actions = snapshot.info.get("actions", names)
    if actions != names:
        known = ", ".join(map(str, actions)) if isinstance(actions, list) else repr(actions)
        raise UserError(
            f"{path} was trained with the actions {known} but the game has {', '.join(names)}: "
            "check the game and --minimal_action_set."
        )
    logger.info("Loaded %s, epoch %d", path, snapshot.epoch)
    if task.config.start_epoch:
        steps = snapshot.info.get("total_train_steps", agent.total_train_steps)
        if type(steps) is not int or steps < 0:
            raise UserError(f"{path} says that it was trained for {steps!r} steps: take another.")
        agent.total_train_steps = steps
        parts.stats.go_on(task.config.start_epoch)


def save_snapshot(task: Task, parts: Any, epoch: int) -> None:
    """Write the snapshot of an epoch; a full disk is reported, and training goes on."""
    if not task.config.save_weights_prefix:
        return
    path = snapshot_path(task.config.save_weights_prefix, epoch)
    info = snapshot_info(task, parts.environment.action_names, parts.stats)
    try:
        parts.network.save_weights(path, epoch=epoch, info=info)
        logger.info("  wrote %s", path)
    except OSError as error:
        logger.error("Cannot write %s (%s): going on without it.", path, error.strerror)


def how_to_go_on(task: Task, checkpointer: Checkpointer | None) -> str:
    """What to do with a run that has ended early."""
    at = checkpointer.at() if checkpointer else None
    if not checkpointer or not at:
        prefix = task.config.save_weights_prefix
        snapshots = earlier_snapshots(prefix) if prefix else []
        if not snapshots:
            return "There is nothing to go on from."
        return f"There is no checkpoint; ./resume.sh {snapshots[-1]} goes on from that snapshot."
    folder = checkpointer.folder
    place = "" if folder == ROOT / "checkpoints" / task.name else f" --checkpoint_path {folder}"
    return f"./resume.sh {task.name}{place} goes on from {at}."
