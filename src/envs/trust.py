"""What a snapshot may ask for. It may come from anybody, so it must not say which code is to run:
nothing but Gymnasium's packages that are installed here, and environments that lie in this clone.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Any

from config import ROOT
from errors import UserError


def trusted_environment(path: Path, environment: str) -> str:
    """The --environment that snapshot `path` was trained in. Raises UserError if it is foreign."""
    if environment in ("ale", "gym"):
        return environment
    file, _, name = environment.rpartition(":")
    known = (ROOT / file).resolve()
    if Path(file).is_absolute() or not known.is_relative_to(ROOT):
        raise UserError(
            f"{path} was trained in an environment outside of {ROOT}; if you trust the code of "
            f"that file, add --environment {environment}"
        )
    return f"{known}:{name}"


def trusted_game(path: Path, game: Any) -> str:
    """The game of snapshot `path`, not one of ALE's. Raises UserError if it is none or foreign."""
    if not isinstance(game, str) or not re.fullmatch(r"(\w+:)?[\w./-]*\w", game):
        raise UserError(f"{path} says that it plays {game!r:.60}, which no environment is called.")
    package, colon, _ = game.partition(":")
    if colon and not any(_needs_gymnasium(name) for name in _distributions(package)):
        raise UserError(
            f"{path} plays {game}, but no package {package} for Gymnasium is installed: install it."
        )
    return game


def _distributions(package: str) -> list[str]:
    return list(metadata.packages_distributions().get(package, ()))


def _needs_gymnasium(distribution: str) -> bool:
    return any(re.match(r"gymnasium\b", need) for need in metadata.requires(distribution) or ())
