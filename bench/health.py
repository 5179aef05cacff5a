"""Whether a long run stays as it is: memory, open files and threads of a real one.

    ./bench.sh health [--steps 200000] [--seconds 5] [flags of train.sh, like --num_envs 4]

Trains with a small replay memory, which is full early, testing now and then, with a checkpoint a
minute, in a folder that is removed. Prints what the process (and its children) takes in each tenth
of the time after that, and how much the last tenth takes more than the second.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from commands.exit_codes import exit_code
from commands.plain_parser import PlainParser, at_least
from config import ROOT
from runs.provenance import describe

EPOCHS = 10


def look(process: psutil.Process) -> tuple[float, int, int]:
    """Resident megabytes, open files and threads of a process and its children."""
    megabytes, files, threads = 0.0, 0, 0
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            megabytes += each.memory_info().rss / 2**20
            files += each.num_fds()
            threads += each.num_threads()
    return megabytes, files, threads


def main() -> int:
    """Run, look, and sum up; exit code 1 if memory grew by more than 2 %, or files or threads."""
    parser = PlainParser(prog="./bench.sh health", description=__doc__)
    parser.add_argument("--game", default="breakout", help="[breakout]")
    parser.add_argument(
        "--steps", type=at_least(1, int), default=200_000, help="of training [200000]"
    )
    parser.add_argument("--seconds", type=at_least(0.1), default=5.0, help="between looks [5]")
    options, flags = parser.parse_known_args()
    seen = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        words = f"""train {options.game} --random_steps 5000 --replay_size 5000 --epochs {EPOCHS}
        --train_steps {options.steps // EPOCHS} --test_steps {options.steps // EPOCHS // 10}
        --checkpoint_minutes 1 --random_seed 1 --csv_file {place / "a.csv"}
        --save_weights_prefix {place / "a"} --checkpoint_path {place / "checkpoints"}""".split()
        start = time.monotonic()
        command = [sys.executable, str(ROOT / "src" / "main.py"), *words, *flags]
        run = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            process = psutil.Process(run.pid)
            while run.poll() is None:
                if (place / "a.csv").exists():  # the replay memory is full
                    with contextlib.suppress(psutil.NoSuchProcess):
                        seen.append(look(process))
                time.sleep(options.seconds)
        finally:
            run.kill()
            run.wait()
        seconds = time.monotonic() - start
    if run.returncode or len(seen) < 30:
        print(f"The run ended with code {run.returncode} after {len(seen)} looks: take more steps.")
        return 1
    print(describe())
    print(f"{options.steps} training steps of {options.game} {' '.join(flags)}, {seconds:.0f} s")
    print(f"{'':<8}{'MB':>8}{'files':>8}{'threads':>8}   (medians)")
    tenths = [seen[len(seen) * n // 10 : len(seen) * (n + 1) // 10] for n in range(10)]
    middles = [tuple(median(column) for column in zip(*tenth, strict=True)) for tenth in tenths]
    for n, (megabytes, files, threads) in enumerate(middles, 1):
        print(f"{n:>5}/10{megabytes:>8.1f}{files:>8.0f}{threads:>8.0f}")
    growth = [after - before for before, after in zip(middles[1], middles[-1], strict=True)]
    print(f"growth: {growth[0]:+.1f} MB, {growth[1]:+.0f} files, {growth[2]:+.0f} threads")
    return int(growth[0] > 0.02 * middles[1][0] or growth[1] > 0 or growth[2] > 0)


if __name__ == "__main__":
    with exit_code("bench") as ending:
        ending.code = main()
    sys.exit(ending.code)
