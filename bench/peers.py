"""Simple DQN and its peers on the same job, in turn: A B C A B C ...

    ./bench.sh peers [--rounds 3] [--steps 1500] [--backend cpu|gpu] [--busy] [--save]

BreakoutNoFrameskip-v4, batch 32, an update every 4 steps, exploration 0.1, a 20,000-step replay
memory; the row "ten games, an update every 10" does fewer updates and says so. Each peer is
installed into an environment of its own in bench/ on the first run. The machine's speed may drift,
so ratios are taken within a round and their median counts. --busy repeats our rows and the first
peer's beside two spinning processes of the same priority.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from commands.exit_codes import exit_code
from commands.plain_parser import PlainParser, at_least
from runs.provenance import describe, versions

HERE = Path(__file__).resolve().parent
COMMON = ["torch==2.13.0", "ale-py==0.12.1", "opencv-python-headless==5.0.0.93"]
SB3 = "stable-baselines3==2.9.2"
# The networks, the replay memory and the loop of CleanRL's dqn_atari.py are written after it in
# peer_cleanrl.py, on the wrappers and the buffer that it takes from Stable-Baselines3.
PEERS = {SB3: "peer_sb3.py", "CleanRL dqn_atari": "peer_cleanrl.py"}
BFLOAT16 = ["--datatype", "bfloat16"]
TEN = ["--num_envs", "10", "--train_frequency", "10", *BFLOAT16]
OURS = {
    "strict float32": [],
    "strict bfloat16": BFLOAT16,
    "overlapped bfloat16": [*BFLOAT16, "--overlap", "true"],
    "four games, bfloat16": [*BFLOAT16, "--num_envs", "4"],
    "four games, overlapped": [*BFLOAT16, "--num_envs", "4", "--overlap", "true"],
    "ten games, an update every 10": TEN,
    "ten games, overlapped": [*TEN, "--overlap", "true"],
}


def peer_python() -> Path:
    """The interpreter of the peers' environment, made on the first call."""
    folder = HERE / ".venv.sb3"
    done = folder / "whole"
    if not done.exists():
        print(f"Installing {SB3} into {folder} ...", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *COMMON, SB3], check=True)
        done.touch()
    return folder / "bin" / "python"


def measure(command: Sequence[str | Path]) -> float:
    """The last line of what a command prints, as a number."""
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(answer.stdout.split()[-1])


@contextlib.contextmanager
def spinning(count: int) -> Iterator[None]:
    """`count` processes that do nothing as fast as they can."""
    code = "while True: pass"
    others = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def main() -> None:
    """Run the rounds and print steps per second and ratios."""
    parser = PlainParser(prog="./bench.sh peers", description=__doc__)
    parser.add_argument(
        "--rounds", type=at_least(1, int), default=3, help="how often each is measured [3]"
    )
    parser.add_argument(
        "--steps", type=at_least(1, int), default=1500, help="steps of a measurement [1500]"
    )
    parser.add_argument("--backend", choices=["cpu", "gpu"], default="cpu", help="[cpu]")
    parser.add_argument("--busy", action="store_true", help="also beside two spinning processes")
    parser.add_argument("--save", action="store_true", help="keep the result in bench/results")
    options = parser.parse_args()
    steps, on_gpu = str(options.steps), options.backend == "gpu"
    commands: dict[str, list[str | Path]] = {}
    for name, script in PEERS.items():
        commands[name] = [peer_python(), HERE / script, steps, "cuda" if on_gpu else "cpu"]
    for name, flags in OURS.items():
        ours: list[str | Path] = [sys.executable, HERE / "loop.py", "--steps", steps]
        commands[name] = [*ours, *flags, *(["--backend", "gpu"] if on_gpu else [])]
    figures: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        for name, command in commands.items():
            figures.setdefault(name, []).append(measure(command))
            print(f"{name:<32}{figures[name][-1]:8.1f} steps/s", file=sys.stderr)
        if options.busy:
            with spinning(2):
                for name, command in commands.items():
                    if name not in PEERS or name == SB3:
                        busy = figures.setdefault(f"{name}, busy", [])
                        busy.append(measure(command))
                        print(f"{name + ', busy':<32}{busy[-1]:8.1f} steps/s", file=sys.stderr)
    print(describe())
    print(f"{'median of ' + str(options.rounds) + ' rounds':<38}{'steps/s':>9}{'ratio':>8}")
    result = {}
    for name, values in figures.items():
        ratios = [ours / peer for ours, peer in zip(values, figures[SB3], strict=True)]
        result[name] = {"steps_per_second": values, "ratios": ratios}
        print(f"{name:<38}{statistics.median(values):9.1f}{statistics.median(ratios):8.2f}")
    if options.save:
        path = HERE / "results" / time.strftime("peers_%Y-%m-%d_%H%M.json")
        about = {"machine": describe(), "versions": versions(), "result": result}
        path.write_text(json.dumps(about, indent=2) + "\n")
        print(f"kept in {path}")


if __name__ == "__main__":
    with exit_code("bench") as ending:
        main()
    sys.exit(ending.code)
