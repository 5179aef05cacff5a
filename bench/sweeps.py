"""A sweep against a shell loop: N runs on N cores, each with one thread.

    ./bench.sh sweeps [--runs 2] [--rounds 2] [--steps 1500]

Prints for each way the steps per second of all runs together, in training, and processor time: that
of the runs for a thousand steps, and that of everything else, which is Ray's. On a busy machine the
processor time says more.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from commands.exit_codes import exit_code  # noqa: E402
from commands.plain_parser import PlainParser, at_least  # noqa: E402
from tests.sweeps.cluster import ALONE, SweepSandbox  # noqa: E402

JOB = """--random_steps 500 --test_steps 200 --epochs 2 --replay_size 20000 --exploration_rate_start
0.1 --exploration_rate_end 0.1 --backend cpu""".split()
LOOK_SECONDS = 0.25


@dataclass
class Meter:
    """Processor seconds of all processes below some, the runs' and the others', while they live."""

    roots: list[psutil.Process]
    seconds: dict[int, tuple[bool, float]] = field(default_factory=dict)
    stopped: bool = False

    def watch(self) -> None:
        """Look again and again until it is stopped."""
        while not self.stopped:
            for root in self.roots:
                try:
                    for process in [root, *root.children(recursive=True)]:
                        times = process.cpu_times()
                        run = "main.py" in " ".join(process.cmdline()[1:2])
                        run |= self.seconds.get(process.pid, (False, 0.0))[0]  # ended just now
                        self.seconds[process.pid] = (run, times.user + times.system)
                except psutil.Error:
                    continue
            time.sleep(LOOK_SECONDS)

    def total(self, *, runs: bool) -> float:
        """Those of the runs, or of all others."""
        return sum(seconds for run, seconds in self.seconds.values() if run == runs)


def measure(sandbox: SweepSandbox, way: str, runs: int, steps: int) -> tuple[float, float, float]:
    """Steps per second, the runs' processor seconds for 1,000 steps, the others' for a second."""
    sandbox.clear()
    flags = [*JOB, "--train_steps", str(steps)]
    begun = time.monotonic()
    if way == "sweep":
        processes = [sandbox.sweep("breakout", "--name", "a", "--seeds", str(runs), *flags)]
    else:
        seeds = [[f"a_seed{k}", "--random_seed", str(k)] for k in range(1, runs + 1)]
        processes = [sandbox.start("train", "breakout", *s, *flags, *ALONE) for s in seeds]
    meter = Meter([psutil.Process(process.pid) for process in processes])
    watcher = threading.Thread(target=meter.watch)
    watcher.start()
    codes = [process.wait() for process in processes]
    seconds = time.monotonic() - begun
    meter.stopped = True
    watcher.join()
    if any(codes):
        raise SystemExit(sandbox.said())
    pace, done = 0.0, 0
    for path in (sandbox.root / "results").glob("*_seed*.csv"):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        pace += max(float(row["steps_per_second"]) for row in rows if row["phase"] == "train")
        done += sum(int(row["steps"]) for row in rows)
    return pace, 1000 * meter.total(runs=True) / done, meter.total(runs=False) / seconds


def main() -> None:
    """Run the command line."""
    parser = PlainParser(prog="./bench.sh sweeps", description=__doc__)
    parser.add_argument(
        "--runs", type=at_least(1, int), default=2, help="runs of a sweep, one per core [2]"
    )
    parser.add_argument(
        "--rounds", type=at_least(1, int), default=2, help="how often each is measured [2]"
    )
    parser.add_argument(
        "--steps", type=at_least(1, int), default=1500, help="training steps of a run [1500]"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sweeps_") as folder:
        sandbox = SweepSandbox(Path(folder))
        subprocess.run([sys.executable, "-c", "import ray"], check=True)
        for number in range(1, options.rounds + 1):
            for way in ("shell loop", "sweep"):
                pace, own, others = measure(sandbox, way, options.runs, options.steps)
                print(
                    f"{number} {way:<10} {pace:6.0f} steps/s, {own:5.2f} processor s for 1,000 "
                    f"steps of a run, {100 * others:4.1f} % of a core for the rest",
                    flush=True,
                )


if __name__ == "__main__":
    with exit_code("bench") as ending:
        main()
    sys.exit(ending.code)
