"""Writes a figure to a file, whole: a viewer never sees half of it."""

from __future__ import annotations

import errno
import io
from pathlib import Path

from matplotlib.figure import Figure

from atomic import write_atomically
from errors import NotSaved, UserError

KINDS = ("png", "pdf", "svg", "jpg", "jpeg", "webp", "tif", "tiff")


def save_figure(figure: Figure, path: Path, *, dpi: float) -> None:
    """Put the picture in place. Raises UserError if that cannot be done."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise UserError(f"{path} is no picture file: let its name end in .png, .pdf or .svg.")
    picture = io.BytesIO()
    figure.savefig(picture, dpi=dpi, format=kind)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, picture.getvalue())
    except OSError as error:
        problem = NotSaved if error.errno == errno.ENOSPC else UserError
        raise problem(f"{path} cannot be written: {error.strerror}.") from None
