"""Simple DQN and Stable-Baselines3 on the same job, in turn: A B A B ...

    python bench/peers.py [--rounds 3] [--steps 1500] [--device cpu|gpu] [--save]

BreakoutNoFrameskip-v4, batch 32, an update every 4 steps, exploration 0.1, a 20,000-step replay
memory. Stable-Baselines3 is installed into bench/.venv.sb3 on the first run. The machine's speed
may drift, so ratios are taken within a round and their median counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from engine.hardware import describe, versions

HERE = Path(__file__).resolve().parent
PEER = "stable-baselines3==2.9.2"
PEER_NEEDS = ["torch==2.13.0", "ale-py==0.12.1", "opencv-python-headless==5.0.0.93", PEER]
OURS = {
    "strict float32": [],
    "strict bfloat16": ["--datatype", "bfloat16"],
    "overlapped bfloat16": ["--datatype", "bfloat16", "--overlap", "true"],
}


def peer_python() -> Path:
    """The interpreter of the peer's environment, made on the first call."""
    folder = HERE / ".venv.sb3"
    done = folder / "whole"
    if not done.exists():
        print(f"Installing {PEER} into {folder} ...", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        pip: list[str | Path] = [
            folder / "bin" / "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            *PEER_NEEDS,
        ]
        subprocess.run(pip, check=True)
        done.touch()
    return folder / "bin" / "python"


def measure(command: Sequence[str | Path]) -> float:
    """The last line of what a command prints, as a number."""
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(answer.stdout.split()[-1])


def main() -> None:
    """Run the rounds and print steps a second and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--save", action="store_true", help="keep the result in bench/results")
    options = parser.parse_args()
    steps, on_gpu = str(options.steps), options.device == "gpu"
    peer: list[str | Path] = [peer_python(), HERE / "peer_sb3.py", steps]
    commands: dict[str, list[str | Path]] = {PEER: [*peer, "cuda" if on_gpu else "cpu"]}
    for name, flags in OURS.items():
        ours: list[str | Path] = [sys.executable, HERE / "loop.py", "--steps", steps]
        commands[name] = [*ours, *flags, *(["--backend", "gpu"] if on_gpu else [])]
    figures: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            figures[name].append(measure(command))
            print(f"{name:<28}{figures[name][-1]:8.1f} steps/s", file=sys.stderr)
    print(describe())
    print(f"{'median of ' + str(options.rounds) + ' rounds':<28}{'steps/s':>9}{'ratio':>8}")
    result = {}
    for name, values in figures.items():
        ratios = [ours / peer for ours, peer in zip(values, figures[PEER], strict=True)]
        result[name] = {"steps_per_second": values, "ratios": ratios}
        print(f"{name:<28}{statistics.median(values):9.1f}{statistics.median(ratios):8.2f}")
    if options.save:
        path = HERE / "results" / time.strftime("peers_%Y-%m-%d_%H%M.json")
        about = {"machine": describe(), "versions": versions(), "result": result}
        path.write_text(json.dumps(about, indent=2) + "\n")
        print(f"kept in {path}")


if __name__ == "__main__":
    main()
