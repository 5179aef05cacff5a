"""Runs on a node: starts one process of a run and waits for its end.

Ray sends this file itself to its workers, so that a node without the shared folder can report that.
It imports only Python's standard library.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import json
import os
import socket
import stat
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOOK_SECONDS = 0.2  # between checks of the process
STOP_SECONDS = 120.0  # for its last checkpoint
LOCK_SECONDS = 300.0  # a file server releases the lock of a dead node after about 90
MARK = "sweep: "  # begins the lines that are not the run's own

# The process ends in order (SIGTERM) when the one that started it is gone, for any reason.
TETHERED = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 15)  # PR_SET_PDEATHSIG, SIGTERM
if os.getppid() != int(sys.argv[1]):
    sys.exit(130)
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A command to run on any node, again if it was killed, until it is done."""

    name: str
    begin: tuple[str, ...]  # the words after main.py
    again: tuple[str, ...]  # those that continue from a checkpoint, or else from a snapshot
    checkpoints: str  # the folder that has one then; "" where there are none
    snapshots: str  # what precedes _<epoch>.pkl in their paths; "" where there are none
    log: str
    program: tuple[str, ...]  # python main.py
    cwd: str
    gpus: float


def progress(job: Job) -> tuple[int, int]:
    """The number of a run's newest checkpoint and the epoch of its last snapshot, 0 without one."""
    manifests = Path(job.checkpoints).glob("*.json") if job.checkpoints else ()
    prefix = Path(job.snapshots)
    snapshots = prefix.parent.glob(f"{glob.escape(prefix.name)}_*.pkl") if job.snapshots else ()
    epochs = (path.stem.removeprefix(f"{prefix.name}_") for path in snapshots)
    return _largest(path.stem for path in manifests), _largest(epochs)


def _largest(words: Iterable[str]) -> int:
    return max((int(word) for word in words if word.isdecimal()), default=0)


def work(job: Job) -> int:
    """Start or resume the run, wait for its end, and return its exit code.

    KeyboardInterrupt, with which Ray cancels tasks, ends it in order.
    """
    with open_log(Path(job.log)) as log:
        _wait_for_lock(job, log)
        # NB! `begin` replaces all that an earlier process has saved, and a disk that is too full
        # for checkpoints may have had room for snapshots.
        words = job.again if any(progress(job)) else job.begin
        command = [*job.program, *words]
        process = subprocess.Popen(
            [job.program[0], "-P", "-c", TETHERED, str(os.getpid()), *command],
            cwd=job.cwd,
            env=_environment(job),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        begun = {"words": words, "node": socket.gethostname(), "process": process.pid}
        _say(log, begun | {"begun": time.time()})
        try:
            while process.poll() is None:
                time.sleep(LOOK_SECONDS)
        except KeyboardInterrupt:
            _stop(process)
        _say(log, {"ended": time.time(), "code": process.returncode})
        return process.returncode


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        process.kill()
        process.wait()


def _environment(job: Job) -> dict[str, str]:
    """The environment of a run without Ray: what Ray adds for its workers is removed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    kept.pop("OMP_NUM_THREADS", None)
    if not job.gpus:
        kept["CUDA_VISIBLE_DEVICES"] = ""
    return kept


def _wait_for_lock(job: Job, log: int) -> None:
    """Wait until another process of the same run has ended, here or on a node that has died."""
    path = Path(f"{job.checkpoints}.lock")
    end, told = time.monotonic() + LOCK_SECONDS, False
    while job.checkpoints and time.monotonic() < end and is_locked(path):
        if not told:
            _say(log, {"waits": "for an earlier process of this run to end"})
            told = True
        time.sleep(LOOK_SECONDS)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock at `path`."""
    try:
        with path.open("rb+") as file:  # NFS locks only what is open for writing
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


@contextlib.contextmanager
def open_log(path: Path) -> Iterator[int]:
    """The descriptor of a log to append to. Raises OSError if it is no regular file.

    Links are not followed: who hands on a folder could have one in it to a file of yours.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    log = os.open(path, flags, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(log).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        yield log
    finally:
        with contextlib.suppress(OSError):  # some file servers say only now that the disk is full
            os.close(log)


def _say(log: int, what: Mapping[str, Any]) -> None:
    with contextlib.suppress(OSError):  # a full disk is no reason to leave the process unattended
        os.write(log, f"{MARK}{json.dumps(what)}\n".encode())


def look_around(probe: str, command: tuple[str, ...], cwd: str) -> dict[str, str]:
    """What a node sees: the text in the file `probe`, and what `command` prints."""
    seen = {"host": socket.gethostname(), "probe": "", "answer": ""}
    try:
        seen["probe"] = Path(probe).read_text()
        found = subprocess.run(command, cwd=cwd, capture_output=True, timeout=300, check=False)
        seen["answer"] = found.stdout.decode(errors="replace").strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        seen["answer"] = str(error)
    return seen
