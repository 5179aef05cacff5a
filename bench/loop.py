"""A phase of one agent for a while: prints steps a second.

    python bench/loop.py [--game breakout] [--phase train|test|random] [--steps 2000]
                         [flags of train.sh, like --datatype bfloat16 --num_envs 16]

The job is the one of bench/peers.py: exploration 0.1, an update every 4 steps, a 20,000-step replay
memory. Filling and warming up is not counted.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from parts import wire
from verbs import Task, parse

JOB = """--replay_size 20000 --random_steps 1000 --exploration_rate_start 0.1
--exploration_rate_end 0.1 --random_seed 1 --backend cpu""".split()


def make_task(game: str, flags: list[str]) -> Task:
    """The job of the comparison with `flags` more."""
    task = parse("run", [game, *JOB, *flags])
    return replace(task, config=replace(task.config, csv_file=None, save_weights_prefix=None))


def steps_per_second(
    game: str, flags: list[str], steps: int, *, warm_up: int = 400, phase: str = "train"
) -> float:
    """Steps a second of a phase."""
    task = make_task(game, flags)
    agent = wire(task, storage="array").agent
    agent.callbacks.clear()
    if phase == "train":
        agent.play_random(task.config.random_steps)
    run = {"random": agent.play_random, "train": agent.train, "test": agent.test}[phase]
    run(warm_up)
    start = time.perf_counter()
    warmed_up = agent.phase_step
    run(warmed_up + steps, start=warmed_up)
    return (agent.phase_step - warmed_up) / (time.perf_counter() - start)


if __name__ == "__main__":
    options = argparse.ArgumentParser(allow_abbrev=False)
    options.add_argument("--game", default="breakout")
    options.add_argument("--phase", default="train")
    options.add_argument("--steps", type=int, default=2000)
    given, flags = options.parse_known_args()
    print(f"{steps_per_second(given.game, flags, given.steps, phase=given.phase):.1f}")
