"""Which snapshots of a run are kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from config import Config
from runs.paths import earlier_snapshots

logger = logging.getLogger(__name__)


def remove_snapshots(config: Config, rows: Sequence[dict[str, Any]]) -> None:
    """Remove the snapshots beside the --keep_snapshots newest and the best one, if so asked.

    The best is the one whose epoch had the highest mean score in testing, by the `rows` of the CSV.
    """
    prefix = config.save_weights_prefix
    if not prefix or not config.keep_snapshots:
        return
    snapshots = {int(p.stem.rpartition("_")[2]): p for p in earlier_snapshots(prefix)}
    tested = {
        row["epoch"]: row["average_reward"]
        for row in rows
        if row["phase"] == "test" and row["epoch"] in snapshots
    }
    kept = set(sorted(snapshots)[-config.keep_snapshots :])
    if tested:
        kept.add(max(tested, key=lambda epoch: tested[epoch]))
    for epoch, path in snapshots.items():
        if epoch not in kept:
            try:
                path.unlink()
            except OSError as error:
                logger.warning("Cannot remove %s: %s.", path, error.strerror)
