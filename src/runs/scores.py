"""The result of whole games, by the published protocol."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from atomic import csv_bytes
from paths import portable
from runs.human_scores import human_normalized
from runs.run import Run


def games(count: int, asked: int) -> str:
    """1 game, 30 games, or 5 of 30 games."""
    return f"{count}{f' of {asked}' if count < asked else ''} game{'s' * (max(count, asked) != 1)}"


def print_summary(game: str, scores: Sequence[float], asked: int, *, is_ale: bool = True) -> None:
    """Print mean, standard deviation, median, minimum, maximum and human-normalized score.

    Human scores are known of games of ALE. `asked` is the number of games that should have been
    played.
    """
    if not scores:
        print("No game was finished.")
        return
    mean = statistics.fmean(scores)
    deviation = statistics.stdev(scores) if len(scores) > 1 else 0.0
    print(f"{game}, {games(len(scores), asked)}")
    print(f"  mean               {mean:10.2f}")
    print(f"  standard deviation {deviation:10.2f}")
    print(f"  median             {statistics.median(scores):10.2f}")
    print(f"  minimum            {min(scores):10.2f}")
    print(f"  maximum            {max(scores):10.2f}")
    normalized = human_normalized(game, mean) if is_ale else None
    if normalized is None:
        print("  human-normalized   no human score is published for this game")
    else:
        print(f"  human-normalized   {normalized:10.1f} %")


def write_scores(parts: Run) -> None:
    """Complete the row of a test in its CSV: the snapshot, the seed, median and every score.

    If it cannot be written, the end of the run tries again and says so.
    """
    path, rows, scores = parts.task.config.csv_file, parts.stats.rows, parts.stats.scores
    if not path or not rows:
        return
    row = rows[-1] | {
        "meanq": "",  # not measured: there are no validation states
        "meancost": "",
        "snapshot": portable(parts.task.config.load_weights or Path()),
        "random_seed": parts.task.config.random_seed,
        "median_game_reward": statistics.median(scores) if scores else "",
        "game_rewards": " ".join(f"{score:.15g}" for score in scores),
    }
    parts.owed.write(path, csv_bytes(row, [row]))
