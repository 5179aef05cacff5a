"""Checks values from all sources: flags, presets, snapshots, checkpoints, CSV files.

A Value declares a type, a range and a length. `parse` reads a text, `check` a TOML, JSON or pickled
value. Both raise UserError with one sentence and handle values of any size.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from errors import UserError, shown

COMMON = 1e9  # the largest absolute value of a number without limits of its own
LONGEST_TEXT = 1000  # characters
MAX_ACTIONS = 256  # of a game: the replay memory keeps an action in a byte
MAX_EPOCHS = 1_000_000
MAX_GAMES = 1024  # side by side
LONGEST_PATH = 4000  # bytes; Linux takes 4095
LONGEST_NAME = 200  # bytes of a part of a path; file systems take 255, and endings are added

# Numbers are ASCII digits: no other script's, no underscores, no spaces, no words.
_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?")
_TRUTHS = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}
_WANTED = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_WANTED |= {Path: "a path"}


@dataclass(frozen=True, kw_only=True)
class Value:
    """A type and its limits: numbers lie in low .. high, texts are not longer than `longest`."""

    kind: type
    low: float = -COMMON
    high: float = COMMON
    choices: tuple[str, ...] = ()
    longest: int = LONGEST_TEXT
    optional: bool = False

    def parse(self, name: str, text: str) -> Any:
        """The value of `text`. Raises UserError if it is not valid."""
        found: Any = text
        if self.kind is bool:
            found = _TRUTHS.get(text.lower())
        elif self.kind is int:
            found = _whole(text)
        elif self.kind is float:
            found = float(text) if _NUMBER.fullmatch(text) else None
        if found is None:
            raise UserError(f"{name} takes {_WANTED[self.kind]}, not {shown(text)}.")
        return self.check(name, found)

    def check(self, name: str, value: Any) -> Any:
        """`value`, converted if that loses nothing. Raises UserError if it is not valid."""
        if value is None and self.optional:
            return None
        kind = self.kind
        if kind is float and type(value) is int and abs(value) <= 2**53:
            value = float(value)
        if kind is Path and type(value) is str:
            value = Path(value)
        if not (isinstance(value, Path) if kind is Path else type(value) is kind):
            raise UserError(f"{name} takes {_WANTED[kind]}, not {shown(value)}.")
        if self.choices and value not in self.choices:
            raise UserError(f"{name} is one of {', '.join(self.choices)}, not {shown(value)}.")
        if isinstance(value, int | float):
            self._check_range(name, value)
        elif isinstance(value, Path):
            _check_path(name, value)
        elif isinstance(value, str):
            _check_text(name, value, self.longest)
        return value

    def _check_range(self, name: str, value: Any) -> None:
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{name} must be a finite number.")
        if value < self.low:
            raise UserError(f"{name} must be at least {self.low:g}, not {shown(value)}.")
        if value > self.high:
            raise UserError(f"{name} must be at most {self.high:g}, not {shown(value)}.")


COUNT = Value(kind=int, low=0, high=1e15)
FINITE = Value(kind=float, low=-sys.float_info.max, high=sys.float_info.max)
TEXT = Value(kind=str)
TRUTH = Value(kind=bool)


def record(name: str, value: Any, wanted: Mapping[str, Value]) -> dict[str, Any]:
    """The `wanted` entries of a dict by name, each checked. Raises UserError."""
    if not isinstance(value, dict):
        raise UserError(f"{name} is {shown(value)}, not names with values.")
    for key, entry in wanted.items():
        if key not in value and not entry.optional:
            raise UserError(f"{name} has no {key}.")
    return {key: each.check(key, value.get(key)) for key, each in wanted.items()}


def sequence(name: str, value: Any, item: Value, *, length: int | None = None) -> list[Any]:
    """The items of a list, each checked. Raises UserError."""
    return [item.check(name, each) for each in entries(name, value, length=length)]


def entries(name: str, value: Any, *, length: int | None = None) -> list[Any]:
    """The items of a list. Raises UserError."""
    if not isinstance(value, list | tuple):
        raise UserError(f"{name} is {shown(value)}, not a list.")
    if length is not None and len(value) != length:
        raise UserError(f"{name} has {len(value)} entries, not {length}.")
    return list(value)


def texts(name: str, value: Any, *, longest: int = 64) -> dict[str, str]:
    """A dict of short texts by name. Raises UserError."""
    if not isinstance(value, dict) or len(value) > LONGEST_NAME:
        raise UserError(f"{name} is {shown(value)}, not names with values.")
    item = Value(kind=str, longest=longest)
    return {item.check(name, key): item.check(name, each) for key, each in value.items()}


def _whole(text: str) -> int | None:
    """1e6 is a whole number, and so is 1.5e3."""
    if _WHOLE.fullmatch(text):
        return int(text)
    if not _NUMBER.fullmatch(text) or "e" not in text.lower():
        return None
    number = Decimal(text)
    return int(number) if number == number.to_integral_value() else None


def _check_text(name: str, text: str, longest: int) -> None:
    if len(text) > longest:
        raise UserError(f"{name} takes at most {longest} characters, not {len(text)}.")
    if not is_plain(text):
        raise UserError(f"{name} has characters that cannot be shown: {shown(text)}.")


def _check_path(name: str, path: Path) -> None:
    text = str(path)
    _check_text(name, text, LONGEST_PATH)
    if not path.name or path.name == "..":
        raise UserError(f"{name} takes a path that ends in a name, not {shown(text)}.")
    if len(os.fsencode(text)) > LONGEST_PATH or any(
        len(os.fsencode(part)) > LONGEST_NAME for part in path.parts
    ):
        raise UserError(f"{name} has a name of more than {LONGEST_NAME} bytes: {shown(text)}.")


def is_plain(text: str) -> bool:
    """Whether a text can be shown in one line; badly encoded file names are accepted."""
    return all(c.isprintable() or "\udc80" <= c <= "\udcff" for c in text)


def value_of(kind: Any, *, optional: bool, choices: Sequence[str], low: Any, high: Any) -> Value:
    """The Value of a flag; missing limits are the common ones."""
    return Value(
        kind=kind,
        optional=optional,
        choices=tuple(choices),
        low=-COMMON if low is None else low,
        high=COMMON if high is None else high,
    )
