"""The command line: every flag of Config; each mistake is answered with one sentence."""

from __future__ import annotations

import argparse
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from commands.catalog import Verb
from config import FIELDS, GROUPS, group_of, kind_of, parse_value, unknown_flag
from errors import UserError


class Help(argparse.Action):
    """--help shows the flags that matter for a verb, --help all shows every flag."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Print the help and exit."""
        assert isinstance(parser, Parser)
        help_parser(parser.verb, everything=values == "all").print_help()
        parser.exit()


class Parser(argparse.ArgumentParser):
    """Accepts all flags and reports a mistake in one sentence."""

    def __init__(self, verb: Verb) -> None:
        """All of Config's flags and the verb's own options."""
        super().__init__(
            prog=verb.usage.split(" ")[0],
            allow_abbrev=False,
            add_help=False,
            argument_default=argparse.SUPPRESS,
        )
        # Python 3.11 takes -1e1 for the name of a flag.
        self._negative_number_matcher = re.compile(r"-\.?[0-9]")
        self.verb = verb
        self.add_argument("-h", "--help", nargs="?", action=Help)
        for name in verb.options:
            self.add_argument(f"--{name}", action="store_true")
        for name in FIELDS:
            if name != "game":
                _add_flag(self, name, verb)

    def error(self, message: str) -> typing.NoReturn:
        """Raise UserError."""
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
        options = {name: values.pop(name) for name in self.verb.options if name in values}
        return positional, options | {n: parse_value(n, text) for n, text in values.items()}


def help_parser(verb: Verb, *, everything: bool) -> argparse.ArgumentParser:
    """A parser for help texts only: of the flags that matter for a verb, or of all flags."""
    groups = verb.flags
    if everything or not groups:
        everything = True
        groups = {title: " ".join(n for n in FIELDS if group_of(n) == title) for title in GROUPS}
    listed = {title: [n for n in names.split() if n != "game"] for title, names in groups.items()}
    others = len(FIELDS) - 1 - sum(map(len, listed.values()))
    parser = argparse.ArgumentParser(
        usage=verb.usage,
        description=f"{verb.description}\n\nDefaults are in brackets.",
        epilog=None if everything else f"--help all also explains the other {others} flags.",
        add_help=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, text in verb.options.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    for title, names in listed.items():
        group = parser.add_argument_group(title)
        for name in names:
            _add_flag(group, name, verb)
    return parser


def _add_flag(group: Any, name: str, verb: Verb) -> None:
    field, kind = FIELDS[name], kind_of(name)
    default = verb.defaults.get(name, field.default)
    choices = field.metadata["choices"]
    shown = text_of(default)
    if verb.kept == "all" and name != "overwrite":
        shown = "the run's"
    elif name in verb.kept.split() and name not in verb.defaults:
        shown = "the agent's"
    elif name in verb.places:
        shown = verb.places[name]
    suffix = "" if default is None and name not in verb.places else f" [{shown}]"
    words = {bool: "true|false", Path: "FILE", int: "N", float: "NUMBER", str: "NAME"}
    word = "FOLDER" if "folder" in field.metadata["help"] and kind is Path else words[kind]
    # A bare --overwrite means --overwrite true.
    bare: Any = {"nargs": "?", "const": "true"} if kind is bool else {}
    group.add_argument(
        f"--{name}",
        metavar="|".join(choices) or word,
        help=(field.metadata["help"] + suffix).replace("%", "%%"),
        **bare,
    )


def text_of(value: Any) -> str:
    """A flag's value as it is written on a command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)
