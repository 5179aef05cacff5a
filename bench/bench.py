"""How fast every part and the whole loop are on this machine.

    ./bench.sh [--peers] [--save] [--rounds 3] [--backend cpu|gpu]

Each figure is the median of several measurements, taken in turn. Close other programs first: two
threads that wait for each other suffer most from a third. --peers adds the comparison with
Stable-Baselines3 (see bench/peers.py); --save keeps the result in bench/results.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import ale_py
import ale_py.roms
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from deepqnetwork import DeepQNetwork
from engine.hardware import describe, versions
from replay_memory import Minibatch, ReplayMemory

HERE = Path(__file__).resolve().parent
BATCH = 32
BFLOAT16 = ["--datatype", "bfloat16"]
LOOPS = {  # name: flags of bench/loop.py, whole processes
    "random phase, no-op steps included": "--phase random --steps 5000 --emulated".split(),
    "strict loop, float32": ["--steps", "1200"],
    "strict loop, bfloat16": ["--steps", "1200", *BFLOAT16],
    "overlapped loop, bfloat16": ["--steps", "1200", *BFLOAT16, "--overlap", "true"],
    "32 games, bfloat16": ["--steps", "1200", *BFLOAT16, "--num_envs", "32"],
    "test phase, one game": ["--phase", "test", "--steps", "3000"],
    "test phase, 16 games, bfloat16": "--phase test --steps 6000 --num_envs 16".split() + BFLOAT16,
}


EMULATION = {"ALE alone": False, "ALE alone, its own colour averaging": True}


def milliseconds(work: Callable[[], object], repeats: int = 30, warm_up: int = 5) -> float:
    """Median time of `work`."""
    times = []
    for n in range(warm_up + repeats):
        start = time.perf_counter()
        work()
        if n >= warm_up:
            times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def emulation_alone(*, color_averaging: bool, steps: int = 3000) -> float:
    """Steps a second of ALE repeating random actions for four frames, nothing else done."""
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setInt("random_seed", 1)
    ale.setInt("frame_skip", 4)
    ale.setFloat("repeat_action_probability", 0)
    ale.setBool("color_averaging", color_averaging)
    ale.loadROM(str(ale_py.roms.get_rom_path("breakout")))
    actions = ale.getMinimalActionSet()
    chosen = np.random.default_rng(0).integers(len(actions), size=steps).tolist()
    start = time.perf_counter()
    for action in chosen:
        ale.act(actions[action])
        if ale.game_over():
            ale.reset_game()
    return steps / (time.perf_counter() - start)


def parts(backend: str) -> dict[str, float]:
    """Milliseconds of a prediction, a sample and a weight update."""
    rng = np.random.default_rng(0)
    memory = ReplayMemory(size=20_000, batch_size=BATCH, rng=rng)
    for n in range(20_000):
        memory.add(n % 4, 0.0, rng.integers(0, 256, (84, 84), np.uint8), n % 100 == 99)
    found = {"sampling a minibatch": milliseconds(memory.sample, 200)}
    batch = memory.sample()
    batch = Minibatch(batch.screens.copy(), batch.actions, batch.rewards, batch.terminals)
    for datatype in ("float32", "bfloat16"):
        network = DeepQNetwork(num_actions=4, backend=backend, datatype=datatype, rng=rng)
        for count in (1, BATCH):
            states = np.ascontiguousarray(batch.prestates[:count])
            name = f"prediction, {datatype}, {count} state{'s' * (count > 1)}"
            found[name] = milliseconds(partial(network.predict, states), 100)
        found[f"weight update, {datatype}"] = milliseconds(partial(network.train, batch))
    return found


def loop(flags: list[str]) -> float:
    """Steps a second of bench/loop.py."""
    command = [sys.executable, str(HERE / "loop.py"), *flags]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(answer.stdout.split()[-1])


def start_of_a_test() -> float:
    """Seconds from ./test.sh to its end, with a single step: the environment is made already."""
    with tempfile.TemporaryDirectory() as folder:
        snapshot = Path(folder) / "breakout_1.pkl"
        network = DeepQNetwork(num_actions=4, backend="cpu", rng=np.random.default_rng(0))
        network.save_weights(snapshot, epoch=1, info={"game": "breakout"})
        command = [str(HERE.parent / "test.sh"), str(snapshot), "--test_steps", "1"]
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - start


def main() -> None:
    """Measure, print the table, keep it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backend", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    figures: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        for name, averaging in EMULATION.items():
            rate = emulation_alone(color_averaging=averaging)
            figures.setdefault(name, []).append(rate)
        for name, flags in LOOPS.items():
            rate = loop([*flags, "--backend", options.backend])
            figures.setdefault(name, []).append(rate)
            print(f"{name:<42}{rate:10.1f} steps/s", file=sys.stderr)
    print(describe())
    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    print(f"\n{'':<42}{'steps/s':>10}")
    for name, rates in figures.items():
        print(f"{name:<42}{statistics.median(rates):10.1f}")
    rest = {
        "seconds of a ./test.sh of one step": statistics.median(
            start_of_a_test() for _ in range(3)
        ),
        "MB of training beside the replay memory": loop(["--memory", "--steps", "400"]),
    }
    times = parts(options.backend)
    print(f"\n{'':<42}{'ms':>10}")
    for name, value in times.items():
        print(f"{name:<42}{value:10.2f}")
    print()
    for name, value in rest.items():
        print(f"{name:<42}{value:10.2f}")
    if options.save:
        path = HERE / "results" / time.strftime("bench_%Y-%m-%d_%H%M.json")
        about = {"machine": describe(), "versions": versions()}
        result = {**about, "steps_per_second": figures, "milliseconds": times, "rest": rest}
        path.write_text(json.dumps(result, indent=2) + "\n")
        print(f"kept in {path}")
    if options.peers:
        save = ["--save"] * options.save
        subprocess.run([sys.executable, str(HERE / "peers.py"), *save], check=True)


if __name__ == "__main__":
    main()
