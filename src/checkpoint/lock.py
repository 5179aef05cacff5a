"""The locks that prevent two processes from training the same run, or writing the same files."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from atomic import NO_FILE
from commands.verbs import Task
from errors import UserError
from paths import refuse_links


@contextlib.contextmanager
def run_locked(task: Task) -> Iterator[None]:
    """Prevent other processes from writing the files of the run `task`.

    Raises UserError if another process writes them.
    """
    with contextlib.ExitStack() as stack:
        for flag in ("checkpoint_path", "csv_file", "save_weights_prefix"):
            path: Path | None = getattr(task.config, flag)
            if path and flag == "checkpoint_path":
                stack.enter_context(locked(path))
            elif path:
                stack.enter_context(file_locked(path))  # another run may be told to write there
        yield


@contextlib.contextmanager
def file_locked(file: Path) -> Iterator[None]:
    """Prevent other processes from writing `file`, like `locked`; makes its folder."""
    path = file.with_name(f".{file.name}.lock")
    try:
        refuse_links(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _take(path, file)
    except FileExistsError:  # in place of the folder
        raise UserError(f"Cannot write {file}: {path.parent} is no folder.") from None
    except OSError as error:
        raise UserError(f"Cannot lock {path}: {error.strerror}.") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(lock)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Prevent other processes from training a run that has its checkpoints in `folder`.

    The system releases the lock whenever and however the process ends. A run that ends without
    checkpoints leaves neither folder nor lock. Raises UserError if another process holds the lock.
    """
    path = folder.with_name(f"{folder.name}.lock")
    is_first = not path.parent.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _take(path, folder)
    except OSError as error:
        raise UserError(f"Cannot lock {path}: {error.strerror}.") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()  # only if it is empty
        if not folder.is_dir():
            path.unlink(missing_ok=True)
        if is_first:
            with contextlib.suppress(OSError):
                path.parent.rmdir()
        os.close(lock)


def _take(path: Path, of: Path) -> int:
    """The lock file `path` of the file or folder `of`, open and locked."""
    while True:
        # NB! Never through a link: the process number would overwrite what it points to.
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(lock).st_mode):
                raise OSError(errno.EINVAL, NO_FILE)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock), path.stat()):
                    break
        except BlockingIOError:
            owner = os.read(lock, 20).decode("ascii", errors="replace")
            os.close(lock)
            raise UserError(
                f"{of.name} is in use already, by process "
                f"{owner if owner.isdecimal() else 'unknown'}: wait until it ends, or give "
                "another label or file."
            ) from None
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)  # another process has removed that file since: this is no lock any more
    with contextlib.suppress(OSError):  # a full disk: the number is only for people
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
    return lock
