"""The exceptions that end a run with a sentence."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right: one sentence that says what is wrong and what to do.

    `main` prints it without a traceback and exits with code 2.
    """


class Diverged(Exception):
    """Training has come to numbers that are not finite: one sentence.

    `main` prints it with what to go on from, and exits with code 1.
    """
