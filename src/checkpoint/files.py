"""The files of a run's checkpoints, and what makes a checkpoint valid.

A folder contains, by number, the last two checkpoints of one run:
    000012.json     the manifest: all that is not an array, and size and SHA-256 of the other files
    000012.npz      arrays: networks, optimizer, actions, rewards ..., the index of the screens
    000012.screens  segments of compressed screens (replay/compressed.py) that were new at that time
The manifest is renamed into place last, which makes its checkpoint valid. Files of screens are
written once; later checkpoints use them too, until none needs them.

A checkpoint may come from anybody. Its hashes prove that it is complete, not that it is harmless,
so everything in it is checked (checkpoint/manifest.py). Its signature proves that this clone wrote
it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import math
import os
import re
import stat
import struct
import tokenize
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomic import open_regular, read_whole, write_atomically, write_new
from checkpoint.manifest import check_state
from errors import UserError, shown
from schema import COUNT, Value, record
from user_code.trust import is_ours, sign

FORMAT = 2
NAME = re.compile(r"\.?([0-9]{6})\.(json|npz|screens)(\.[0-9]+\.tmp)?")
LARGEST = 500_000  # number of another clone's checkpoint, so that six digits suffice for ours
MANIFEST_BYTES = 1 << 24  # with MAX_FILES files 1.2 MB
ARRAY_BYTES = 1 << 30
MAX_ARRAYS = 20_000  # a run of 1,024 games has about 10,000
ENTRY_BYTES = 200  # of an array in the file's directory, at most
MAX_FILES = 10_000  # of a checkpoint
TOO_LARGE = "it would be too large to be read again"
MAX_HEADER = 1000  # characters of an array's description; ours have 118
_UNREADABLE = (
    zipfile.BadZipFile,
    EOFError,
    KeyError,
    MemoryError,
    RuntimeError,
    struct.error,
    tokenize.TokenError,
)
FILE = {"bytes": COUNT, "sha256": Value(kind=str, longest=64)}


@dataclass(frozen=True)
class Checkpoint:
    """A valid checkpoint."""

    folder: Path
    number: int
    state: dict[str, Any]  # all that is not an array
    files: dict[str, dict[str, Any]]  # size and SHA-256 of its files, by name
    ours: bool = True  # whether this clone has written it

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Its arrays by name. Raises ValueError or OSError if they cannot be read."""
        path = self.folder / checkpoint_file(self.number, "npz")
        try:
            with open_regular(path) as file:
                size = os.fstat(file.fileno()).st_size
                _check_directory(file, size)
                with zipfile.ZipFile(file) as parts:
                    _check_arrays(parts, size)
            with np.load(path, allow_pickle=False, max_header_size=MAX_HEADER) as arrays:
                return dict(arrays)
        except _UNREADABLE as error:
            raise ValueError("its arrays cannot be read") from error

    def segment(self, number: int, offset: int, length: int) -> bytes:
        """A part of a file of screens, which may be that of an earlier checkpoint.

        Raises ValueError or OSError if there is no such part.
        """
        name = checkpoint_file(number, "screens")
        if name not in self.files:
            raise ValueError(f"{name} is not part of it")
        if offset + length > self.files[name]["bytes"]:
            raise ValueError(f"{name} ends before its screens do")
        # NB! One file at a time: a long run has more of them than a process may have open.
        with open_regular(self.folder / name) as file:
            file.seek(offset)
            return file.read(length)

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of its files `names` that are gone or have another size."""
        found = []
        for name in names:
            try:
                status = (self.folder / name).lstat()
            except OSError:
                found.append(name)
                continue
            if not stat.S_ISREG(status.st_mode) or status.st_size != self.files[name]["bytes"]:
                found.append(name)
        return found


def checkpoint_file(number: int, kind: str) -> str:
    """The name of a checkpoint's `json`, `npz` or `screens` file."""
    return f"{number:06}.{kind}"


def checkpoint_numbers(folder: Path) -> list[int]:
    """The numbers of all checkpoints in `folder`, valid or not, newest first."""
    found = (re.fullmatch(r"([0-9]{6})\.json", path.name) for path in folder.glob("*.json"))
    return sorted((int(match[1]) for match in found if match), reverse=True)


def next_number(folder: Path, last: int) -> int:
    """A number above `last` and those in `folder`, unless somebody put very large ones there."""
    return max([last, *(n for n in checkpoint_numbers(folder) if n <= LARGEST)]) + 1


def checkpoint_files(folder: Path) -> list[Path]:
    """All files of checkpoints in `folder`, manifests first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest valid checkpoint in `folder`, and what is wrong with newer ones."""
    problems: list[str] = []
    for number in checkpoint_numbers(folder):
        try:
            return read_checkpoint(folder, number), problems
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            problems.append(f"Checkpoint {folder / checkpoint_file(number, 'json')}: {reason}.")
    return None, problems


