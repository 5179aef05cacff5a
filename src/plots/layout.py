"""The layout of a page, and a sentence if the page is too small for it."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

NOT_APPLIED = ".*layout not applied"  # begins matplotlib's warning, which advises programmers


def lay_out(figure: Figure) -> None:
    """Lay out a page that will be laid out again, so that a lack of room may be passing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=NOT_APPLIED)
        figure.draw_without_rendering()


@contextlib.contextmanager
def for_good() -> Iterator[None]:
    """For the last layout of a page: say so if not everything has room on it."""
    with warnings.catch_warnings(record=True) as found:
        warnings.filterwarnings("always", message=NOT_APPLIED)
        yield
    crowded = [each for each in found if "layout not applied" in str(each.message)]
    if crowded:
        logger.warning(
            "The picture is too small for all that is on it: make it larger, or draw fewer runs."
        )
    for each in found:
        if each not in crowded:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
