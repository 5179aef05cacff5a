"""The files of a run: checked before it starts, written so that a full disk loses nothing."""

from __future__ import annotations

import glob
import json
import logging
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from config import Config, to_plain
from errors import UserError
from machine import describe, free_memory, versions
from roms import rom_md5
from screen_store import storage_bytes
from side_by_side import games_bytes
from snapshot import write_atomically
from stats import Statistics
from verbs import Task

logger = logging.getLogger(__name__)

PROCESS_BYTES = 600 * 2**20  # what a run takes beside its replay memory


def choose_storage(config: Config) -> str:
    """How the replay memory keeps its screens: `array` or `compressed`.

    Raises UserError if it will not fit into the machine's free memory.
    """
    size, pixels = config.replay_size, (config.screen_height, config.screen_width)
    free = free_memory() - PROCESS_BYTES - games_bytes(config, config.num_envs)
    needed = {kind: storage_bytes(kind, size, *pixels) for kind in ("array", "compressed")}
    storage = config.replay_storage
    if storage == "auto":
        storage = "array" if needed["array"] <= free / 2 else "compressed"
    if needed[storage] > free:
        fits = "--replay_storage compressed fits"
        if needed["compressed"] > free:
            largest = max(free, 0) // storage_bytes("compressed", 1, *pixels)
            fits = f"--replay_size {largest} fits, compressed"
        raise UserError(
            f"--replay_size {size} takes {needed[storage] / 1e9:.1f} GB ({storage}) but "
            f"{max(free, 0) / 1e9:.1f} GB are free: {fits}."
        )
    logger.info(
        "Replay memory: %d steps, %s, at most %.1f of %.1f GB free",
        size,
        {"array": "screens in an array", "compressed": "screens compressed"}[storage],
        needed[storage] / 1e9,
        free / 1e9,
    )
    return storage


def check_files(task: Task) -> None:
    """Make the folders of the files to come; raise UserError if earlier ones are in the way."""
    config = task.config
    wanted = [config.csv_file, config.save_weights_prefix, config.visualization_file]
    for path in wanted:
        if path:
            check_writable(path.parent)
    if task.verb != "train" or not config.csv_file or not config.save_weights_prefix:
        return
    snapshots = earlier_snapshots(config.save_weights_prefix)
    earlier = [config.csv_file] * config.csv_file.exists() + snapshots
    if earlier and not config.overwrite:
        go_on = f"./resume.sh {snapshots[-1]}" if snapshots else "a label as second argument"
        raise UserError(
            f"An earlier run has written {', '.join(str(p) for p in earlier[:2])}"
            f"{' ...' if len(earlier) > 2 else ''}: go on with {go_on}, give this run a label "
            f"(./train.sh {config.game} LABEL), or replace the files with --overwrite."
        )
    for path in earlier:
        path.unlink()


def check_writable(folder: Path) -> None:
    """Make `folder` if need be. Raises UserError if files cannot be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe{secrets.token_hex(4)}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"Cannot write into {folder}: {error.strerror}.") from error


def earlier_snapshots(prefix: Path) -> list[Path]:
    """The snapshots <prefix>_<epoch>.pkl there are, by epoch."""
    found = {}
    for path in prefix.parent.glob(f"{glob.escape(prefix.name)}_*.pkl"):
        epoch = path.stem[len(prefix.name) + 1 :]
        if epoch.isdecimal():
            found[int(epoch)] = path
    return [found[epoch] for epoch in sorted(found)]


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
        "flags": to_plain(task.config),
        "versions": versions(),
        "total_train_steps": stats.agent.total_train_steps,
        "weight_updates": stats.network.train_iterations,
        "score": float(row.get("average_reward", 0.0)),
    }


def write_description(task: Task) -> None:
    """Write what this run is beside its CSV: flags, versions, ROM, seed, machine."""
    if not task.config.csv_file:
        return
    path = task.config.csv_file.with_suffix(".json")
    about = {
        "command": task.verb,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "rom_md5": rom_md5(task.rom) if task.rom else "",
        "seed": task.config.random_seed,
        "machine": describe(),
        "versions": versions(),
        "flags": to_plain(task.config),
    }
    try:
        write_atomically(path, (json.dumps(about, indent=2) + "\n").encode())
    except OSError as error:
        logger.error("Cannot write %s (%s).", path, error.strerror)
