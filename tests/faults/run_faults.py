"""Kills, starves and disturbs real runs, and holds what they leave against an uninterrupted one:

    python tests/faults/run_faults.py --kills 30

Prints a line a scenario: faults tried, survived, and what was lost. Exit code 1 if anything was.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from checkpoint.files import checkpoint_numbers, newest_checkpoint  # noqa: E402
from tests.faults.sandbox import GAME, Sandbox  # noqa: E402

REFUSED = 2
NOT_SAVED = 3
STOPPED = 130


@dataclass
class Outcome:
    """What became of a scenario's faults."""

    name: str
    tried: int = 0
    wrong: list[str] = field(default_factory=list)
    notes: str = ""

    def __str__(self) -> str:
        lost = f"{len(self.wrong)} lost" if self.wrong else "0 lost"
        lines = [f"{self.name:<42}{self.tried:>6} tried, {lost}. {self.notes}"]
        return "\n".join([*lines, *(f"    {each}" for each in self.wrong)])


class Faults:
    """The scenarios. Each begins with a cleared sandbox and ends with a comparison."""

    def __init__(self, sandbox: Sandbox, seed: int = 0) -> None:
        """Make the reference: the same run, never interrupted."""
        self.sandbox = sandbox
        self.random = random.Random(seed)
        start = time.monotonic()
        code, said = sandbox.run(*sandbox.begin())
        if code:
            raise SystemExit(f"The uninterrupted run failed:\n{said}")
        self.seconds = time.monotonic() - start
        self.reference = sandbox.results()

    def finish(self, outcome: Outcome) -> None:
        """Let the run go to its end, and compare."""
        sandbox = self.sandbox
        code, said = sandbox.run(*sandbox.go_on())
        if code != REFUSED or "is finished" not in said:
            outcome.wrong += sandbox.clean_end(code, said, (0,))
        results = sandbox.results()
        for name, content in self.reference.items():
            if results.get(name) != content:
                outcome.wrong.append(f"{name} differs from that of the uninterrupted run")
        if sandbox.leftovers():
            outcome.wrong.append(f"left behind: {', '.join(p.name for p in sandbox.leftovers())}")

    def begin_and_stop(self, *, checkpoints: int) -> None:
        """Start the run again and stop it in order once it has made so many checkpoints."""
        self.sandbox.clear()
        process = self.sandbox.start(*self.sandbox.begin())
        self.sandbox.wait_for(lambda: self.sandbox.newest() >= checkpoints, process)
        process.send_signal(signal.SIGTERM)
        process.wait()

    def writing(self) -> bool:
        """Whether a file is being written at this moment."""
        sandbox = self.sandbox
        for name in ("snapshots", "results", f"checkpoints/{GAME}"):
            if any(True for _ in (sandbox.root / name).glob(".*.tmp")):
                return True
        folder = sandbox.checkpoints
        valid = sandbox.newest()
        return any(
            path.stem.isdecimal() and int(path.stem) > valid
            for kind in ("npz", "screens")
            for path in folder.glob(f"*.{kind}")
        )

    def kills(self, count: int) -> Outcome:
        """SIGKILL at random moments, every second one while a file is being written."""
        sandbox, outcome = self.sandbox, Outcome("kill -9 at random moments")
        sandbox.clear()
        within = 0
        while outcome.tried < count:
            known = sandbox.newest()
            process = sandbox.start(*sandbox.go_on())
            try:
                if outcome.tried % 2:
                    sandbox.wait_for(lambda: "steps" in sandbox.said(), process)
                    for _ in range(self.random.randrange(1, 4)):
                        sandbox.wait_for(lambda: not self.writing(), process)
                        sandbox.wait_for(self.writing, process)
                    time.sleep(self.random.uniform(0, 0.015))
                else:
                    process.wait(self.random.uniform(0.2, 1) * min(self.seconds, 8))
            except subprocess.TimeoutExpired:
                pass
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
                outcome.tried += 1
                within += bool(sandbox.leftovers())
            elif process.returncode:
                said = sandbox.said()
                if "is finished" not in said:
                    outcome.wrong += sandbox.clean_end(process.returncode, said, (0,))
            outcome.wrong += sandbox.check_saved(self.reference)
            if sandbox.newest() < known:
                outcome.wrong.append(f"checkpoint {known} is gone")
            if process.returncode == 0 or "is finished" in sandbox.said():
                sandbox.clear()
        self.finish(outcome)
        outcome.notes = f"{within} of them within a write"
        return outcome

    def signals(self) -> Outcome:
        """Signals end a run in order; it says how to resume and does."""
        sandbox, outcome = self.sandbox, Outcome("SIGINT, SIGTERM, SIGHUP")
        sandbox.clear()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process = sandbox.start(*sandbox.go_on())
            phase = self.random.choice(["Replay memory", "random, ", ": train, ", ": test, "])
            sandbox.wait_for(partial(self.has_said, phase), process)
            time.sleep(self.random.uniform(0, 0.5))
            process.send_signal(number)
            code = process.wait(60)
            outcome.tried += 1
            if "is finished" in sandbox.said() or not code:
                continue
            outcome.wrong += sandbox.clean_end(code, sandbox.said(), (STOPPED,))
            said = sandbox.said()
            if f"./resume.sh {GAME} resumes from" not in said and "stopped." not in said:
                outcome.wrong.append(f"{number.name}: it does not say how to resume")
            outcome.wrong += sandbox.check_saved(self.reference)
        self.finish(outcome)
        return outcome

    def has_said(self, text: str) -> bool:
        """Whether the run has said so."""
        return text in self.sandbox.said()

    def two_at_once(self) -> Outcome:
        """A second training on the same names is refused; a dead one holds no lock."""
        sandbox, outcome = self.sandbox, Outcome("a second training on the same names")
        sandbox.clear()
        first = sandbox.start(*sandbox.begin())
        sandbox.wait_for(lambda: sandbox.newest() > 0, first)
        for words in (sandbox.begin(), ["resume", GAME]):
            code, said = sandbox.run(*words)
            outcome.tried += 1
            outcome.wrong += sandbox.clean_end(code, said, (REFUSED,))
            if "is in use already" not in said:
                outcome.wrong.append(f"it does not say why it is refused: {said[-300:]}")
        if first.poll() is not None:
            outcome.wrong.append("the first training did not continue")
        first.kill()
        first.wait()
        self.finish(outcome)
        return outcome

    def full_disk(self, limits: tuple[int, ...] = (400, 4_000, 1_000_000, 19_000_000)) -> Outcome:
        """No file may grow beyond a limit, so that writing one fails at some point of it."""
        sandbox, outcome = self.sandbox, Outcome("file size limits while a run writes")
        for limit in limits:
            self.begin_and_stop(checkpoints=2)
            known = sandbox.newest()
            code, said = sandbox.run(*sandbox.go_on(), preexec_fn=limit_files(limit))
            outcome.tried += said.count("Cannot write")
            outcome.wrong += sandbox.clean_end(code, said, (NOT_SAVED,))
            outcome.wrong += sandbox.check_saved(self.reference)
            if "Cannot write a checkpoint" not in said:
                outcome.wrong.append(f"{limit} bytes: it does not say that it cannot write")
            if sandbox.newest() != known:
                outcome.wrong.append(f"{limit} bytes: checkpoint {known} did not stay")
            if sandbox.leftovers():
                outcome.wrong.append(f"{limit} bytes: half a file is left behind")
            self.finish(outcome)
        return outcome

    def other_writers(self, limits: tuple[int, ...] = (1_000, 100_000)) -> Outcome:
        """Curves, films and filter pages that cannot be written either."""
        sandbox, outcome = self.sandbox, Outcome("file size limits for plots, films, pages")
        sandbox.clear()
        self.finish(outcome)
        snapshot = f"snapshots/{GAME}_1.pkl"
        short = ["--max_episode_frames", "200"]
        for limit in limits:
            for script, words in (
                ("plot.py", [f"results/{GAME}.csv"]),
                ("main.py", ["record", snapshot, *short]),
                ("main.py", ["record", snapshot, *short, "--record_sound_filename", "a.wav"]),
                ("main.py", ["nvis", snapshot, *short]),
            ):
                code, said = sandbox.run(*words, script=script, preexec_fn=limit_files(limit))
                outcome.tried += code != 0
                outcome.wrong += sandbox.clean_end(code, said, (0, REFUSED))
                outcome.wrong += sandbox.check_saved(self.reference)
        if sandbox.results() != self.reference:
            outcome.wrong.append("the run's files have changed")
        if sandbox.leftovers():
            outcome.wrong.append(f"left behind: {', '.join(p.name for p in sandbox.leftovers())}")
        return outcome

    def small_disk(self, megabytes: int = 45) -> Outcome:
        """The whole run on a disk that fills up; then it is larger, and the run continues."""
        sandbox, outcome = self.sandbox, Outcome(f"a disk of {megabytes} MB")
        sandbox.clear()
        folders = [sandbox.root / name for name in ("snapshots", "checkpoints", "results")]
        disk = sandbox.root / "disk"
        if not mount(disk, megabytes):
            outcome.notes = "Skipped: mounting a disk takes root."
            return outcome
        try:
            for path in folders:
                (disk / path.name).mkdir()
                path.symlink_to(disk / path.name)
            code, said = sandbox.run(*sandbox.begin())
            outcome.tried += said.count("Cannot write")
            outcome.wrong += sandbox.clean_end(code, said, (0, NOT_SAVED))
            outcome.wrong += sandbox.check_saved(self.reference)
            if not outcome.tried:
                outcome.wrong.append("the disk never was full")
            remount(disk, "size=500m")
            # Snapshots that did not fit are missing, except those after the last checkpoint.
            code, said = sandbox.run(*sandbox.go_on())
            outcome.wrong += sandbox.clean_end(code, said, (0, REFUSED))
            outcome.wrong += sandbox.check_saved(self.reference)
            if sandbox.rows() != self.reference["rows"]:
                outcome.wrong.append("rows of the CSV are missing")
        finally:
            for path in folders:
                path.unlink(missing_ok=True)
            subprocess.run(["umount", str(disk)], check=False)
        return outcome

    def read_only(self) -> Outcome:
        """Folders become read-only in the middle of a run, which is killed then."""
        sandbox, outcome = self.sandbox, Outcome("folders read-only in the middle of a run")
        for name in ("results", f"checkpoints/{GAME}", "snapshots"):
            sandbox.clear()
            folder = sandbox.root / name
            as_root = os.geteuid() == 0  # who may write wherever a disk is writable
            if as_root and not mount(folder, 500):
                outcome.notes = "Skipped: mounting a disk takes root, and root writes anywhere."
                return outcome
            try:
                process = sandbox.start(*sandbox.begin())
                sandbox.wait_for(lambda: sandbox.newest() > 2, process)
                known = sandbox.newest()
                if as_root:
                    sandbox.wait_for(partial(remount, folder, "ro"), process)
                else:
                    folder.chmod(0o555)
                sandbox.wait_for(partial(self.has_said, "Cannot write"), process)
                outcome.tried += 1
                process.kill()
                process.wait()
                if "Cannot write" not in sandbox.said():
                    outcome.wrong.append(f"{name}: it does not say that it cannot write")
                outcome.wrong += sandbox.check_saved(self.reference)
                if sandbox.newest() < known:
                    outcome.wrong.append(f"{name}: checkpoint {known} is gone")
                if as_root:
                    remount(folder, "rw")
                else:
                    folder.chmod(0o755)
                if name != "snapshots":  # of which the one that could not be written is missing
                    self.finish(outcome)
            finally:
                if as_root:
                    subprocess.run(["umount", str(folder)], check=False)
        return outcome

    def damaged(self, count: int) -> Outcome:
        """Checkpoints whose files are cut or changed at random places, read and then resumed."""
        sandbox, outcome = self.sandbox, Outcome("damaged checkpoint files")
        self.begin_and_stop(checkpoints=5)
        kept = sandbox.keep()
        latest, before = checkpoint_numbers(sandbox.checkpoints)[:2]
        names = sorted(path.name for path in sandbox.checkpoints.iterdir())
        for n in range(count):
            sandbox.bring_back(kept)
            name = self.random.choice(names)
            damage(sandbox.checkpoints / name, self.random)
            found, problems = newest_checkpoint(sandbox.checkpoints)
            outcome.tried += 1
            if found and found.number not in (latest, before):
                outcome.wrong.append(f"{name}: checkpoint {found.number} was taken")
            if name.startswith(f"{latest:06}") and not problems:
                outcome.wrong.append(f"{name}: the damage was not noticed")
            if n >= 3:
                continue
            if found:
                self.finish(outcome)
            else:  # a file that both checkpoints need: from the newest snapshot, if there is one
                code, said = sandbox.run("resume", GAME)
                expected = 0 if any(sandbox.snapshots.glob(f"{GAME}_*.pkl")) else REFUSED
                outcome.wrong += sandbox.clean_end(code, said, (expected,))
                if name not in said:
                    outcome.wrong.append(f"{name}: the damage was not told")
        shutil.rmtree(kept)
        return outcome


