"""Files of a run that could not be written so far: kept in memory, and tried again."""

from __future__ import annotations

import logging
from pathlib import Path

from atomic import NotWritten, write_atomically

logger = logging.getLogger(__name__)

KEPT_BYTES = 256 << 20  # a disk may stay full for days: the oldest files are given up then


class Owed:
    """What a run still has to write. A file that is written later in the same place replaces it."""

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
        """A file could not be written: it is tried again when `settle` is called."""
        logger.error("Cannot write %s (%s): it is tried again later.", error.path, error.strerror)
        self.files.pop(error.path, None)
        self.files[error.path] = error.data
        while sum(map(len, self.files.values())) > KEPT_BYTES:
            path = next(iter(self.files))
            del self.files[path]
            self.lost.append(path)
            logger.error("There is no room in memory to keep %s any longer: it is lost.", path)

    def settle(self) -> list[Path]:
        """Try everything again; the files that are not on the disk all the same."""
        for path, data in list(self.files.items()):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, data)
            except OSError:
                continue
            del self.files[path]
            logger.info("Wrote %s after all.", path)
        return [*self.lost, *self.files]
