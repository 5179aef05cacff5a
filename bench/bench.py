"""How fast every part and the whole loop are on this machine.

    ./bench.sh [--rounds 3] [--backend cpu|gpu] [--save]

Each figure is the median of several measurements, taken in turn. Close other programs first: two
threads that wait for each other suffer most from a third. Other benchmarks, each with a --help:

    ./bench.sh peers    the same job on other deep Q-learning programs
    ./bench.sh loop     steps per second of one phase, with any flags of train.sh
    ./bench.sh replay   the replay memory's ways to keep screens
    ./bench.sh health   memory, files and threads of a long run
    ./bench.sh ingredients   what double Q-learning, C51 and all other pieces cost
    ./bench.sh sweeps   a sweep against a shell loop
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import ale_py
import ale_py.roms
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from commands.exit_codes import exit_code
from commands.plain_parser import PlainParser, at_least
from config import Config
from deepqnetwork import DeepQNetwork
from replay.array import ScreenArray
from replay_memory import Minibatch, ReplayMemory, Uniform
from runs.provenance import describe, versions

HERE = Path(__file__).resolve().parent
BATCH = 32
KERNELS = {  # what the library computes; all else of an update is what surrounds it
    "aten::mkldnn_convolution",
    "aten::convolution_backward",
    "aten::_slow_conv2d_forward",
    "aten::mm",
    "aten::addmm",
}
BFLOAT16 = ["--datatype", "bfloat16"]
LOOPS = {  # name: flags of bench/loop.py, whole processes
    "random phase, no-op steps included": "--phase random --steps 5000 --emulated".split(),
    "strict loop, float32": ["--steps", "1200"],
    "strict loop, bfloat16": ["--steps", "1200", *BFLOAT16],
    "overlapped loop, bfloat16": ["--steps", "1200", *BFLOAT16, "--overlap", "true"],
    "four games, bfloat16": ["--steps", "1200", *BFLOAT16, "--num_envs", "4"],
    "32 games, bfloat16": ["--steps", "1200", *BFLOAT16, "--num_envs", "32"],
    "test phase, one game": ["--phase", "test", "--steps", "3000"],
    "test phase, 16 games, bfloat16": "--phase test --steps 6000 --num_envs 16".split() + BFLOAT16,
}


EMULATION = {"ALE alone": False, "ALE alone, its own color averaging": True}


def milliseconds(work: Callable[[], object], repeats: int = 30, warm_up: int = 5) -> float:
    """Median time of `work`, until a GPU too has finished it."""
    times = []
    for n in range(warm_up + repeats):
        start = time.perf_counter()
        work()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        if n >= warm_up:
            times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def emulation_alone(*, color_averaging: bool, steps: int = 3000) -> float:
    """Steps per second of ALE repeating random actions for four frames, nothing else done."""
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
    settings = Config(replay_size=20_000, backend=backend)
    screens = ScreenArray(settings.replay_size, settings.screen_height, settings.screen_width)
    memory = ReplayMemory(settings, screens=screens, sampler=Uniform(rng))
    for n in range(settings.replay_size):
        memory.add(0, n % 4, 0.0, rng.integers(0, 256, (84, 84), np.uint8), n % 100 == 99)
    found = {"sampling a minibatch": milliseconds(memory.sample, 200)}
    batch = memory.sample()
    for datatype in ("float32", "bfloat16"):
        ours = replace(settings, datatype=datatype)
        network = DeepQNetwork(ours, num_actions=4, rng=rng)
        for count in (1, BATCH):
            states = np.ascontiguousarray(batch.states[:count])
            name = f"prediction, {datatype}, {count} state{'s' * (count > 1)}"
            found[name] = milliseconds(partial(network.predict, states), 100)
        found[f"weight update, {datatype}"] = milliseconds(partial(network.train, batch))
        if network.device.type == "cpu":
            alone = DeepQNetwork(replace(ours, threads=1), num_actions=4, rng=rng)
            whole = DeepQNetwork(replace(ours, threads=1, update_parts=1), num_actions=4, rng=rng)
            update, kernels = core_milliseconds(alone, whole, batch)
            found[f"weight update on one core, {datatype}"] = update
            found[f"its kernels alone, in one part, {datatype}"] = kernels
    return found


def core_milliseconds(
    network: DeepQNetwork, whole: DeepQNetwork, batch: Minibatch, rounds: int = 5
) -> tuple[float, float]:
    """Processor time of a weight update of `network`, and that of the convolutions and matrix
    products in one of `whole`, which computes the minibatch in one part; in turn, medians."""
    updates, kernels = [], []
    for _ in range(rounds):
        start = time.thread_time()
        for _ in range(10):
            network.train(batch)
        updates.append((time.thread_time() - start) * 100)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            for _ in range(10):
                whole.train(batch)
        spent = sum(e.self_cpu_time_total for e in profile.key_averages() if e.key in KERNELS)
        kernels.append(spent / 10_000)
    return statistics.median(updates), statistics.median(kernels)


def loop(flags: list[str]) -> float:
    """Steps per second of bench/loop.py."""
    command = [sys.executable, str(HERE / "loop.py"), *flags]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(answer.stdout.split()[-1])


def start_of_a_test() -> float:
    """Seconds from ./test.sh to its end, with a single step: the environment is made already."""
    with tempfile.TemporaryDirectory() as folder:
        snapshot = Path(folder) / "breakout_1.pkl"
        settings = Config(backend="cpu")
        network = DeepQNetwork(settings, num_actions=4, rng=np.random.default_rng(0))
        network.save_weights(snapshot, epoch=1, info={"game": "breakout"})
        command = [str(HERE.parent / "test.sh"), str(snapshot), "--test_steps", "1"]
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - start


def main() -> None:
    """Measure, print the table, keep it if asked."""
    parser = PlainParser(prog="./bench.sh", description=__doc__)
    parser.add_argument(
        "--rounds",
        type=at_least(1, int),
        default=3,
        help="measurements of each figure, about 3 minutes a round [3]",
    )
    parser.add_argument(
        "--backend", choices=["cpu", "gpu"], default="cpu", help="what computes the network [cpu]"
    )
    parser.add_argument(
        "--save",
        action="store_true",
        help="keep the result in bench/results, with date and machine",
    )
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


if __name__ == "__main__":
    with exit_code("bench") as ending:
        main()
    sys.exit(ending.code)
