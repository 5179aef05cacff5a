"""The values of all flags, from presets, snapshots, verbs and the command line.

The value of a flag is the last of these: its default, the preset's, that of a loaded snapshot's
training, the verb's (./test.sh trains nothing), the command line's.
"""

from __future__ import annotations

import tomllib
from collections import ChainMap
from pathlib import Path
from typing import Any

from atomic import read_whole
from commands.catalog import FROM_SNAPSHOT
from commands.combinations import check_together
from config import CODE, DEFAULT_PRESET, FIELDS, ROOT, Config, check, kind_of, unknown_flag
from errors import UserError, clean, shown
from user_code.trust import trusted_code

PRESETS = ROOT / "presets"
PRESET_BYTES = 20_000  # Python needs a gigabyte of memory for hostile ones a little larger

# A preset says how an agent learns, not which files are read, replaced or written.
NOT_IN_A_PRESET = ("game", "preset", "overwrite", "start_epoch")

# Values for other environments than ale, in place of the defaults and of presets/. None leaves the
# environment as it is. There are no no-op starts, because action 0 may have an effect.
OUTSIDE_ALE: dict[str, Any] = {
    "frame_skip": None,
    "repeat_action_probability": None,
    "random_starts": 0,
    "zero_history": True,
}


def read_preset(name: str) -> dict[str, Any]:
    """The flags in presets/<name>.toml or in a .toml file. Raises UserError."""
    path = PRESETS / f"{name}.toml"
    try:
        if not path.is_file():
            path = Path(name)
        if not path.is_file():
            raise FileNotFoundError
        text = read_whole(path, PRESET_BYTES).decode()
        values = tomllib.loads(text)
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in PRESETS.glob("*.toml")))
        raise UserError(
            f"There is no preset {shown(name)}: use one of {known}, or a .toml file."
        ) from None
    except OSError as error:
        raise UserError(f"The preset {path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"The preset {path} is not a TOML file: {clean(str(error))}.") from None
    for key in values:
        if key not in FIELDS:
            raise UserError(f"{path}: {unknown_flag(key)}")
        if key in NOT_IN_A_PRESET or kind_of(key) is Path:
            raise UserError(f"{path}: {key} is for the command line only: remove it.")
    try:
        return {key: check(key, value) for key, value in values.items()}
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def resolve(
    given: dict[str, Any], defaults: dict[str, Any], trained: dict[str, Any] | None = None
) -> Config:
    """The values of all flags. Each of these overrides the ones before it: the preset, the flags
    that the snapshot was `trained` with, the verb's `defaults`, the command line (`given`). A
    --preset on the command line overrides the snapshot."""
    name = given.get("preset", DEFAULT_PRESET)
    preset, snapshot = read_preset(name), trained or {}
    for flag in CODE.keys() & preset.keys() - given.keys():
        preset[flag] = trusted_code(Path(name), flag, preset[flag])
    layers = [given, defaults]
    layers += [preset, snapshot] if "preset" in given else [snapshot, preset]
    if ChainMap(*layers).get("environment", "ale") != "ale":
        layers.append(OUTSIDE_ALE)
        if (PRESETS / f"{name}.toml").is_file():  # of an Atari agent
            for key in OUTSIDE_ALE:
                preset.pop(key, None)
    values = ChainMap(*layers)
    config = Config(**{name: check(name, value) for name, value in values.items()})
    check_together(config)
    return config


def trained_with(flags: dict[str, Any]) -> dict[str, Any]:
    """Those of the flags of a snapshot's training that its network must be played with."""
    kept = {name: flags[name] for name in FROM_SNAPSHOT.split() if flags.get(name) is not None}
    return {name: check(name, value) for name, value in kept.items()}
