"""A run's checkpoints on disk: what makes one valid, and the lock that keeps a run to one process.

A folder holds, by number, the last two checkpoints of one run:
    000012.json     the manifest: all that is not an array, and size and SHA-256 of the other files
    000012.npz      arrays: networks, optimizer, actions, rewards ..., the index of the screens
    000012.screens  segments of compressed screens (screen_store.py) that were new at that time
A manifest is renamed into place last and makes its checkpoint valid. Files of screens are written
once and used by later checkpoints too, until none needs them. Nothing in here can run code.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import mmap
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomic import write_atomically
from errors import UserError

FORMAT = 1
NAME = re.compile(r"\.?(\d{6,})\.(json|npz|screens)(\.\d+\.tmp)?")


@dataclass(frozen=True)
class Checkpoint:
    """A valid checkpoint."""

    folder: Path
    number: int
    state: dict[str, Any]  # all that is not an array
    files: dict[str, dict[str, Any]]  # size and SHA-256 of its files, by name

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Its arrays by name. Raises ValueError or OSError if they cannot be read."""
        path = self.folder / file_name(self.number, "npz")
        try:
            with zipfile.ZipFile(path) as parts:  # stored as they are, so never larger than this
                if any(part.compress_type != zipfile.ZIP_STORED for part in parts.infolist()):
                    raise ValueError("its arrays are packed in an unknown way")
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        except (zipfile.BadZipFile, EOFError, KeyError, MemoryError) as error:
            raise ValueError("its arrays cannot be read") from error

    def screens(self, number: int) -> mmap.mmap:
        """A file of screens, which may be that of an earlier checkpoint."""
        name = file_name(number, "screens")
        if name not in self.files:
            raise ValueError(f"{name} is not part of it")
        with (self.folder / name).open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def file_name(number: int, kind: str) -> str:
    """The name of a checkpoint's `json`, `npz` or `screens` file."""
    return f"{number:06}.{kind}"


def numbers(folder: Path) -> list[int]:
    """The checkpoints there are in `folder`, valid or not, the newest first."""
    found = (re.fullmatch(r"(\d{6,})\.json", path.name) for path in folder.glob("*.json"))
    return sorted((int(match[1]) for match in found if match), reverse=True)


def newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest valid checkpoint in `folder`, and what is wrong with those after it."""
    problems: list[str] = []
    for number in numbers(folder):
        try:
            return read_checkpoint(folder, number), problems
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            problems.append(f"Checkpoint {folder / file_name(number, 'json')}: {reason}.")
    return None, problems


def read_checkpoint(folder: Path, number: int) -> Checkpoint:
    """A checkpoint, all of its files checked. Raises ValueError or OSError if it is not valid."""
    try:
        manifest = json.loads((folder / file_name(number, "json")).read_bytes())
        body, digest = manifest["checkpoint"], manifest["sha256"]
        if digest != hashlib.sha256(_json(body)).hexdigest():
            raise ValueError("it is damaged")
        if body["format"] != FORMAT:
            raise ValueError(f"it has format {body['format']}, this version reads {FORMAT}")
        files = dict(body["files"])
        wanted = {name: (int(file["bytes"]), str(file["sha256"])) for name, file in files.items()}
        checkpoint = Checkpoint(folder, number, dict(body["state"]), files)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("it is not a checkpoint") from error
    except ValueError as error:
        damaged = isinstance(error, json.JSONDecodeError | UnicodeDecodeError)
        raise ValueError("it is damaged" if damaged else str(error)) from error
    for name, (size, digest) in wanted.items():
        if not NAME.fullmatch(name):
            raise ValueError("it is not a checkpoint")
        with (folder / name).open("rb") as file:
            if os.fstat(file.fileno()).st_size != size:
                raise ValueError(f"its file {name} has the wrong size")
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise ValueError(f"its file {name} is damaged")
    return checkpoint


def write_checkpoint(
    folder: Path,
    number: int,
    *,
    state: dict[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    screens: Iterable[bytes],
    earlier: dict[str, dict[str, Any]],
) -> Checkpoint:
    """Write a checkpoint. `earlier`: the files of screens before it that it needs as well.

    `arrays` may be completed while `screens` are drawn. Raises OSError if it cannot be written;
    then nothing of it is left.
    """
    files = dict(earlier)
    try:
        name = file_name(number, "screens")
        files[name] = _write(folder / name, screens)
        if not files[name]["bytes"]:
            (folder / name).unlink()
            del files[name]
        packed = io.BytesIO()
        np.savez(packed, allow_pickle=False, **arrays)
        name = file_name(number, "npz")
        files[name] = _write(folder / name, [packed.getbuffer()])
        body = {"format": FORMAT, "state": state, "files": files}
        manifest = {"sha256": hashlib.sha256(_json(body)).hexdigest(), "checkpoint": body}
        write_atomically(folder / file_name(number, "json"), _json(manifest))
    except BaseException:  # Ctrl-C too
        for kind in ("npz", "screens"):
            (folder / file_name(number, kind)).unlink(missing_ok=True)
        raise
    return Checkpoint(folder, number, state, files)


def remove_all_but(folder: Path, kept: Iterable[Checkpoint]) -> None:
    """Remove the files of all checkpoints in `folder` but those that the `kept` ones need."""
    needed = {file_name(each.number, "json") for each in kept}
    needed |= {name for each in kept for name in each.files}
    with contextlib.suppress(OSError):  # they do no harm, and the next time may do better
        for path in sorted(folder.iterdir()):  # manifests first
            if NAME.fullmatch(path.name) and path.name not in needed:
                path.unlink()


@contextlib.contextmanager
def locked(folder: Path | None) -> Iterator[None]:
    """Keep other processes from training a run that has its checkpoints in `folder`.

    The system frees the lock when the process ends, however it ends. Raises UserError if another
    process holds it.
    """
    if folder is None:
        yield
        return
    path = folder.with_name(f"{folder.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UserError(f"Cannot write into {path.parent}: {error.strerror}.") from error
    try:
        _take(lock, folder)
        yield
    finally:
        os.close(lock)


def _take(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(lock, 20).decode(errors="replace") or "unknown"
        raise UserError(
            f"{folder.name} is being trained already, by process {owner}: wait for its end, or "
            "give this run a label of its own."
        ) from None
    except OSError as error:
        raise UserError(
            f"Cannot lock {folder} ({error.strerror}): give a --checkpoint_path elsewhere."
        ) from error
    with contextlib.suppress(OSError):  # a full disk: the number is only for people
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _write(path: Path, content: Iterable[bytes | memoryview]) -> dict[str, Any]:
    """Write a file and wait until it is on the disk; its size and SHA-256."""
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for part in content:
            file.write(part)
            digest.update(part)
            size += len(part)
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": size, "sha256": digest.hexdigest()}
