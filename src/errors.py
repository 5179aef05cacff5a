"""The one exception that means: the user can mend this."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right: one sentence that says what is wrong and what to do.

    `main` prints it without a traceback and exits with code 2.
    """
