"""Files of earlier runs in the places of a run's own: refused, replaced or set aside."""

from __future__ import annotations

import logging
import os
import shlex
from pathlib import Path

from atomic import free_name
from checkpoint.files import (
    checkpoint_file,
    checkpoint_files,
    checkpoint_numbers,
    newest_checkpoint,
)
from commands.verbs import Task
from errors import UserError
from paths import earlier_snapshots, is_same_place, name_and_epoch, run_paths
from runs.results import described_flags, description_path, read_description, read_rows
from runs.run import Run

logger = logging.getLogger(__name__)


def check_earlier(task: Task) -> list[Path]:
    """The files of an earlier run that this one will replace. Raises UserError if it may not."""
    config, folder = task.config, task.config.checkpoint_path
    if task.verb == "resume":
        _check_resumed(task)
        return []
    snapshots = earlier_snapshots(config.save_weights_prefix) if config.save_weights_prefix else []
    manifests = (
        [folder / checkpoint_file(n, "json") for n in checkpoint_numbers(folder)] if folder else []
    )
    csvs = [config.csv_file] if config.csv_file and config.csv_file.exists() else []
    if config.csv_file and not _has_own_description(config.csv_file):
        csvs.append(description_path(config.csv_file))
    saved = checkpoint_files(folder) if folder else []
    # In a folder that the user chose, files with such names may be something else.
    chosen = folder != run_paths(task.name)["checkpoint_path"]
    earlier = csvs + snapshots + (saved if chosen else manifests)
    replaced = csvs + snapshots + saved
    if config.load_weights and config.load_weights.resolve() in (s.resolve() for s in snapshots):
        begun = shlex.quote(str(config.load_weights))
        raise UserError(
            f"A new run of the same name would replace {config.load_weights}, which it begins "
            f"with: resume it with ./resume.sh {begun}, or give this run a label "
            f"(./train.sh {shlex.quote(config.game)} LABEL)."
        )
    if not earlier or config.overwrite:
        return replaced
    if csvs and not snapshots and not manifests and _was_killed_early(csvs[0], folder):
        logger.info(
            "The earlier run was stopped before its first checkpoint: starting from the beginning."
        )
        return replaced
    ways = ["replace the files with --overwrite"]
    if "csv_file" in task.given and earlier == csvs:
        ways.insert(0, "give another --csv_file")
    elif task.verb == "train":
        ways.insert(0, f"give this run a label (./train.sh {shlex.quote(config.game)} LABEL)")
    if snapshots or manifests:
        run = shlex.quote(task.name)
        if chosen or not manifests:  # its name alone would find no checkpoint
            run = shlex.quote(str(snapshots[-1])) if snapshots else f"{run} {_place(folder)}"
        ways.insert(0, f"resume it with ./resume.sh {run}")
    raise UserError(
        f"An earlier run has written {', '.join(str(p) for p in earlier[:2])}"
        f"{' ...' if len(earlier) > 2 else ''}: {', or '.join(ways)}."
    )


def _place(folder: Path | None) -> str:
    return f"--checkpoint_path {shlex.quote(str(folder))}"


def _check_resumed(task: Task) -> None:
    """Raise UserError if a resumed run would continue from too early or write into another run."""
    config, checkpoint = task.config, task.checkpoint
    if checkpoint and checkpoint_numbers(checkpoint.folder)[:1] != [checkpoint.number]:
        now = newest_checkpoint(checkpoint.folder)[0]  # it was chosen before the run was locked
        if not now or now.number != checkpoint.number:
            raise UserError(
                f"Another process has continued {task.name} meanwhile: give the command again."
            )
    if checkpoint:
        begun = checkpoint.state["about"]["flags"]
    else:
        begun = task.snapshot.flags if task.snapshot else {}
    for flag in ("csv_file", "save_weights_prefix"):
        path: Path | None = getattr(config, flag)
        if not path or flag not in task.given or config.overwrite:
            continue
        own = [run_paths(task.name)[flag]]
        if task.snapshot and config.load_weights and flag == "save_weights_prefix":
            own.append(config.load_weights.with_name(task.name))  # it may have been moved
        is_own = path.resolve() in (each.resolve() for each in own)
        if is_own or is_same_place(begun.get(flag), path):
            continue
        earlier = earlier_snapshots(path) if flag == "save_weights_prefix" else [path]
        if existing := [each for each in earlier if each.exists()]:
            raise UserError(
                f"{existing[0]} exists and is not of this run: give another --{flag}, or replace "
                "it with --overwrite."
            )


def check_removable(paths: list[Path]) -> list[Path]:
    """The files to be replaced. Raises UserError if one of them is a folder."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            raise UserError(f"{path} is a folder in place of a run's file: move it away.")
    return paths


def make_room(run: Run, replaced: list[Path]) -> None:
    """Remove the files to be `replaced`, and set aside what a run continues from before.

    Nothing else can fail any more before the run begins: films and sounds have been opened. Raises
    UserError if the CSV that the run continues is not one.
    """
    task, config = run.task, run.task.config
    if config.start_epoch and not task.checkpoint:
        run.stats.continue_after(config.start_epoch)
    if task.verb == "resume" and not task.checkpoint:
        _set_aside(task)
    for path in replaced:
        path.unlink(missing_ok=True)


def _set_aside(task: Task) -> None:
    """Move away the checkpoint and the later snapshots of a run that resumes from a snapshot."""
    config, folder, prefix = (
        task.config,
        task.config.checkpoint_path,
        task.config.save_weights_prefix,
    )
    ending = f".before_epoch_{config.start_epoch + 1}"
    logger.info("Results go to %s, snapshots to %s_<epoch>.pkl", config.csv_file, prefix)
    if folder and checkpoint_numbers(folder):
        aside = free_name(folder.with_name(folder.name + ending))
        folder.rename(aside)
        folder.mkdir()
        logger.info("The run's checkpoint is set aside in %s", aside)
    if not prefix:
        return
    later = [p for p in earlier_snapshots(prefix) if name_and_epoch(p)[1] > config.start_epoch]
    if later:
        aside = free_name(prefix.with_name(prefix.name + ending))
        aside.mkdir()
        for path in later:
            path.rename(aside / path.name)
        logger.info("Snapshots of later epochs are set aside in %s", aside)


def _has_own_description(csv_file: Path) -> bool:
    """Whether the .json beside a CSV is the description of a run, or is not there."""
    described = {"command", "flags", "versions"} <= read_description(csv_file).keys()
    return described or not os.path.lexists(description_path(csv_file))


def _was_killed_early(csv_file: Path, folder: Path | None) -> bool:
    """Whether a CSV is of a run with checkpoints in `folder` that was killed before the first."""
    flags = described_flags(csv_file)
    would_resume = bool(flags.get("checkpoint_minutes")) and bool(flags.get("train_steps"))
    if not (folder and would_resume and is_same_place(flags.get("checkpoint_path"), folder)):
        return False
    try:
        return all(row["phase"] == "random" for row in read_rows(csv_file))
    except (OSError, ValueError):
        return False
