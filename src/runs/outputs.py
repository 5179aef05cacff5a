"""Films, pages and sounds: none replaces an existing file unless --overwrite is given."""

from __future__ import annotations

import re
from pathlib import Path

from config import Config
from errors import UserError

FILMS = (".mov", ".mp4", ".gif")
PAGES = (".html", ".htm")
FRAME = re.compile(r"[0-9]{6,}\.png")


def free_path(path: Path) -> Path:
    """`path` if there is no such file, else the first of <stem>.2<ending>, <stem>.3<ending> ..."""
    found, number = path, 1
    while found.exists():
        number += 1
        found = path.with_name(f"{path.stem}.{number}{path.suffix}")
    return found


def check_outputs(config: Config) -> list[Path]:
    """The existing files to remove before the run. Raises UserError without --overwrite."""
    film, found = config.video_file, []
    if film and film.suffix.lower() not in FILMS:
        raise UserError(f"A film's name must end with one of {', '.join(FILMS)}: {film} does not.")
    sound = config.record_sound_filename
    if sound and sound.suffix.lower() != ".wav":
        raise UserError(f"A sound's name must end with .wav: {sound} does not.")
    page = config.visualization_file
    if page and page.suffix.lower() not in PAGES:
        raise UserError(f"A page's name must end with one of {', '.join(PAGES)}: {page} does not.")
    for name in ("video_file", "record_sound_filename", "visualization_file"):
        path: Path | None = getattr(config, name)
        if path and path.is_file() and path.stat().st_size:
            earlier = _replaceable([path], name, config)
            if name != "visualization_file":  # the old page stays until the new one replaces it
                found += earlier
    if folder := config.record_screen_path:
        frames = [path for path in folder.glob("*.png") if FRAME.fullmatch(path.name)]
        found += _replaceable(sorted(frames), "record_screen_path", config)
    return found


def _replaceable(earlier: list[Path], flag: str, config: Config) -> list[Path]:
    if earlier and not config.overwrite:
        raise UserError(
            f"{earlier[0]} already exists: give another --{flag}, or replace it with --overwrite."
        )
    return earlier
