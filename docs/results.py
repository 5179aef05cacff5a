"""Tests the agents that come with the project and prints the table of their results.

    docs/results.sh [--test_games 30] [--random_seed 1] [--play [GAME...]] [--ship SNAPSHOT]

With --play, each agent in agents/, or those of the games, plays by the published protocol (30
games, at most 18,000 frames per game, random no-op starts) with 5 % and 1 % of random actions, and
with sticky actions; every score is kept in agents/<agent>_scores.csv. Without it, the table is made
of the scores that are there. The intervals are 95 % bootstrap intervals of the mean over the games
of one agent: they say how well that agent was measured, not how good another seed's would be.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import cast

import numpy as np
from scipy.stats import bootstrap

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
sys.path.append(str(Path(__file__).resolve().parent.parent))  # nvis/ lies beside src/

from api.load import load
from commands.exit_codes import exit_code
from config import ROOT
from deepqnetwork import DeepQNetwork
from runs.human_scores import human_normalized
from snapshot.format import game_of, read_snapshot

AGENTS = ROOT / "agents"
FRAMES = 18_000  # of a game, five minutes: Mnih et al. 2015
WAYS = {  # of acting: flags
    "5 % random": ["--exploration_rate_test", "0.05"],
    "1 % random": ["--exploration_rate_test", "0.01"],
    "sticky 25 %": ["--exploration_rate_test", "0", "--repeat_action_probability", "0.25"],
}
PUBLISHED = {  # mean scores with 5 % random actions: simple_dqn's README; Mnih et al. 2015
    "breakout": "simple_dqn 338.0; DeepMind 401.2 +- 26.9",
    "pong": "simple_dqn 19.7; DeepMind 18.9 +- 1.3",
    "seaquest": "DeepMind 5286 +- 1310",
    "space_invaders": "DeepMind 1976 +- 893",
}


def play(snapshot: Path, games: int, seed: int) -> None:
    """Test an agent in every way and keep its scores."""
    rows = []
    for way, flags in WAYS.items():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "scores.csv"
            words = ["--test_games", str(games), "--max_episode_frames", str(FRAMES)]
            words += ["--num_envs", "10", "--random_seed", str(seed)]
            words += ["--csv_file", str(file), *flags]
            subprocess.run([ROOT / "test.sh", snapshot, *words], check=True)
            with file.open(newline="") as opened:
                row = next(csv.DictReader(opened))
        rows.append({"acting": way, "seed": seed, "scores": row["game_rewards"]})
    with scores_of(snapshot).open("w", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def ship(snapshot: Path) -> None:
    """Put a snapshot, without its optimizer's states, and its run's results into agents/."""
    agent, _ = load(snapshot)
    network = cast(DeepQNetwork, agent.network)
    optimizer = network.optimizer
    optimizer.updates = optimizer.reset_at = optimizer.drawn_at = 0  # then no states are saved
    name = snapshot.stem.rpartition("_")[0]
    results = [snapshot.parent.parent / "results" / f"{name}{end}" for end in (".csv", ".json")]
    if missing := [str(path) for path in results if not path.exists()]:
        sys.exit(f"There is no {' and no '.join(missing)}: nothing was changed.")
    if not any(
        line.startswith(f"{agent.snapshot.epoch},test,")
        for line in results[0].read_text().splitlines()
    ):
        sys.exit(f"{results[0]} has no test of epoch {agent.snapshot.epoch}: nothing was changed.")
    for old in AGENTS.glob(f"{agent.snapshot.info['game']}_*"):
        old.unlink()
    network.save_weights(
        AGENTS / snapshot.name, epoch=agent.snapshot.epoch, info=agent.snapshot.info
    )
    for path in results:
        shutil.copy(path, AGENTS)
    picture = AGENTS / f"{name}.png"
    subprocess.run([ROOT / "plot.sh", AGENTS / f"{name}.csv", "--png_file", picture], check=True)


def scores_of(snapshot: Path) -> Path:
    """Where the scores of an agent are kept."""
    return snapshot.with_name(f"{snapshot.stem}_scores.csv")


def mean(scores: np.ndarray) -> str:  # type: ignore[type-arg]
    """The mean with its 95 % interval."""
    if len(set(scores)) < 2:
        return f"{scores.mean():.1f}"
    low, high = bootstrap((scores,), np.mean, rng=np.random.default_rng(0)).confidence_interval
    return f"{scores.mean():.1f} ({low:.1f} to {high:.1f})"


def lines(snapshot: Path) -> list[str]:
    """An agent's lines of the table."""
    info = read_snapshot(snapshot).info
    game = game_of(snapshot, read_snapshot(snapshot))
    about = json.loads(next(AGENTS.glob(f"{snapshot.stem.rpartition('_')[0]}.json")).read_text())
    with (AGENTS / f"{snapshot.stem.rpartition('_')[0]}.csv").open(newline="") as opened:
        last = list(csv.DictReader(opened))[-1]
    hours = float(last["total_time"]) / 3600
    found = []
    with scores_of(snapshot).open(newline="") as opened:
        for row in csv.DictReader(opened):
            scores = np.array([float(score) for score in row["scores"].split()])
            human = human_normalized(game, float(scores.mean()))
            found.append(
                f"| {game} | {row['acting']} | {mean(scores)} | {np.median(scores):g} "
                f"| {'' if human is None else f'{human:.0f} %'} | {PUBLISHED.get(game, '')} "
                f"| {info['total_train_steps']:,} | {hours:.1f} | {about['seed']} "
                f"| `{snapshot.name}`, {about['versions'].get('commit', about.get('commit', ''))} |"
            )
    return found


def main() -> None:
    """Play if asked to, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--play", nargs="*", metavar="GAME", help="test the agents of these games, or all, first"
    )
    parser.add_argument("--test_games", type=int, default=30, help="games of each test [30]")
    parser.add_argument("--random_seed", type=int, default=1, help="seed of the tests [1]")
    parser.add_argument("--ship", type=Path, metavar="SNAPSHOT", help="put it into agents/ first")
    options = parser.parse_args()
    if options.ship:
        ship(options.ship)
    agents = sorted(AGENTS.glob("*.pkl"))
    if options.play is not None:
        for snapshot in agents:
            if not options.play or game_of(snapshot, read_snapshot(snapshot)) in options.play:
                play(snapshot, options.test_games, options.random_seed)
    print(
        "| game | acting | mean score (95 %) | median | human-normalized | published, 5 % random "
        "| training steps | hours | seed | agent, commit |\n"
        "|---|---|---|---|---|---|---|---|---|---|"
    )
    for snapshot in agents:
        if scores_of(snapshot).exists():
            print("\n".join(lines(snapshot)))


if __name__ == "__main__":
    with exit_code("results") as ending:
        main()
    sys.exit(ending.code)
