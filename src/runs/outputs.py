"""Films, pages and sounds: none replaces an existing file unless --overwrite is given."""

from __future__ import annotations

import re
from pathlib import Path

from config import Config
from errors import UserError

FRAME = re.compile(r"[0-9]{6,}\.png")


def free_path(path: Path) -> Path:
    """`path` if there is no such file, else the first of <stem>.2<ending>, <stem>.3<ending> ..."""
    found, number = path, 1
    while found.exists():
        number += 1
        found = path.with_name(f"{path.stem}.{number}{path.suffix}")
    return found


def check_outputs(config: Config) -> None:
    """Raise UserError if a file to be written exists already; with --overwrite remove it."""
    for name in ("video_file", "record_sound_filename", "visualization_file"):
        path: Path | None = getattr(config, name)
        if path and path.is_file() and path.stat().st_size:
            _take_place_of([path], name, config)
    if folder := config.record_screen_path:
        frames = [path for path in folder.glob("*.png") if FRAME.fullmatch(path.name)]
        _take_place_of(sorted(frames), "record_screen_path", config)


def _take_place_of(earlier: list[Path], flag: str, config: Config) -> None:
    if earlier and not config.overwrite:
        raise UserError(
            f"{earlier[0]} already exists: give another --{flag}, or replace it with --overwrite."
        )
    for path in earlier:
        path.unlink()
