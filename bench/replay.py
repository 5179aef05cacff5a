"""The replay memory's two storages: what they hold and what they cost.

    ./bench.sh replay [--games breakout,pong] [--size 1000000] [--steps 1000] [flags]

Screens of 20,000 random steps of each game, over and over, fill a memory once and a third round
again. Prints resident bytes per step, microseconds to remember a step, milliseconds of a minibatch,
steps per second of training in turn (and per processor second, which other work on the machine
disturbs less), and what a checkpoint of all those screens takes in seconds and on disk.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from checkpoint.checkpointer import Checkpointer
from commands.exit_codes import exit_code
from commands.plain_parser import PlainParser, at_least
from commands.verbs import parse
from config import Config
from environment import ALEEnvironment
from envs.roms import find_rom
from main import construct
from replay_memory import ReplayMemory
from runs.position import Position
from runs.provenance import describe
from runs.run import Run

GAMES = "breakout,pong,seaquest,space_invaders"
PLAYED = 20_000
ARRAY_SIZE = 100_000  # of the array that sampling is compared with
CHUNK = 100  # steps of training in turn


def play(game: str, steps: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Screens and terminals of random play."""
    environment = ALEEnvironment(Config(), rom=find_rom(game), random_seed=1)
    rng = np.random.default_rng(0)
    screens, terminals = np.empty((steps, 84, 84), np.uint8), np.zeros(steps, np.bool_)
    environment.restart()
    for n in range(steps):
        environment.act(int(rng.integers(len(environment.action_names))))
        screens[n], terminals[n] = environment.screen(), environment.is_terminal()
        if terminals[n]:
            environment.restart()
    return screens, terminals


def fill(
    memory: ReplayMemory, screens: NDArray[np.uint8], terminals: NDArray[np.bool_], steps: int
) -> None:
    """Remember `steps` steps."""
    for n in range(steps):
        memory.add(0, 0, 0.0, screens[n % PLAYED], bool(terminals[n % PLAYED]))


def processor_seconds(work: Callable[[], object]) -> float:
    """What `work` takes of this process's time."""
    start = time.process_time()
    work()
    return time.process_time() - start


def training(parts: dict[str, Run], steps: int) -> dict[str, tuple[float, float]]:
    """Steps per second of training, by the clock and by processor seconds, in turn."""
    steps = -(-steps // CHUNK) * CHUNK
    clock, processor = dict.fromkeys(parts, 0.0), dict.fromkeys(parts, 0.0)
    for n in range(CHUNK, steps + 2 * CHUNK, CHUNK):
        for name, each in parts.items():
            start, begun = time.perf_counter(), time.process_time()
            each.agent.train(n + CHUNK, start=n)
            if n > CHUNK:  # the first round warms up
                clock[name] += time.perf_counter() - start
                processor[name] += time.process_time() - begun
    return {name: (steps / clock[name], steps / processor[name]) for name in parts}


def main() -> None:
    """A line a game."""
    parser = PlainParser(prog="./bench.sh replay", description=__doc__)
    parser.add_argument("--games", default=GAMES, help=f"[{GAMES}]")
    parser.add_argument(
        "--size", type=at_least(1, int), default=1_000_000, help="steps remembered [1000000]"
    )
    parser.add_argument(
        "--steps", type=at_least(0, int), default=1000, help="steps of training; 0: none [1000]"
    )
    options, flags = parser.parse_known_args()
    print(describe())
    for game in options.games.split(","):
        screens, terminals = play(game, PLAYED)
        task = parse("run", [game, "--random_seed", "1", "--backend", "cpu", *flags])
        common: dict[str, Any] = dict(
            csv_file=None, exploration_rate_start=0.1, exploration_rate_end=0.1
        )
        parts = {}
        sizes = {"compressed": options.size, "array": min(ARRAY_SIZE, options.size)}
        for storage, size in sizes.items():
            config = replace(task.config, replay_size=size, **common)
            parts[storage] = construct(replace(task, config=config), storage)
            parts[storage].agent.callbacks.clear()
            memory = parts[storage].memory
            assert memory
            before = psutil.Process().memory_info().rss
            seconds = processor_seconds(lambda: fill(memory, screens, terminals, size * 4 // 3))  # noqa: B023
            resident = (psutil.Process().memory_info().rss - before) / size
            sample = processor_seconds(lambda: [memory.sample() for _ in range(300)]) / 300  # noqa: B023
            print(
                f"{game:<15}{storage:<11}{size:>8} steps: {resident:7.1f} bytes per step resident, "
                f"remember {seconds / (size * 4 // 3) * 1e6:5.2f} us, "
                f"sample {sample * 1e3:.3f} ms",
                flush=True,
            )
            with tempfile.TemporaryDirectory() as folder:
                each = parts[storage]
                saved = replace(each.task.config, checkpoint_path=Path(folder))
                each.task = replace(each.task, config=saved)
                checkpointer = Checkpointer(each)
                start = time.perf_counter()
                busy = processor_seconds(lambda: checkpointer.save(Position(1, "train", 0)))  # noqa: B023
                disk = sum(path.stat().st_size for path in Path(folder).iterdir())
                print(
                    f"    checkpoint: {time.perf_counter() - start:.1f} s, {busy:.1f} of the "
                    f"processor, {disk / 1e6:.0f} MB on disk",
                    flush=True,
                )
        if options.steps:
            for storage, (clock, processor) in training(parts, options.steps).items():
                print(f"    training {storage:<11}{clock:7.1f} steps/s, {processor:7.1f} per CPU s")


if __name__ == "__main__":
    with exit_code("bench") as ending:
        main()
    sys.exit(ending.code)
