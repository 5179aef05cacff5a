"""Writes a run's description and snapshots. A full disk destroys nothing that was saved."""

from __future__ import annotations

import json
import logging
import shlex
import time
from dataclasses import replace
from typing import Any

from atomic import NotWritten
from checkpoint.resume import CHANGE_LEARNING, MAY_CHANGE
from commands.verbs import NOT_RESUMED, Task
from config import CODE, FIELDS, Config
from errors import UserError
from paths import (
    earlier_snapshots,
    name_and_epoch,
    portable,
    portable_flags,
    run_paths,
    snapshot_path,
)
from replay.prioritized import Prioritized
from runs.position import last_epoch, position
from runs.provenance import commit, describe, versions
from runs.results import description_path, read_description
from runs.run import Run
from schema import LONGEST_TEXT, TEXT, entries, record, texts
from snapshot.compatibility import check_actions, check_q_values

logger = logging.getLogger(__name__)


def snapshot_info(parts: Run) -> dict[str, Any]:
    """The information that a snapshot contains in addition to the weights."""
    task, rows = parts.task, parts.stats.rows
    trained = [row["average_reward"] for row in rows if row["phase"] == "train"]
    return {
        "game": task.game,
        "rom_md5": task.rom_md5,
        "actions": list(parts.environment.action_names),
        "preset": task.config.preset,
        "flags": portable_flags(task.config),
        "versions": versions(),
        "total_train_steps": parts.agent.total_train_steps,
        "weight_updates": parts.network.train_iterations if parts.network else 0,
        "training_score": float(trained[-1]) if trained else 0.0,
    }


def write_description(parts: Run) -> None:
    """Write the .json beside the CSV: flags, versions, commit, ROM, seed, machine."""
    task = parts.task
    if not task.config.csv_file:
        return
    about: dict[str, Any] = {
        "command": task.verb,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "rom_md5": task.rom_md5,
        "seed": task.config.random_seed,
        "machine": describe(),
        "versions": versions(),
        "commit": commit(),
        "flags": portable_flags(task.config),
    }
    if task.verb == "resume":
        about |= _begun(read_description(task.config.csv_file), _resumed(task, about))
    path = description_path(task.config.csv_file)
    parts.owed.write(path, (json.dumps(about, indent=2) + "\n").encode())


def _begun(before: dict[str, Any], resumed: dict[str, str]) -> dict[str, Any]:
    """The parts of the description `before` that a run keeps when it is `resumed`."""
    kept = {name: replace(TEXT, optional=True) for name in ("command", "started", "commit")}
    try:
        found = record("it", before, kept)
        earlier = entries("its times", before.get("resumed", []))
        # Earlier versions kept only the time.
        earlier = [{"time": each} if isinstance(each, str) else each for each in earlier]
        earlier = [texts("a time", each, longest=LONGEST_TEXT) for each in earlier]
    except UserError:
        return {}
    return {k: v for k, v in found.items() if v is not None} | {"resumed": [*earlier, resumed]}


def _resumed(task: Task, about: dict[str, Any]) -> dict[str, str]:
    """When and where a run was resumed, and which of the flags that change learning changed."""
    now, checkpoint, snapshot = about["flags"], task.checkpoint, task.snapshot
    if checkpoint:
        at, before = str(position(checkpoint)), checkpoint.state["about"]["flags"]
    else:
        assert snapshot
        at, before = f"the snapshot of epoch {snapshot.epoch}", snapshot.flags
    # Flags that an earlier version did not have yet were at their defaults.
    before = portable_flags(Config()) | before if before else now
    others = {*MAY_CHANGE, *NOT_RESUMED} - {*CHANGE_LEARNING, *CODE}
    decisive = [name for name in FIELDS if name not in others]
    changed = [
        f"{name} {before[name]} -> {now[name]}" for name in decisive if before[name] != now[name]
    ]
    entry = {"time": about["started"], "at": at}
    entry |= {"commit": about["commit"], "changed": ", ".join(changed)[:LONGEST_TEXT]}
    return {name: text for name, text in entry.items() if text}


def restore(parts: Run) -> None:
    """Continue from the checkpoint or the snapshot that the task names, if it names one."""
    if parts.task.checkpoint and parts.checkpointer:
        parts.checkpointer.restore(parts.task.checkpoint)
    elif parts.task.config.load_weights:
        _load(parts)


def _load(parts: Run) -> None:
    """Load the network of a snapshot, and its counters if training continues from it."""
    config, agent = parts.task.config, parts.agent
    path, network = config.load_weights, parts.network
    assert path and network
    begins = parts.memory is not None and not config.start_epoch
    snapshot = network.load_weights(path, new_run=begins)
    check_actions(path, snapshot, parts.environment.action_names)
    check_q_values(path, network.predict, config)
    logger.info("Loaded %s, epoch %d", path, snapshot.epoch)
    if config.start_epoch or parts.task.verb == "test":
        steps = snapshot.info.get("total_train_steps")
        agent.total_train_steps = agent.total_train_steps if steps is None else steps
    if config.start_epoch and parts.memory and isinstance(parts.memory.sampler, Prioritized):
        parts.memory.sampler.draws = network.train_iterations
    if config.start_epoch and not snapshot.has_states:
        logger.warning(
            "%s contains weights only: the optimizer starts without its earlier averages.", path
        )


def save_snapshot(parts: Run, epoch: int) -> None:
    """Write the snapshot of an epoch; a full disk is reported, and training continues."""
    prefix, network = parts.task.config.save_weights_prefix, parts.network
    if not prefix or not network:
        return
    path = snapshot_path(prefix, epoch)
    info = snapshot_info(parts)
    try:
        network.save_weights(path, epoch=epoch, info=info)
        logger.info("  wrote %s", path)
    except NotWritten as error:
        parts.owed.keep(error)
    else:
        parts.owed.settle()  # there may be room again


def how_to_resume(parts: Run) -> str:
    """How to resume a run that ended early."""
    task, checkpointer = parts.task, parts.checkpointer
    usual = run_paths(task.name)
    places = {name: getattr(task.config, name) for name in sorted(usual)}
    elsewhere = {k: p for k, p in places.items() if p and portable(p) != portable(usual[k])}
    at = checkpointer.at() if checkpointer else None
    words, why = shlex.quote(task.name), "There is no checkpoint"
    prefix = places["save_weights_prefix"]
    snapshots = earlier_snapshots(prefix) if prefix else []
    newest = name_and_epoch(snapshots[-1])[1] if snapshots else 0
    is_behind = at and newest > last_epoch(at, task.config.start_epoch) + 1
    if is_behind and "save_weights_prefix" not in elsewhere:  # as in resume.find_run
        at, why = None, f"The checkpoint is at {at}"
    if not at:
        elsewhere.pop("save_weights_prefix", None)
        if not snapshots:
            return "There is nothing to resume from."
        words = shlex.quote(str(snapshots[-1]))
    for name, path in elsewhere.items():
        words += f" --{name} {shlex.quote(str(path))}"
    if not at:
        if newest >= task.config.epochs:
            words += f" --epochs {newest + 1}"
        rest = f", without the rest of epoch {newest}" if parts.agent.interrupted else ""
        return f"{why}; ./resume.sh {words} resumes from that snapshot{rest}."
    return f"./resume.sh {words} resumes from {at}."