def read_checkpoint(folder: Path, number: int) -> Checkpoint:
    """Read a checkpoint and check its files. Raises ValueError or OSError if it is not valid."""
    try:
        manifest = json.loads(read_whole(folder / checkpoint_file(number, "json"), MANIFEST_BYTES))
        body, digest = manifest["checkpoint"], manifest["sha256"]
        if digest != hashlib.sha256(_json(body)).hexdigest():
            raise ValueError("it is damaged")
        if body["format"] != FORMAT:
            made = shown(body["format"])
            raise ValueError(f"it has format {made}, this version reads {FORMAT}")
        files = _check_files(body["files"])
        ours = is_ours(digest, manifest.get("signature"))
        if number > LARGEST and not ours:
            raise ValueError("its number is too large")
        checkpoint = Checkpoint(folder, number, check_state(body["state"]), files, ours)
    except UserError as error:
        raise ValueError(str(error).rstrip(".")) from error
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("it is not a checkpoint") from error
    except ValueError as error:
        damaged = isinstance(error, json.JSONDecodeError | UnicodeDecodeError)
        raise ValueError("it is damaged" if damaged else str(error)) from error
    for name, wanted in files.items():
        with open_regular(folder / name) as file:
            if os.fstat(file.fileno()).st_size != wanted["bytes"]:
                raise ValueError(f"its file {name} has the wrong size")
            if hashlib.file_digest(file, "sha256").hexdigest() != wanted["sha256"]:
                raise ValueError(f"its file {name} is damaged")
    return checkpoint


def _check_files(files: Any) -> dict[str, dict[str, Any]]:
    """The files of a manifest. Raises ValueError or UserError."""
    if not isinstance(files, dict) or len(files) > MAX_FILES:
        raise ValueError("it is not a checkpoint")
    if not all(len(name) < 100 and NAME.fullmatch(name) for name in files):
        raise ValueError("it is not a checkpoint")
    return {name: record("its file", file, FILE) for name, file in files.items()}


def _check_directory(file: io.BufferedReader, size: int) -> None:
    """Raise ValueError if the directory of a .npz file would take much memory to read."""
    file.seek(max(size - 42, 0))
    end = file.read(42)  # the end record, and before it that of a large file, if it were one
    length = int.from_bytes(end[-10:-6], "little")
    if size > ARRAY_BYTES or length > MAX_ARRAYS * ENTRY_BYTES:
        raise ValueError("its arrays are too large")
    if end[-22:-18] != b"PK\5\6" or end[:4] == b"PK\6\7":
        raise ValueError("its arrays cannot be read")


def _check_arrays(parts: zipfile.ZipFile, size: int) -> None:
    """Raise ValueError unless the arrays are plain numbers and no larger than the file."""
    members = parts.infolist()
    if len(members) > MAX_ARRAYS:
        raise ValueError("its arrays are too large")
    if any(part.compress_type != zipfile.ZIP_STORED for part in members):
        raise ValueError("its arrays are packed in an unknown way")
    if sum(part.file_size for part in members) > size:
        raise ValueError("its arrays are more than its file")
    for part in members:
        with parts.open(part) as file:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("its arrays cannot be read")
            shape, _, dtype = np.lib.format.read_array_header_1_0(file, MAX_HEADER)
        if dtype.hasobject or dtype.kind not in "biuf":
            raise ValueError("its arrays are not of numbers")
        if math.prod(shape) * dtype.itemsize > part.file_size:
            raise ValueError("its arrays are more than its file")


def write_checkpoint(
    folder: Path,
    number: int,
    *,
    state: dict[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    screens: Iterable[bytes],
    earlier: dict[str, dict[str, Any]],
) -> Checkpoint:
    """Write a checkpoint. `earlier` are the files of earlier screens that it needs as well.

    `arrays` may be completed while `screens` are iterated over. Raises OSError if it cannot be
    written; then no part of it is left.
    """
    files = dict(earlier)
    try:
        name = checkpoint_file(number, "screens")
        files[name] = _write(folder / name, screens)
        if not files[name]["bytes"]:
            (folder / name).unlink()
            del files[name]
        packed = io.BytesIO()
        np.savez(packed, allow_pickle=False, **arrays)
        _refuse_large(packed.getbuffer().nbytes, ARRAY_BYTES)
        name = checkpoint_file(number, "npz")
        files[name] = _write(folder / name, [packed.getbuffer()])
        body = {"format": FORMAT, "state": state, "files": files}
        digest = hashlib.sha256(_json(body)).hexdigest()
        manifest = {"sha256": digest, "signature": sign(digest), "checkpoint": body}
        data = _json(manifest)
        _refuse_large(len(data), MANIFEST_BYTES)
        write_atomically(folder / checkpoint_file(number, "json"), data)
    except BaseException:  # Ctrl-C too
        if not (folder / checkpoint_file(number, "json")).exists():  # otherwise it is complete
            for kind in ("npz", "screens"):
                (folder / checkpoint_file(number, kind)).unlink(missing_ok=True)
        raise
    return Checkpoint(folder, number, state, files)


def _refuse_large(size: int, most: int) -> None:
    if size > most:
        raise OSError(errno.EFBIG, TOO_LARGE)


def remove_all_but(folder: Path, kept: Iterable[Checkpoint]) -> None:
    """Remove the files of checkpoints in `folder`, except those that the `kept` ones need."""
    needed = {checkpoint_file(each.number, "json") for each in kept}
    needed |= {name for each in kept for name in each.files}
    with contextlib.suppress(OSError):  # they do no harm, and the next attempt may succeed
        for path in checkpoint_files(folder):
            if path.name not in needed:
                path.unlink()


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _write(path: Path, content: Iterable[bytes | memoryview]) -> dict[str, Any]:
    """Write a file, wait until it is on the disk, and return its size and SHA-256."""
    digest, size = hashlib.sha256(), 0

    def counted() -> Iterator[bytes | memoryview]:
        nonlocal size
        for part in content:
            digest.update(part)
            size += len(part)
            yield part

    write_new(path, counted())
    return {"bytes": size, "sha256": digest.hexdigest()}
