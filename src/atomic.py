"""Writing a file so that, whatever fails, it is the old one or the new one, and whole."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` in place of the file `path` or, if that fails (OSError), leave all as it was."""
    path = Path(os.path.realpath(path))  # to where a link points, not in place of the link
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:  # Ctrl-C too
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # or a power cut could take the new name back
    finally:
        os.close(folder)
