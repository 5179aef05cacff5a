"""Files of a run that could not be written: they are kept in memory and tried again."""

from __future__ import annotations

import logging
from pathlib import Path

from atomic import NotWritten, write_atomically

logger = logging.getLogger(__name__)

KEPT_BYTES = 256 << 20  # if a disk stays full for days, the oldest files are given up


class Owed:
    """The files that a run still has to write. A newer file with the same path replaces one."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.files: dict[Path, bytes] = {}
        self.lost: list[Path] = []

    def write(self, path: Path, data: bytes) -> None:
        """Write a file now or, if that fails, later."""
        try:
            write_atomically(path, data)
            self.files.pop(path, None)
        except NotWritten as error:
            self.keep(error)

    def keep(self, error: NotWritten) -> None:
        """Keep a file that could not be written; `settle` tries it again."""
        logger.error("Cannot write %s (%s): trying again later.", error.path, error.strerror)
        self.files.pop(error.path, None)
        self.files[error.path] = error.data
        while sum(map(len, self.files.values())) > KEPT_BYTES:
            path = next(iter(self.files))
            del self.files[path]
            self.lost.append(path)
            logger.error("There is too little memory to keep %s any longer: it is lost.", path)

    def settle(self) -> list[Path]:
        """Try all files again, and return those that still cannot be written."""
        for path, data in list(self.files.items()):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, data)
            except OSError:
                continue
            del self.files[path]
            logger.info("Wrote %s after all.", path)
        return [*self.lost, *self.files]
