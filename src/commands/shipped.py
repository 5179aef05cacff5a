"""The agents that come with the project, and the list of games."""

from __future__ import annotations

import csv
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from envs.roms import game_name, known_games
from errors import UserError
from paths import earlier_snapshots, name_and_epoch
from runs.human_scores import SCORES

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shipped:
    """A snapshot in agents/ and what its run scored."""

    path: Path
    game: str
    epoch: int
    score: float | None  # mean of the testing phase of its epoch; None if there is no row


def shipped_agents(folder: Path) -> list[Shipped]:
    """The agents in a folder: the last snapshot of each run, by game, the best score first."""
    games = sorted(known_games(), key=len, reverse=True)
    found = []
    for name in sorted({name_and_epoch(path)[0] for path in folder.glob("*_*.pkl")}):
        prefix = folder / name
        snapshots = earlier_snapshots(prefix)
        game = next((game for game in games if f"{name}_".startswith(f"{game}_")), None)
        if snapshots and game:
            epoch = name_and_epoch(snapshots[-1])[1]
            score = _score(folder / f"{name}.csv", epoch)
            found.append(Shipped(snapshots[-1], game, epoch, score))
    return sorted(found, key=lambda agent: (agent.game, -(agent.score or 0.0)))


def _score(path: Path, epoch: int) -> float | None:
    try:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                if (row["epoch"], row["phase"]) == (str(epoch), "test"):
                    return float(row["average_reward"])
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        pass
    return None


def find_agent(folder: Path, word: str) -> Path | None:
    """The best shipped agent of a game, if there is one."""
    agents = [agent for agent in shipped_agents(folder) if agent.game == game_name(word)]
    return agents[0].path if agents else None


def choose_agent(folder: Path, usage: str) -> Path:
    """Ask the user to choose one of the shipped agents.

    Raises UserError, which lists the agents, if there is no terminal.
    """
    agents = shipped_agents(folder)
    if not agents or not (sys.stdin.isatty() and sys.stderr.isatty()):
        script, games = usage.split(" ")[0], list(dict.fromkeys(agent.game for agent in agents))
        if not games:
            raise UserError(
                f"Name a snapshot: {script} snapshots/breakout_200.pkl. --help explains the flags."
            )
        raise UserError(
            f"Name a snapshot or a game: {script} {games[0]}. Agents of {', '.join(games)} come "
            "with the project; --help explains the flags."
        )
    print("Agents that come with the project:", file=sys.stderr)
    for number, agent in enumerate(agents, 1):
        print(f"  {number}  {_describe(agent)}", file=sys.stderr)
    prompt = f"Which one? [1 to {len(agents)}, Enter for 1] "
    print(prompt, end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip() or "1"
    if not answer.isdecimal() or not 1 <= int(answer[:9]) <= len(agents):
        raise UserError(f"Answer with a number from 1 to {len(agents)}, or call it as {usage}.")
    return agents[int(answer) - 1].path


def _describe(agent: Shipped) -> str:
    score = "" if agent.score is None else f", mean score {agent.score:.1f}"
    human = f" (a human: {SCORES[agent.game][1]:g})" if score and agent.game in SCORES else ""
    return f"{agent.game:16} {agent.path.name}: epoch {agent.epoch}{score}{human}"


def print_games(folder: Path) -> None:
    """Print the games, the published human and random scores, and the agents that are there."""
    agents = shipped_agents(folder)
    print(f"{'game':22}{'random':>10}{'human':>10}  agent that comes with the project")
    for game in known_games():
        scores = (
            [f"{score:10.1f}" for score in SCORES[game]] if game in SCORES else [f"{'-':>10}"] * 2
        )
        print(f"{game:22}{''.join(scores)}  {_of_game(agents, game)}".rstrip())
    print("Mean scores; those of a random and a human player are from Wang et al. 2016, table 2.")
    print("./train.sh GAME trains an agent, ./play.sh GAME shows the one listed here.")
    print("An agent's score is that of the test phase after its epoch; README.md has longer tests.")


def _of_game(agents: Sequence[Shipped], game: str) -> str:
    of_it = [agent for agent in agents if agent.game == game]
    if not of_it:
        return ""
    best = of_it[0]
    score = "" if best.score is None else f" {best.score:.1f}"
    more = f" and {len(of_it) - 1} more" if len(of_it) > 1 else ""
    return f"{best.path.parent.name}/{best.path.name}{score}{more}"
