"""The exceptions that end a run with a sentence."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path


class UserError(Exception):
    """Something the user can put right: one sentence that says what is wrong and what to do.

    `main` prints it without a traceback and exits with code 2.
    """


class Diverged(Exception):
    """Training has come to numbers that are not finite: one sentence.

    `main` prints it with what to go on from, and exits with code 1.
    """


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
