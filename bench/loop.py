"""The training loop of one agent for a while: prints steps a second.

    python bench/loop.py [--game breakout] [--steps 2000] [--datatype float32] [flags of train.sh]

The job is the one of bench/peers.py: exploration 0.1, an update every 4 steps, a 20,000-step replay
memory. Filling and warming up is not counted.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from main import wire
from verbs import Task, parse

JOB = """--replay_size 20000 --random_steps 1000 --exploration_rate_start 0.1
--exploration_rate_end 0.1 --random_seed 1 --backend cpu""".split()


def make_task(game: str, flags: list[str]) -> Task:
    """The job of the comparison with `flags` more."""
    task = parse("run", [game, *JOB, *flags])
    return replace(task, config=replace(task.config, csv_file=None, save_weights_prefix=None))


def steps_per_second(game: str, flags: list[str], steps: int, warm_up: int = 400) -> float:
    """Steps a second of the training phase."""
    task = make_task(game, flags)
    parts = wire(task, storage="array")
    parts.agent.callbacks.clear()
    parts.agent.play_random(task.config.random_steps)
    parts.agent.train(warm_up)
    start = time.perf_counter()
    parts.agent.train(steps)
    return steps / (time.perf_counter() - start)


if __name__ == "__main__":
    words = sys.argv[1:]
    game, steps = "breakout", 2000
    if "--game" in words:
        at = words.index("--game")
        game = words[at + 1]
        del words[at : at + 2]
    if "--steps" in words:
        at = words.index("--steps")
        steps = int(words[at + 1])
        del words[at : at + 2]
    print(f"{steps_per_second(game, words, steps):.1f}")
