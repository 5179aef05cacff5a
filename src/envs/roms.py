"""Finds the ROM of a game by its name or file. ale-py includes the ROMs of all games it knows."""

from __future__ import annotations

import difflib
import hashlib
import logging
import re
from pathlib import Path

import ale_py
import ale_py.roms

from atomic import read_whole
from config import ROOT
from errors import UserError
from paths import snake_case

logger = logging.getLogger(__name__)

# Games that need several players at once, which ALE cannot load for a single agent.
MULTIPLAYER = {"combat", "joust", "maze_craze", "warlords"}
ROM_BYTES = 1 << 20  # the largest ROMs have 64 kB
ENDINGS = (".bin", ".rom", ".a26")


def known_games() -> list[str]:
    """The names of all games that come with ale-py and that one player can play."""
    return sorted(set(ale_py.roms.get_all_rom_ids()) - MULTIPLAYER)


def game_name(game: str) -> str:
    """A game's name as used in file names: breakout, for roms/Breakout.bin and for Breakout.

    A ROM file of another name has that of the game that ALE recognizes in it. Raises UserError if
    it cannot be read.
    """
    stem = re.sub(r"\.(bin|rom|a26)$", "", Path(game).name, flags=re.IGNORECASE)
    name = snake_case(stem)
    if stem != Path(game).name and name not in known_games() and Path(game).is_file():
        rom_md5(Path(game))  # raises UserError if it is too large to be read
        return ale_py.ALEInterface.isSupportedROM(game) or name
    return name


def find_rom(game: str) -> Path:
    """The ROM file of a game that is given as a file or by name.

    Raises UserError, which lists similar names, if there is none that ALE can play.
    """
    path, name = Path(game), game_name(game)
    if path.is_file():
        rom_md5(path)
        recognized = ale_py.ALEInterface.isSupportedROM(str(path))
        if recognized and recognized != name:
            logger.warning(
                "%s is a ROM of %s, but its files will be named after %s: rename it.",
                path,
                recognized,
                name,
            )
        if not recognized:
            raise UserError(
                f"ALE does not know the ROM {path} (md5 {rom_md5(path)}): give one of a game that "
                f"ALE supports{_near(name)}"
            )
        return path
    if name in known_games():
        if len(path.parts) > 1 or path.suffix:
            logger.info("There is no file %s; using the ROM of %s that comes with ALE.", game, name)
        found = ale_py.roms.get_rom_path(name)
        assert found
        return found
    if name in MULTIPLAYER:
        raise UserError(
            f"{name} needs several players, and ALE cannot load it for one: use another game."
        )
    gym = re.fullmatch(r"[\w./:-]+-v[0-9]+", game)
    hint = ". If it is an id of Gymnasium, add --environment gym." if gym else _near(name)
    raise UserError(f"There is no ROM file {game} and no game of that name{hint}")


def rom_of_game(game: str) -> Path:
    """The ROM for a game that a snapshot or checkpoint names: the user's in roms/, or ALE's.

    Raises UserError if there is none.
    """
    name = game_name(game)
    for ending in ENDINGS:
        own = ROOT / "roms" / f"{name}{ending}"
        if own.is_file():
            return find_rom(str(own))
    return find_rom(name)


def _near(name: str) -> str:
    names = difflib.get_close_matches(name, known_games(), 3, 0.5)
    return f"; did you mean {' or '.join(names)}?" if names else "."


def rom_md5(rom: Path) -> str:
    """The md5 sum of a ROM file, by which ALE recognizes games. Raises UserError."""
    try:
        content = read_whole(rom, ROM_BYTES)
    except OSError as error:
        raise UserError(f"The ROM {rom} cannot be read: {error.strerror}.") from None
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
