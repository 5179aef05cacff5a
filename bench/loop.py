"""A phase of one agent for a while: prints steps per second.

    ./bench.sh loop [--game breakout] [--phase train|test|random] [--steps 2000]
                         [--emulated] [--memory] [flags of train.sh, like --datatype bfloat16]

The job is the one of bench/peers.py: exploration 0.1, an update every 4 steps, a 20,000-step replay
memory. Filling and warming up is not counted. --emulated counts the no-op steps between episodes
too, as emulation alone does. --memory prints the process's megabytes beside the replay memory.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from commands.exit_codes import exit_code
from commands.plain_parser import PlainParser
from commands.verbs import Task, parse
from errors import UserError
from main import construct
from replay.make import choose_storage, storage_bytes

JOB = """--replay_size 20000 --random_steps 1000 --exploration_rate_start 0.1
--exploration_rate_end 0.1 --random_seed 1""".split()


def make_task(game: str, flags: list[str]) -> Task:
    """The job of the comparison with `flags` more, computed on the CPU if they do not say where."""
    where = [] if "--backend" in flags else ["--backend", "cpu"]
    task = parse("run", [game, *JOB, *where, *flags])
    return replace(task, config=replace(task.config, csv_file=None, save_weights_prefix=None))


def steps_per_second(
    game: str,
    flags: list[str],
    steps: int,
    *,
    warm_up: int = 400,
    phase: str = "train",
    emulated: bool = False,
) -> float:
    """Steps per second of a phase: the agent's, or those `emulated`, the no-op steps included."""
    task = make_task(game, flags)
    on_cpu = task.config.backend == "cpu"
    agent = construct(task, "array" if on_cpu else choose_storage(task.config)).agent
    agent.callbacks.clear()
    environment: Any = agent.games[0].environment
    counted = 0
    if emulated and task.config.num_envs > 1:
        raise UserError("--emulated counts the steps of one game: leave --num_envs out.")
    if emulated:
        act = environment.act

        def count(action: int) -> float:
            nonlocal counted
            counted += 1
            return float(act(action))

        environment.act = count
    if phase == "train":
        agent.fill_memory(task.config.random_steps)
    run = {"random": agent.fill_memory, "train": agent.train, "test": agent.test}[phase]
    run(warm_up)
    warmed_up, counted = agent.phase_step, 0
    start = time.perf_counter()
    run(warmed_up + steps, start=warmed_up)
    seconds = time.perf_counter() - start
    return (counted if emulated else agent.phase_step - warmed_up) / seconds


def megabytes_beside_replay(game: str, flags: list[str], steps: int) -> float:
    """What a training process takes resident, without the screens of its replay memory."""
    task = make_task(game, flags)
    agent = construct(task, "array").agent
    agent.callbacks.clear()
    agent.fill_memory(task.config.random_steps)
    agent.train(steps)
    assert agent.memory
    kept = storage_bytes("array", task.config, agent.memory.count)
    return float(psutil.Process().memory_info().rss - kept) / 1e6


def main(arguments: Sequence[str]) -> int:
    """Measure and print. Returns an exit code, see errors.py."""
    with exit_code("bench") as ending:
        options = PlainParser(prog="./bench.sh loop", description=__doc__)
        options.add_argument("--game", default="breakout", help="[breakout]")
        phases = ("random", "train", "test")
        options.add_argument("--phase", default="train", choices=phases, help="[train]")
        options.add_argument("--steps", type=int, default=2000, help="that are counted [2000]")
        options.add_argument("--emulated", action="store_true", help="count no-op steps too")
        options.add_argument("--memory", action="store_true", help="print megabytes instead")
        given, flags = options.parse_known_args(arguments)
        if given.steps < 1:
            raise UserError("--steps must be at least 1.")
        if given.memory:
            found = megabytes_beside_replay(given.game, flags, given.steps)
        else:
            found = steps_per_second(
                given.game, flags, given.steps, phase=given.phase, emulated=given.emulated
            )
        print(f"{found:.1f}")
    return ending.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
