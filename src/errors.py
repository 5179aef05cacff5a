"""The exceptions that end a run with one sentence, and exit codes that scripts can use."""

from __future__ import annotations

import contextlib
import reprlib
import traceback
from collections.abc import Iterator
from pathlib import Path

# Exit codes of every command.
DONE = 0
DIVERGED = 1  # training's numbers are not finite; the message says where to resume from
UNUSABLE_INPUT = 2  # a flag, a file or a machine that the command cannot work with
NOT_SAVED = 3  # not everything could be saved; the message names the missing files
PART_DIED = 4  # such as a process that played games; or memory ran out; it says how to resume
STOPPED = 130  # by Ctrl-C or a signal, as is usual in shells; it says how to resume

USERS_MODULE = "code_of_"  # begins the names of modules that are the user's
LONGEST_SENTENCE = 2000  # characters that are shown at once


class UserError(Exception):
    """A mistake that the user can correct: one sentence that says what is wrong and what to do.

    `main` prints it without a traceback and exits with UNUSABLE_INPUT.
    """


class Diverged(Exception):
    """Training has produced numbers that are not finite: one sentence.

    `main` prints it with where to resume from, and exits with DIVERGED.
    """


class NotSaved(Exception):
    """Something asked for could not be saved: one sentence.

    `main` prints it, with how to resume a run that ended early, and exits with NOT_SAVED.
    """


class PartDied(Exception):
    """A part of the program has died, such as a process that played games: one sentence.

    `main` prints it with how to resume, and exits with PART_DIED.
    """


def shown(value: object, limit: int = 60) -> str:
    """A value from outside, as it may stand in a sentence: one line, harmless, cut to `limit`."""
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
    """`text` without characters that control a terminal, and cut to LONGEST_SENTENCE."""
    text = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    return text if len(text) <= LONGEST_SENTENCE else f"{text[:LONGEST_SENTENCE]} ..."


@contextlib.contextmanager
def shown_traceback(name: str) -> Iterator[None]:
    """For calls of the user's code: an error in it prints its traceback and raises UserError."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(stopped(name, error)) from None


def users_code(error: BaseException) -> str:
    """The user's file from which an error came, or ""; user_code/load.py loads such files."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__")).startswith(USERS_MODULE):
            return frame.f_code.co_filename
    return ""


def stopped(name: str, error: BaseException) -> str:
    """Print the traceback of an error in the user's code `name`, and return a sentence on it."""
    where = error.__traceback__
    while where and _is_ours(where.tb_frame.f_code.co_filename):
        where = where.tb_next
    if where is None and not isinstance(error, SyntaxError):  # which says where it is itself
        where = error.__traceback__
    traceback.print_exception(type(error), error, where)
    return f"{name} stopped with the error above: fix it and try again."


def _is_ours(file: str) -> bool:
    return file.startswith("<frozen") or Path(file).is_relative_to(Path(__file__).parent)
