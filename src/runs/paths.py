"""Where the snapshots of a run are."""

from __future__ import annotations

import glob
from pathlib import Path


def snapshot_path(prefix: Path, epoch: int) -> Path:
    """Where the snapshot of an epoch goes."""
    return prefix.with_name(f"{prefix.name}_{epoch}.pkl")


def earlier_snapshots(prefix: Path) -> list[Path]:
    """The snapshots <prefix>_<epoch>.pkl there are, by epoch."""
    found = {}
    for path in prefix.parent.glob(f"{glob.escape(prefix.name)}_*.pkl"):
        epoch = path.stem[len(prefix.name) + 1 :]
        if epoch.isdecimal():
            found[int(epoch)] = path
    return [found[epoch] for epoch in sorted(found)]
