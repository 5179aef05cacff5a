"""The exceptions that end a run with a sentence."""

from __future__ import annotations

import contextlib
import reprlib
import traceback
from collections.abc import Iterator
from pathlib import Path

LONGEST_SENTENCE = 2000  # characters of what is shown at once


class UserError(Exception):
    """Something the user can put right: one sentence that says what is wrong and what to do.

    `main` prints it without a traceback and exits with code 2.
    """


class Diverged(Exception):
    """Training has come to numbers that are not finite: one sentence.

    `main` prints it with what to go on from, and exits with code 1.
    """


class PartDied(Exception):
    """A part of the program is gone, such as a process that played games: one sentence.

    `main` prints it with how to resume, and exits with code 4.
    """


def shown(value: object, limit: int = 60) -> str:
    """A value that came from outside, for a sentence: in a line, harmless, cut to `limit`."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"
    short = reprlib.Repr()
    short.maxstring = short.maxother = limit
    try:
        text = short.repr(value)
    except (ValueError, RecursionError):  # a number in it that is too long to be written
        text = f"a {type(value).__name__}"
    return text if len(text) <= 2 * limit else f"{text[: 2 * limit]}..."


def clean(text: str) -> str:
    """Without characters that move a terminal's cursor or change its colors, and not too long."""
    text = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    return text if len(text) <= LONGEST_SENTENCE else f"{text[:LONGEST_SENTENCE]} ..."


@contextlib.contextmanager
def shown_traceback(name: str) -> Iterator[None]:
    """An error in code that is not ours: its own traceback, then UserError."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        where = error.__traceback__
        while where and _is_ours(where.tb_frame.f_code.co_filename):
            where = where.tb_next
        if where is None and not isinstance(error, SyntaxError):  # which says where it is itself
            where = error.__traceback__
        traceback.print_exception(type(error), error, where)
        raise UserError(f"{name} stopped with the error above: mend it and try again.") from None


def _is_ours(file: str) -> bool:
    return file.startswith("<frozen") or Path(file).is_relative_to(Path(__file__).parent)
