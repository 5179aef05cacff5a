"""Trust: code that a snapshot, checkpoint or preset names runs only if the user has agreed to it.

Such a file may say which class of which other file it was trained with. That other file is
executed only if the command line names it, or if the user agrees at a terminal, once for each class
and content of a file. The folder .trusted/ of the clone keeps these agreements, and a key that
signs the clone's own checkpoints. Whoever can write there can also change the program itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import shlex
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from atomic import read_whole, write_atomically
from config import CODE, ROOT
from errors import UserError, shown
from schema import is_plain

logger = logging.getLogger(__name__)

CODE_BYTES = 1 << 24  # the largest file of code
FOLDER = ROOT / ".trusted"
STORE = "agreed.json"  # the hashes of what was agreed to
KEY = "key"
LOCK = "lock"


def trusted_code(path: Path, flag: str, value: str) -> str:
    """The `value` of --`flag` in the snapshot, checkpoint or preset `path`, as a full path.

    Raises UserError if it names code that the user has not agreed to.
    """
    if value in CODE[flag]:
        return value
    file, _, name = value.rpartition(":")
    if not file.endswith(".py") or not name.isidentifier() or not is_plain(value):
        raise UserError(f"{path} has --{flag} {shown(value)}, which is not valid.")
    source = (ROOT / file).resolve()  # or `file` itself if it is a full path
    found = f"{source}:{name}"
    try:
        digest = _digest(source, name)
    except OSError as error:
        raise UserError(
            f"{path} has --{flag} {value}, which cannot be read ({error.strerror}): "
            f"give its place with --{flag} FILE.py:{name}"
        ) from None
    if digest in _agreed():
        return found
    if not agrees(f"{path} asks to run the class {name} of the file {source}. Run it?"):
        raise UserError(
            f"{path} names code in a file, which runs only if you agree: if you trust "
            f"it, add --{flag} {shlex.quote(found)}"
        )
    remember_code(found)
    return found


def is_moved(old: str, new: str) -> bool:
    """Whether `new` names the class that `old` named, in the same file or where it is now."""
    (old_file, _, old_name), (new_file, _, new_name) = old.rpartition(":"), new.rpartition(":")
    if not old_file or not new_file or old_name != new_name:
        return False
    try:
        return _digest(ROOT / old_file, old_name) == _digest(ROOT / new_file, new_name)
    except FileNotFoundError:  # it has left its old place
        return (ROOT / new_file).is_file()
    except OSError:
        return False


def remember_code(value: str) -> None:
    """Remember that the user named `value` on the command line or agreed to it."""
    file, colon, name = value.rpartition(":")
    if not colon:
        return
    try:
        digest = _digest(ROOT / file, name)
        with _alone():
            _write(STORE, json.dumps(sorted(_agreed() | {digest})).encode())
    except OSError:
        return  # then the user is asked again


def agrees(question: str) -> bool:
    """Ask the user, if there is a terminal; whether the answer is yes."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def sign(digest: str) -> str:
    """The clone's signature of a checkpoint's hash; "" if it cannot store a key."""
    key = _key()
    return hmac.new(key, digest.encode(), hashlib.sha256).hexdigest() if key else ""


def is_ours(digest: str, signature: object) -> bool:
    """Whether this clone has signed a checkpoint with that hash."""
    return (
        isinstance(signature, str)
        and signature.isascii()
        and bool(signature)
        and (hmac.compare_digest(sign(digest), signature))
    )


def is_harmless(game: Any, environment: str) -> bool:
    """Whether `game` can be a game of --environment gym or of a class of one's own.

    For the class it is only a word. In Gymnasium it may name a package, which is imported.
    """
    if not isinstance(game, str) or not game or len(game) > 200 or not is_plain(game):
        return False
    return environment != "gym" or bool(re.fullmatch(r"([\w.]+:)?[\w./-]*\w", game, re.ASCII))


def trusted_game(path: Path, game: Any, environment: str) -> str:
    """The `game` of snapshot `path` if it is a harmless name in `environment`. Raises UserError."""
    if not is_harmless(game, environment):
        raise UserError(f"{path} plays {shown(game)}, which is not the name of an environment.")
    package, colon, _ = game.partition(":") if environment == "gym" else ("", "", "")
    if colon and not any(_needs_gymnasium(name) for name in _distributions(package)):
        raise UserError(
            f"{path} plays {game}, but no package {package} for Gymnasium is installed: install it."
        )
    return str(game)


def _key() -> bytes:
    try:
        return read_whole(FOLDER / KEY, 64)
    except FileNotFoundError:
        pass
    except OSError as error:
        _warn(f"{FOLDER / KEY} cannot be read ({error.strerror})")
        return b""
    try:
        with _alone():
            if not (FOLDER / KEY).exists():  # another process may have been faster
                _write(KEY, secrets.token_hex(32).encode())
            return read_whole(FOLDER / KEY, 64)
    except OSError as error:
        _warn(f"{FOLDER / KEY} cannot be written ({error.strerror})")
        return b""


@functools.cache  # once
def _warn(reason: str) -> None:
    logger.warning(
        "%s, so checkpoints are not signed: a resumed run will begin new games. Make room, or make "
        "the folder writable.",
        reason,
    )


def _agreed() -> set[str]:
    try:
        found = json.loads(read_whole(FOLDER / STORE, 1 << 20))
    except (OSError, ValueError, RecursionError):
        return set()
    return {each for each in found if isinstance(each, str)} if isinstance(found, list) else set()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other process changes the folder, and let none do so. Raises OSError."""
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(FOLDER / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write(name: str, data: bytes) -> None:
    write_atomically(FOLDER / name, data)


def _digest(file: Path, name: str) -> str:
    """A hash of a file's path, its content and the name of a class in it."""
    content = hashlib.sha256(read_whole(file, CODE_BYTES)).hexdigest()
    return hashlib.sha256(f"{file.resolve()}\n{name}\n{content}".encode()).hexdigest()


def _distributions(package: str) -> list[str]:
    return list(metadata.packages_distributions().get(package.partition(".")[0], ()))


def _needs_gymnasium(distribution: str) -> bool:
    return any(re.match(r"gymnasium\b", need) for need in metadata.requires(distribution) or ())
