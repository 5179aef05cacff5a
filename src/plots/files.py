"""Writes a figure to a file, whole: a viewer never sees half of it."""

from __future__ import annotations

import errno
import io
from pathlib import Path

from matplotlib.figure import Figure

from atomic import make_folder, write_atomically
from errors import NotSaved, UserError
from plots.layout import for_good

KINDS = ("png", "pdf", "svg", "jpg", "jpeg", "webp", "tif", "tiff")


def save_figure(figure: Figure, path: Path) -> None:
    """Put the picture in place. Raises UserError if that cannot be done."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise UserError(f"{path} is no picture file: let its name end in .png, .pdf or .svg.")
    picture = io.BytesIO()
    with for_good():
        figure.savefig(picture, dpi="figure", format=kind)
    try:
        make_folder(path.parent)
        write_atomically(path, picture.getvalue())
    except OSError as error:
        problem = NotSaved if error.errno == errno.ENOSPC else UserError
        raise problem(f"{path} cannot be written: {error.strerror}.") from None
