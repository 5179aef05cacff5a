"""Removes snapshots that a run does not keep."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from config import Config
from paths import earlier_snapshots, name_and_epoch

logger = logging.getLogger(__name__)


def remove_snapshots(config: Config, rows: Sequence[dict[str, Any]]) -> None:
    """Keep the --keep_snapshots newest snapshots and the best one, and remove the others.

    The best one has the highest mean score of the games that ended in a test, in the `rows` of the
    CSV. Snapshots of epochs without rows stay: nobody knows how good they are.
    """
    prefix = config.save_weights_prefix
    if not prefix or not config.keep_snapshots:
        return
    snapshots = {name_and_epoch(p)[1]: p for p in earlier_snapshots(prefix)}
    tested = {
        row["epoch"]: row["average_reward"]
        for row in rows
        if row["phase"] == "test" and row["epoch"] in snapshots and row["nr_games"]
    }
    kept = set(sorted(snapshots)[-config.keep_snapshots :])
    kept |= snapshots.keys() - {row["epoch"] for row in rows}
    if tested:
        kept.add(max(tested, key=lambda epoch: tested[epoch]))
    for epoch, path in snapshots.items():
        if epoch not in kept:
            try:
                path.unlink()
            except OSError as error:
                logger.warning("Cannot remove %s: %s.", path, error.strerror)
