"""The command line of the programs that have few flags of their own."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from errors import UserError


class PlainParser(argparse.ArgumentParser):
    """Reports a wrong flag in one sentence, like all other mistakes."""

    def __init__(self, **settings: Any) -> None:
        """`settings` are argparse's; a description is shown as it is written."""
        plain = argparse.RawDescriptionHelpFormatter
        super().__init__(**settings, allow_abbrev=False, formatter_class=plain)

    def error(self, message: str) -> NoReturn:
        """Raises UserError."""
        raise UserError(f"{message}; see {self.prog} --help.")