def mount(folder: Path, megabytes: int) -> bool:
    """Put a new empty disk of so many megabytes at `folder`, if the system lets us."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    return not subprocess.run(command, capture_output=True, check=False).returncode


def remount(folder: Path, options: str) -> bool:
    """Change the disk at `folder`; whether that worked, which it does not in mid-write."""
    command = ["mount", "-o", f"remount,{options}", str(folder)]
    return not subprocess.run(command, capture_output=True, check=False).returncode


def limit_files(size: int) -> Callable[[], None]:
    """For a new process: none of its files can grow beyond `size` bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def damage(path: Path, rng: random.Random) -> None:
    """Cut a file or change some of its bytes."""
    content = bytearray(path.read_bytes())
    if rng.random() < 0.5 or not content:
        content = content[: rng.randrange(len(content) + 1) - 1]
    else:
        for _ in range(rng.choice([1, 1, 8])):
            content[rng.randrange(len(content))] ^= rng.randrange(1, 256)
    path.write_bytes(content)


def main() -> int:
    """All scenarios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--damaged", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="part of a scenario's name")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        faults = Faults(Sandbox(Path(folder) / "clone"), options.seed)
        scenarios: dict[str, Callable[[], Outcome]] = {
            "kills": lambda: faults.kills(options.kills),
            "signals": faults.signals,
            "two_at_once": faults.two_at_once,
            "full_disk": faults.full_disk,
            "other_writers": faults.other_writers,
            "small_disk": faults.small_disk,
            "damaged": lambda: faults.damaged(options.damaged),
            "read_only": faults.read_only,
        }
        outcomes = []
        for name, scenario in scenarios.items():
            if not options.only or options.only in name:
                outcomes.append(scenario())
                print(outcomes[-1], flush=True)
    tried, lost = sum(o.tried for o in outcomes), sum(len(o.wrong) for o in outcomes)
    print(f"{tried} faults tried, {tried - lost} survived, {lost} lost.")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
