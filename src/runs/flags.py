"""The command line: every flag of Config, and every mistake answered in one sentence."""

from __future__ import annotations

import argparse
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from config import FIELDS, GROUPS, check, group_of, kind_of, parse_value, unknown_flag
from errors import UserError


class Parser(argparse.ArgumentParser):
    """Takes all flags and says what is wrong in one sentence."""

    def __init__(self, prog: str, description: str, defaults: dict[str, Any]) -> None:
        """All of Config's flags with the values that `defaults` and the fields give them."""
        super().__init__(
            prog=prog,
            description=description,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        groups = {title: self.add_argument_group(title) for title in GROUPS}
        for name, field in FIELDS.items():
            if name == "game":
                continue
            group = groups[group_of(name)]
            default = defaults.get(name, field.default)
            choices = field.metadata["choices"]
            shown = str(default).lower() if isinstance(default, bool) else default
            suffix = "" if default is None else f" [{shown}]"
            kind = kind_of(name)
            words = {bool: "true|false", Path: "FILE"}
            # A bare --overwrite means --overwrite true.
            bare: Any = {"nargs": "?", "const": "true"} if kind is bool else {}
            group.add_argument(
                f"--{name}",
                metavar="|".join(choices) or words.get(kind, kind.__name__.upper()),
                help=(field.metadata["help"] + suffix).replace("%", "%%"),
                **bare,
            )

    def error(self, message: str) -> typing.NoReturn:
        """Say it in our words."""
        raise UserError(message[:1].upper() + message[1:] + f". See {self.prog} --help.")

    def parse(self, arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
        """Positional arguments, and the flags given with their values checked."""
        self.add_argument("positional", nargs="*", default=[], help=argparse.SUPPRESS)
        namespace, rest = self.parse_known_intermixed_args(list(arguments))
        for word in rest:
            if word.startswith("-"):
                raise unknown_flag(word.lstrip("-").split("=")[0])
        values = vars(namespace)
        positional = values.pop("positional")
        given = {name: parse_value(name, text) for name, text in values.items()}
        return positional, {name: check(name, value) for name, value in given.items()}
