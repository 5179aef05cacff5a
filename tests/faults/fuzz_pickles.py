"""Gives the snapshot reader thousands of hostile files and prints what became of them:

    python tests/faults/fuzz_pickles.py --cases 10000

Another process reads each file, with 1 GB of memory and 10 seconds for it, and notices every
import, execution and opening of any other file. Exit code 1 if a file did more than being read as
plain data or being refused in one sentence.
"""

from __future__ import annotations

import argparse
import codecs
import itertools
import os
import re
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from errors import UserError  # noqa: E402
from snapshot.format import read_snapshot  # noqa: E402
from snapshot.safe_pickle import MAX_BYTES  # noqa: E402
from tests.faults.hostile_pickles import bombs, commands, mutations  # noqa: E402

MEMORY = 1 << 30  # bytes of address space
SECONDS = 10
SIZE = MAX_BYTES - (6 << 20)  # bytes of the largest files: just below what is refused unseen
FILES = [
    *sorted((ROOT / "tests/pickles").glob("*.pkl")),
    ROOT / "tests/golden/rmsprop_start.pkl",
]
NOTICED = (
    "import",
    "exec",
    "compile",
    "open",
    "os.",
    "subprocess.",
    "pickle.",
    "socket.",
    "ctypes.",
)


@dataclass
class Report:
    """What became of the files: how many were tried, refused, read; what went wrong, by case."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")  # seconds
    largest: int = 0  # bytes of memory

    def __str__(self) -> str:
        seconds, name = self.slowest
        lines = [
            f"tried     {self.outcomes.total()}",
            f"refused   {self.outcomes['refused']}",
            f"read      {self.outcomes['read']} (still whole, or changed in numbers only)",
            f"executed  {self.outcomes['executed']}",
            f"broken    {len(self.failures) - self.outcomes['executed']}",
            f"slowest   {seconds:.2f} s ({name})",
            f"largest   {self.largest / 1e6:.0f} MB",
        ]
        return "\n".join(lines + self.failures[:20])


def all_cases(
    cases: int, canary: Path, seed: int = 0, size: int = SIZE
) -> Iterator[tuple[str, bytes]]:
    """Each command alone, first and within a real file; each bomb; mutations up to `cases`."""
    files = [file.read_bytes() for file in FILES]
    command = f"touch {canary}"
    named = [
        *((name, b"\x80\x02" + code + b".") for name, code in commands(command).items()),
        *((f"{name}, first", code + b"0" + files[0]) for name, code in commands(command).items()),
        *(
            (f"{name}, within", files[-1][:-2] + b"X\x0a\x00\x00\x00simple_dqn" + code + b"u.")
            for name, code in commands(command).items()
        ),
    ]
    bombed = ((name, b"\x80\x02" + code + b".") for name, code in bombs(size))
    yield from itertools.islice(
        itertools.chain(named, bombed, mutations(files, command, seed)), cases
    )


class Reader:
    """The process that reads, replaced by another if it dies."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--reader"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        )

    def read(self, path: Path) -> tuple[str, str]:
        """The outcome and more about it."""
        assert self.process.stdin
        assert self.process.stdout
        print(path, file=self.process.stdin, flush=True)
        if not select.select([self.process.stdout], [], [], SECONDS)[0]:
            return "too slow", ""
        outcome, _, more = self.process.stdout.readline().strip().partition(" ")
        return outcome or "died", more

    def close(self) -> int:
        """Ends the process; the bytes of memory it took at most.

        The system's own account (ru_maxrss) would count what its parent held when it was forked.
        """
        status = Path(f"/proc/{self.process.pid}/status")
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
        self.process.kill()
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        return int(found[1]) * 1024 if found else 0


def run(cases: Iterable[tuple[str, bytes]], folder: Path, canary: Path) -> Report:
    """Read all cases."""
    report = Report()
    path = folder / "case_1.pkl"
    reader = Reader()
    for name, data in cases:
        path.write_bytes(data)
        started = time.perf_counter()
        outcome, more = reader.read(path)
        report.slowest = max(report.slowest, (time.perf_counter() - started, name))
        if canary.exists():
            outcome, more = "executed", "the canary is there"
            canary.unlink()
        report.outcomes[outcome] += 1
        if outcome not in ("refused", "read"):
            report.failures.append(f"{outcome}: {name}: {more}")
        if outcome in ("died", "too slow"):
            report.largest = max(report.largest, reader.close())
            reader = Reader()
    report.largest = max(report.largest, reader.close())
    return report


def read_all() -> None:
    """The reader's process: a path a line in, an outcome a line out."""
    codecs.lookup("raw-unicode-escape")  # Python imports its codecs when they are first used
    for file in FILES:
        read_snapshot(file)
    seen: list[str] = []
    path: Path | None = None

    def notice(event: str, arguments: tuple[object, ...]) -> None:
        first = arguments[0] if arguments else None
        reading = event == "open" and (first == str(path) or type(first) is int)
        if path and event.startswith(NOTICED) and not reading:
            seen.append(f"{event} {arguments}"[:200])

    sys.addaudithook(notice)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for line in sys.stdin:
        path = Path(line.strip())
        try:
            read_snapshot(path)
            said = "read"
        except UserError as error:
            said = "refused" if "\n" not in str(error) else "broken sentence"
            said = "out-of-memory" if "memory" in str(error) else said
        except BaseException as error:
            said = f"broken {error!r}"[:300]
        path = None
        print(f"executed {seen}" if seen else said, flush=True)
        seen.clear()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reader:
        read_all()
        return 0
    with tempfile.TemporaryDirectory() as folder:
        canary = Path(folder, "canary")
        report = run(all_cases(options.cases, canary, options.seed), Path(folder), canary)
    print(report)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
