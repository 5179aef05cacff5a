"""The result of whole games, by the published protocol."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from runs.human_scores import human_normalized


def print_summary(game: str, scores: Sequence[float]) -> None:
    """Print mean, deviation, median, minimum, maximum and the human-normalized score."""
    if not scores:
        print("No game was finished.")
        return
    mean = statistics.fmean(scores)
    deviation = statistics.stdev(scores) if len(scores) > 1 else 0.0
    print(f"{game}, {len(scores)} games")
    print(f"  mean               {mean:10.2f}")
    print(f"  standard deviation {deviation:10.2f}")
    print(f"  median             {statistics.median(scores):10.2f}")
    print(f"  minimum            {min(scores):10.2f}")
    print(f"  maximum            {max(scores):10.2f}")
    normalized = human_normalized(game, mean)
    if normalized is None:
        print("  human-normalized   no human score is published for this game")
    else:
        print(f"  human-normalized   {normalized:10.1f} %")
