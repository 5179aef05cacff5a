"""The command line of the programs that have few flags of their own."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any, NoReturn

from errors import UserError, shown


def at_least(low: float, kind: Callable[[str], Any] = float) -> Callable[[str], Any]:
    """The type of an argument that is a finite number not below `low`."""

    def number(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value < math.inf:
            raise argparse.ArgumentTypeError(f"takes a number from {low:g}, not {shown(text)}")
        return value

    return number


class PlainParser(argparse.ArgumentParser):
    """Reports a wrong flag in one sentence, like all other mistakes."""

    def __init__(self, **settings: Any) -> None:
        """`settings` are argparse's; a description is shown as it is written."""
        plain = argparse.RawDescriptionHelpFormatter
        super().__init__(**settings, allow_abbrev=False, formatter_class=plain)

    def error(self, message: str) -> NoReturn:
        """Raises UserError."""
        raise UserError(f"{message}; see {self.prog} --help.")
