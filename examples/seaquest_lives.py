"""Why an agent of Seaquest loses its lives: divers and air in each of them, from the game's memory.

    .venv/bin/python examples/seaquest_lives.py [SNAPSHOT] [--games 6]

The submarine must come up for air, and it needs a diver on board for that: without one, it loses a
life at the surface. The screen shows both, but the game's memory is easier to read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, NamedTuple

sys.path.append(str(Path(__file__).resolve().parent.parent))

from simple_dqn import UserError, load

# Bytes of the game's memory.
OXYGEN = 102  # 64 is full
DIVERS = 62  # on board, at most 6

FILLING = 60  # steps at a life's beginning in which its oxygen is filled
LOW, HIGH = 45, 60  # oxygen that falls below one and later reaches the other was filled up


class Life(NamedTuple):
    """What happened in a life."""

    steps: int
    divers: int  # picked up
    refills: int  # of oxygen


def play(agent: Any, environment: Any, seed: int) -> tuple[list[Life], float]:
    """The lives of one game, played with 5 % of random actions, and its score."""
    state, info = environment.reset(seed=seed)
    lives: list[Life] = []
    over = False
    while not over:
        steps = divers = refills = on_board = 0
        low, left = False, info["lives"]
        while not over and info["lives"] == left:
            state, _, terminated, truncated, info = environment.step(agent.act(state, 0.05))
            over = terminated or truncated
            memory = environment.world.ale.getRAM()
            steps += 1
            divers += max(int(memory[DIVERS]) - on_board, 0)
            on_board = int(memory[DIVERS])
            if low and memory[OXYGEN] >= HIGH:
                refills += 1
                low = False
            low = low or (steps > FILLING and memory[OXYGEN] < LOW)
        lives.append(Life(steps, divers, refills))
    return lives, info["score"]


def main() -> int:
    """Play the games and print each of their lives."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("snapshot", nargs="?", default="seaquest", help="default: %(default)s")
    parser.add_argument("--games", type=int, default=6, help="default: %(default)s")
    arguments = parser.parse_args()
    try:
        flags = dict(backend="cpu", max_episode_frames=18000, random_seed=1)
        agent, environment = load(arguments.snapshot, **flags)
        if agent.snapshot.info.get("game") != "seaquest":
            raise UserError(f"{arguments.snapshot} does not play Seaquest: give one that does.")
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print("game  life  steps  divers  refills")
    for game in range(1, arguments.games + 1):
        lives, score = play(agent, environment, seed=game)
        for number, (steps, divers, refills) in enumerate(lives, start=1):
            print(f"{game:4}  {number:4}  {steps:5}  {divers:6}  {refills:7}")
        print(f"      score {score:g}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
