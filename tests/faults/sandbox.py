"""A copy of the program in a folder of its own, where real runs can be killed and starved."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
GAME = "breakout"
TINY = """--random_steps 300 --train_steps 400 --test_steps 200 --epochs 3 --replay_size 500
--batch_size 8 --target_steps 100 --random_seed 7 --backend cpu --threads 1""".split()
OFTEN = ["--checkpoint_minutes", "0.01"]
TIME_COLUMNS = 3  # the last ones of the CSV
WRITTEN = ("snapshots", "results", "checkpoints")  # folders that runs write to


class Sandbox:
    """Its folders are those of a clone: src, presets, snapshots, results, checkpoints."""

    def __init__(self, root: Path, flags: list[str] | None = None) -> None:
        """Copy the program to `root`; `flags` are those of its run."""
        self.root = root
        self.flags = [*TINY, *OFTEN] if flags is None else flags
        for name in ("src", "presets", "nvis"):
            shutil.copytree(
                ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.tmp")
            )
        self.snapshots = root / "snapshots"
        self.csv = root / "results" / f"{GAME}.csv"
        self.checkpoints = root / "checkpoints" / GAME

    def start(self, *words: str, script: str = "main.py", **popen: Any) -> subprocess.Popen[str]:
        """Start the program."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        # What it says goes to a file, since a full pipe would stop it.
        with (self.root / "said.txt").open("w") as said:
            return subprocess.Popen(
                [sys.executable, str(self.root / "src" / script), *words],
                cwd=self.root,
                env=environment,
                stdout=said,
                stderr=said,
                text=True,
                **popen,
            )

    def run(self, *words: str, timeout: float = 120, **popen: Any) -> tuple[int, str]:
        """Run the program to its end; its exit code and what it said."""
        process = self.start(*words, **popen)
        try:
            return process.wait(timeout), self.said()
        finally:
            process.kill()
            process.wait()

    def said(self) -> str:
        """What the last program started has said so far."""
        return (self.root / "said.txt").read_text(errors="replace")

    def go_on(self) -> list[str]:
        """The arguments that resume the run, or start it again if nothing was saved yet."""
        if self.newest():
            return ["resume", GAME]
        return ["train", GAME, *self.flags, "--overwrite"]

    def begin(self) -> list[str]:
        """The words that begin the run."""
        return ["train", GAME, *self.flags, "--overwrite"]

    def clear(self) -> None:
        """Remove all that runs have written."""
        for name in WRITTEN:
            shutil.rmtree(self.root / name, ignore_errors=True)

    def keep(self) -> Path:
        """A copy of all that runs have written, for `bring_back`."""
        kept = self.root / "kept"
        shutil.rmtree(kept, ignore_errors=True)
        for name in WRITTEN:
            if (self.root / name).exists():
                shutil.copytree(self.root / name, kept / name)
        return kept

    def bring_back(self, kept: Path) -> None:
        """Put back what `keep` has kept."""
        self.clear()
        shutil.copytree(kept, self.root, dirs_exist_ok=True)

    def newest(self) -> int:
        """The number of the newest checkpoint, 0 if there is none."""
        manifests = self.checkpoints.glob("*.json")
        return max((int(path.stem) for path in manifests if path.stem.isdecimal()), default=0)

    def wait_for(self, condition: Callable[[], bool], process: subprocess.Popen[str]) -> bool:
        """Wait until the condition holds or the process has ended; whether it holds."""
        end = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < end:
            if condition():
                return True
            time.sleep(0.0005)
        return condition()

    def leftovers(self) -> list[Path]:
        """Files that a process was writing when it was killed."""
        found = [path for path in self.root.rglob("*.tmp") if path.is_file()]
        valid = {path.stem for path in self.checkpoints.glob("*.json")}
        for kind in ("npz", "screens"):
            # A file of screens may outlive its manifest, but none is newer than the newest one.
            for path in self.checkpoints.glob(f"*.{kind}"):
                if path.stem > max(valid, default=""):
                    found.append(path)
        return found

    def rows(self) -> list[str]:
        """The rows of the CSV without their times."""
        if not self.csv.exists():
            return []
        lines = self.csv.read_text().splitlines()
        return [",".join(line.split(",")[:-TIME_COLUMNS]) for line in lines]

    def results(self) -> dict[str, Any]:
        """What must not depend on how often a run was interrupted."""
        files = sorted(self.snapshots.glob(f"{GAME}_*.pkl"))
        return {"rows": self.rows(), **{path.name: path.read_bytes() for path in files}}

    def check_saved(self, reference: dict[str, Any]) -> list[str]:
        """What is wrong with the files there are, whole or not, of a run like the reference."""
        wrong = []
        rows = self.rows()
        if rows != reference["rows"][: len(rows)]:
            wrong.append("the CSV is not the beginning of the reference's")
        for path in self.snapshots.glob(f"{GAME}_*.pkl"):
            if path.read_bytes() != reference.get(path.name):
                wrong.append(f"{path.name} is not the reference's")
        for path in (self.root / "results").glob("*.json"):
            try:
                json.loads(path.read_text())
            except ValueError:
                wrong.append(f"{path.name} is damaged")
        if self.newest():
            from checkpoint.files import read_checkpoint

            try:
                read_checkpoint(self.checkpoints, self.newest())
            except (OSError, ValueError) as error:
                wrong.append(f"the newest checkpoint is not valid: {error}")
        return wrong

    def clean_end(self, code: int, said: str, expected: tuple[int, ...]) -> list[str]:
        """What is wrong with how a program ended: the exit code, or a traceback."""
        wrong = []
        if code not in expected:
            wrong.append(f"exit code {code}, expected {expected}: {said[-300:]}")
        if re.search(r"^Traceback|Error:", said, re.MULTILINE):
            wrong.append(f"a traceback: {said[-500:]}")
        return wrong
