"""What a run writes: its description, its snapshots. A full disk loses nothing that was there."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

from atomic import write_atomically
from config import ROOT, Config, to_plain
from envs.roms import rom_md5
from errors import UserError
from runs.paths import earlier_snapshots, snapshot_path
from runs.provenance import describe, versions
from runs.run import Run
from runs.verbs import Task

logger = logging.getLogger(__name__)


def snapshot_info(parts: Run) -> dict[str, Any]:
    """What a snapshot says of itself beside the weights."""
    task, rows = parts.task, parts.stats.rows
    row = rows[-1] if rows else {}
    return {
        "game": task.game,
        "rom_md5": rom_md5(task.rom) if task.rom else "",
        "actions": list(parts.environment.action_names),
        "preset": task.config.preset,
        "flags": portable_flags(task.config),
        "versions": versions(),
        "total_train_steps": parts.agent.total_train_steps,
        "weight_updates": parts.network.train_iterations if parts.network else 0,
        "score": float(row.get("average_reward", 0.0)),
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


def load(parts: Run) -> None:
    """Take over the network of a snapshot, and its counters when training goes on from it."""
    config, agent = parts.task.config, parts.agent
    path, network = config.load_weights, parts.network
    assert path and network
    snapshot = network.load_weights(path)
    names = list(parts.environment.action_names)
    actions = snapshot.info.get("actions", names)
    if actions != names:
        known = ", ".join(map(str, actions)) if isinstance(actions, list) else repr(actions)
        raise UserError(
            f"{path} was trained with the actions {known} but the game has {', '.join(names)}: "
            "check the game and --minimal_action_set."
        )
    logger.info("Loaded %s, epoch %d", path, snapshot.epoch)
    if config.start_epoch:
        steps = snapshot.info.get("total_train_steps", agent.total_train_steps)
        if type(steps) is not int or steps < 0:
            raise UserError(f"{path} says that it was trained for {steps!r} steps: take another.")
        agent.total_train_steps = steps
        parts.stats.continue_after(config.start_epoch)


def save_snapshot(parts: Run, epoch: int) -> None:
    """Write the snapshot of an epoch; a full disk is reported, and training goes on."""
    prefix, network = parts.task.config.save_weights_prefix, parts.network
    if not prefix or not network:
        return
    path = snapshot_path(prefix, epoch)
    info = snapshot_info(parts)
    try:
        network.save_weights(path, epoch=epoch, info=info)
        logger.info("  wrote %s", path)
    except OSError as error:
        logger.error("Cannot write %s (%s): continuing without it.", path, error.strerror)


def how_to_resume(parts: Run) -> str:
    """What to do with a run that has ended early."""
    task, checkpointer = parts.task, parts.checkpointer
    at = checkpointer.at() if checkpointer else None
    if not checkpointer or not at:
        prefix = task.config.save_weights_prefix
        snapshots = earlier_snapshots(prefix) if prefix else []
        if not snapshots:
            return "There is nothing to resume from."
        return f"There is no checkpoint; ./resume.sh {snapshots[-1]} resumes from that snapshot."
    folder = checkpointer.folder
    place = "" if folder == ROOT / "checkpoints" / task.name else f" --checkpoint_path {folder}"
    return f"./resume.sh {task.name}{place} resumes from {at}."
