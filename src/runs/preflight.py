"""The files of a run, checked before it starts: nothing of an earlier run is lost unasked."""

from __future__ import annotations

import logging
import re
import secrets
from pathlib import Path

from config import Config
from errors import UserError
from runs.checkpoint_files import file_name, numbers, remove_all_but
from runs.paths import earlier_snapshots
from runs.verbs import Task

logger = logging.getLogger(__name__)


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
