"""Files read whole and written whole, and never another thing than a file.

A file that is written is, whatever fails, the old one or the new one. Links are not followed: who
hands on a folder could have one in it that points at a file of yours. Pipes and devices, which may
never end, are neither read nor replaced.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

LINK = "it is a symbolic link: remove it, or name the file it points to"
NO_FILE = "it is no regular file"
TOO_LARGE = "it is too large"


class NotWritten(OSError):
    """A file could not be written; what it would have held is kept for another attempt."""

    def __init__(self, error: OSError, path: Path, data: bytes) -> None:
        """`error` says why."""
        super().__init__(error.errno, error.strerror, str(path))
        self.path = path
        self.data = data


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[io.BufferedReader]:
    """A regular file to read. Raises OSError, with a reason that can be shown, for any other."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, NO_FILE, str(path))
        yield file


def read_whole(path: Path, limit: int) -> bytes:
    """A regular file of at most `limit` bytes. Raises OSError, with a reason that can be shown."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise OSError(errno.EFBIG, f"{TOO_LARGE}, above {_megabytes(limit)}", str(path))
        data = file.read(limit + 1)  # one that grows
    if len(data) > limit:
        raise OSError(errno.EFBIG, TOO_LARGE, str(path))
    return data


def check_replaceable(path: Path) -> None:
    """Raise OSError unless `path` is a regular file or nothing."""
    with contextlib.suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise OSError(errno.ELOOP, LINK, str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, NO_FILE, str(path))


def make_folder(folder: Path) -> None:
    """Make `folder` and its parents if they do not exist. Raises OSError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder) from None


def put_beside(temporary: Path, path: Path) -> None:
    """Give a file the name `path`, which must be free or of an empty file. Raises OSError."""
    try:
        os.link(temporary, path)
    except OSError as error:
        # EEXIST, or a file system without links, where a moment remains between look and renaming.
        if path.exists() and path.stat().st_size:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        temporary.replace(path)
    else:
        temporary.unlink()


def write_atomically(
    path: Path, data: bytes, put: Callable[[Path, Path], object] = Path.replace
) -> None:
    """Put `data` in place of the file `path`. If that fails (NotWritten) all is as it was.

    `put` gives the complete file its name; `put_beside` does so only if no other file has it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        check_replaceable(path)
        try:
            write_new(temporary, [data])
            put(temporary, path)
        except BaseException:  # Ctrl-C too
            temporary.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # or a power cut could take the new name back
        finally:
            os.close(folder)
    except OSError as error:
        raise NotWritten(error, path, data) from error


def csv_bytes(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """The content of a CSV file with these rows."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode(errors="backslashreplace")


def write_new(path: Path, content: Iterable[bytes | memoryview]) -> None:
    """Write a file that was not there, or in place of what was, and wait until it is on the disk.

    Raises OSError.
    """
    with contextlib.suppress(FileNotFoundError):
        path.unlink()  # a link, not what it points to
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o666), "wb") as file:
        for part in content:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written to; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _megabytes(size: int) -> str:
    return f"{size >> 20} MB" if size >> 20 else f"{size} bytes"


def free_name(path: Path) -> Path:
    """`path`, or a name like it that nothing has yet."""
    while path.exists():
        path = path.with_name(f"{path.name}_")
    return path
