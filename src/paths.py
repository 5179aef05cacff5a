"""Where a run's files are. Only its name or the command line decides that."""

from __future__ import annotations

import errno
import glob
import os
import re
import shlex
from pathlib import Path
from typing import Any

from atomic import LINK
from config import ROOT, Config, to_plain
from errors import UserError, shown

FOLDERS = ("checkpoints", "results", "snapshots")


def run_paths(name: str) -> dict[str, Path]:
    """The paths of the files of a run called `name`, by flag."""
    return {
        "save_weights_prefix": ROOT / "snapshots" / name,
        "csv_file": ROOT / "results" / f"{name}.csv",
        "checkpoint_path": ROOT / "checkpoints" / name,
    }


def portable(path: Path) -> str:
    """A path for files that people share: inside the clone, relative to it."""
    path = _absolute(path)
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def located(portable: str | Path) -> Path:
    """The path that `portable` returned this for."""
    return ROOT / portable


def is_same_place(portable: object, path: Path) -> bool:
    """Whether a result of `portable`, in a file that may hold anything, is `path`."""
    try:
        return isinstance(portable, str) and located(portable).resolve() == path.resolve()
    except ValueError:  # of a null character
        return False


def ask_for_places(source: object, begun: dict[str, Any], places: dict[str, Path]) -> None:
    """Raise UserError if `source` says that its run writes other files than `places`, by flag."""
    begun = {name: begun.get(name) for name in sorted(places)}
    others = [n for n, path in begun.items() if path not in (None, portable(places[n]))]
    if not others:
        return
    theirs = " ".join(f"--{name} {shown(_as_typed(begun[name]), 200)}" for name in others)
    ours = " ".join(f"--{name} {shlex.quote(str(places[name]))}" for name in others)
    raise UserError(
        f"According to {source} its run writes {theirs}. Only you can decide that: give that "
        f"again, or {ours}."
    )


def _as_typed(portable: object) -> object:
    """The path that a result of `portable`, in a file that may hold anything, stands for."""
    return str(located(portable)) if isinstance(portable, str) else portable


def portable_flags(config: Config) -> dict[str, Any]:
    """Flag values for files that people share; what --overwrite allows is not part of a run."""
    flags = to_plain(config)
    del flags["overwrite"]
    values = {name: getattr(config, name) for name in flags}
    return flags | {name: portable(v) for name, v in values.items() if isinstance(v, Path)}


def refuse_links(path: Path) -> None:
    """Raise OSError if a link below checkpoints/, results/ or snapshots/ leads to `path`.

    These folders may themselves be links, to a larger disk, but files in them may be from others.
    """
    for folder in FOLDERS:
        top = ROOT / folder
        place = _absolute(path)
        if not place.is_relative_to(top):
            continue
        for part in [place, *place.parents]:
            if part == top:
                break
            if part.is_symlink():
                raise OSError(errno.ELOOP, LINK, str(part))


def _absolute(path: Path) -> Path:
    """The absolute path, without resolving links."""
    return Path(os.path.abspath(path))  # noqa: PTH100 (Path.resolve follows links)


def snapshot_path(prefix: Path, epoch: int) -> Path:
    """The path of the snapshot of an epoch."""
    return prefix.with_name(f"{prefix.name}_{epoch}.pkl")


def name_and_epoch(snapshot: Path) -> tuple[str, int]:
    """The name of a snapshot's run and its epoch; -1 if the file's name has none."""
    found = re.fullmatch(r"(.+)_([0-9]{1,9})", snapshot.stem)
    return (found[1], int(found[2])) if found else (snapshot.stem, -1)


def earlier_snapshots(prefix: Path) -> list[Path]:
    """All existing snapshots <prefix>_<epoch>.pkl, by epoch."""
    found = {}
    for path in prefix.parent.glob(f"{glob.escape(prefix.name)}_*.pkl"):
        name, epoch = name_and_epoch(path)
        if name == prefix.name and epoch >= 0:
            found[epoch] = path
    return [found[epoch] for epoch in sorted(found)]


def snake_case(name: str) -> str:
    """space_invaders for SpaceInvaders."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def file_name(game: str) -> str:
    """The name of a game that is not ALE's, as used in file names: ALE_Pong-v5 for ALE/Pong-v5."""
    return re.sub(r"[^\w.-]+", "_", game)
