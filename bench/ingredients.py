"""What each ingredient costs: milliseconds of an update, steps per second, alone and together.

    ./bench.sh ingredients [--rounds 5] [--datatypes float32,bfloat16] [--steps 400] [--save]

An update is a minibatch drawn from a full replay memory of a million steps, learned from, and its
priorities set. One thread computes it, so that its processor time is the cost, which other programs
on the machine change little; ratios of it are what counts. Plain updates and those of a piece are
measured in turn. Steps per second are those of one core by itself.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from bench.loop import make_task
from commands.exit_codes import exit_code
from commands.plain_parser import PlainParser, at_least
from config import Config, check
from deepqnetwork import DeepQNetwork
from main import construct
from replay.make import make_sampler
from replay_memory import ReplayMemory
from runs.provenance import describe, versions

HERE = Path(__file__).resolve().parent
STEPS, DIFFERENT, EPISODE = 1_000_000, 2_000, 500  # steps kept, screens among them, steps a life
UPDATES = 6  # measured at a time
TOGETHER = "dueling, double, n-step 3, PER, C51"
CASES: dict[str, dict[str, Any]] = {
    "double": dict(double_q=True),
    "dueling": dict(dueling=True),
    "n-step 3": dict(n_step=3),
    "PER": dict(prioritized=True),
    "C51": dict(distribution="c51"),
    "quantile": dict(distribution="quantile"),
    "IQN": dict(distribution="iqn"),
    "noisy": dict(noisy=True),
    "Munchausen": dict(munchausen=True),
    "Adam": dict(optimizer="adam_corrected"),
    "layer normalization": dict(normalization="layer"),
    "spectral normalization": dict(normalization="spectral"),
    "NIPS network": dict(network="nips"),
    "Impala network": dict(network="impala"),
    TOGETHER: dict(dueling=True, double_q=True, n_step=3, prioritized=True, distribution="c51"),
    "Rainbow": dict(
        dueling=True,
        double_q=True,
        n_step=3,
        prioritized=True,
        distribution="c51",
        noisy=True,
        optimizer="adam_corrected",
    ),
}


class Screens:
    """A million steps' screens of which few differ, so that they fit anywhere."""

    def __init__(self) -> None:
        """Random pixels."""
        size = (DIFFERENT, 84, 84)
        self.screens = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)

    def write(self, slot: int, screen: NDArray[np.uint8]) -> None:
        """They stay as they are."""

    def windows(self, ends: NDArray[np.int64], out: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See ScreenStore."""
        index = ends[:, None] + np.arange(1 - out.shape[1], 1)
        np.take(self.screens, index % DIFFERENT, axis=0, out=out)
        return out


class Update:
    """Weight updates with the flags of a case, and all that belongs to them."""

    def __init__(self, flags: dict[str, Any], screens: Screens) -> None:
        """A full replay memory and a new network."""
        self.config = config = Config(
            replay_size=STEPS, backend="cpu", threads=1, bias=True, **flags
        )
        sampler = make_sampler(config, np.random.default_rng(1))
        self.memory = memory = ReplayMemory(config, screens=screens, sampler=sampler)
        memory.added[:] = STEPS + STEPS // 2
        memory.terminals[0, EPISODE - 1 :: EPISODE] = True
        memory.begins[0, ::EPISODE] = True
        self.network = DeepQNetwork(config, num_actions=4, rng=np.random.default_rng(2))

    def __call__(self) -> None:
        """Four steps remembered, one update."""
        for _ in range(self.config.train_frequency):
            self.memory.add(0, 0, 0.0, np.empty(0, np.uint8), terminal=False)
        learned = self.network.train(self.memory.sample())
        if learned:
            self.memory.sampler.update(*learned)

    def without_network(self) -> None:
        """The replay memory's part of an update."""
        for _ in range(self.config.train_frequency):
            self.memory.add(0, 0, 0.0, np.empty(0, np.uint8), terminal=False)
        index, _ = self.memory.sampler.draw(self.memory)
        self.memory.sampler.update(index, np.random.default_rng(3).random(len(index), np.float32))


def cost(work: Callable[[], None], times: int = UPDATES) -> tuple[float, float]:
    """Milliseconds of processor time and of time, each."""
    wall, cpu = time.perf_counter(), time.thread_time()
    for _ in range(times):
        work()
    return (
        1000 * (time.thread_time() - cpu) / times,
        1000 * (time.perf_counter() - wall) / times,
    )


def ratio(plain: Update, other: Update, rounds: int) -> dict[str, float]:
    """A case's update beside the plain one, in turn: A B A B."""
    found = []
    for update in (plain, other):
        cost(update, 3)
    for _ in range(rounds):
        a, b = cost(plain), cost(other)
        found.append((b[0] / a[0], b[0], b[1]))
    names = ("ratio", "cpu", "wall")
    return {
        name: statistics.median(column)
        for name, column in zip(names, zip(*found, strict=True), strict=True)
    }


def steps_per_second(flags: dict[str, Any], steps: int) -> float:
    """Training steps of Breakout per second of one core."""
    words = [word for k, v in flags.items() for word in (f"--{k}", str(v).lower())]
    task = make_task("breakout", [*words, "--threads", "1", "--bias", "true"])
    agent = construct(task, "array").agent
    agent.callbacks.clear()
    agent.fill_memory(task.config.random_steps)
    agent.train(100)
    start = time.process_time()
    agent.train(100 + steps, start=100)
    return steps / (time.process_time() - start)


def main() -> None:
    """Measure, print a table, keep it if asked."""
    options = PlainParser(prog="./bench.sh ingredients", description=__doc__)
    options.add_argument(
        "--rounds", type=at_least(1, int), default=5, help="measurements of each [5]"
    )
    options.add_argument("--datatypes", default="float32,bfloat16", help="[float32,bfloat16]")
    options.add_argument(
        "--steps", type=at_least(0, int), default=400, help="played of each case; 0: none [400]"
    )
    options.add_argument("--save", action="store_true", help="keep the table in bench/results")
    given = options.parse_args()
    datatypes = [check("datatype", word) for word in given.datatypes.split(",")]
    screens = Screens()
    table: dict[str, Any] = {}
    print("| | datatype | ms, core | ms | ratio | steps/s, core |\n|---|---|---|---|---|---|")
    for datatype in datatypes:
        base = dict(datatype=datatype)
        plain = Update(base, screens)
        for name, flags in {"plain": {}, **CASES}.items():
            row = ratio(plain, Update(base | flags, screens), given.rounds)
            row["steps"] = steps_per_second(base | flags, given.steps) if given.steps else 0.0
            table[f"{name}, {datatype}"] = row
            print(
                f"| {name} | {datatype} | {row['cpu']:.1f} | {row['wall']:.1f} | "
                f"{row['ratio']:.2f} | {row['steps']:.0f} |",
                flush=True,
            )
        prioritized = Update(base | dict(prioritized=True), screens)
        prioritized.without_network()  # a million steps enter the tree at once
        uniform, sum_tree = (cost(u.without_network, 300)[0] for u in (plain, prioritized))
        share = (sum_tree - uniform) / table[f"plain, {datatype}"]["cpu"]
        print(
            f"\nSum tree of {STEPS} steps, {datatype}: {sum_tree - uniform:.2f} ms an update more "
            f"than uniform draws, {share:.1%} of a plain update\n",
            flush=True,
        )
        table[f"sum tree, {datatype}"] = {"cpu": sum_tree - uniform, "share": share}
    if given.save:
        path = HERE / "results" / time.strftime("ingredients_%Y-%m-%d_%H%M.json")
        about = {"machine": describe(), "versions": versions(), "rounds": given.rounds}
        path.write_text(json.dumps({**about, "table": table}, indent=2) + "\n")
        print(f"kept in {path}")


if __name__ == "__main__":
    with exit_code("bench") as ending:
        main()
    sys.exit(ending.code)
