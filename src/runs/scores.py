"""The result of whole games, by the published protocol."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from runs.human_scores import human_normalised


def print_summary(game: str, scores: Sequence[float]) -> None:
    """Print mean, deviation, median, minimum, maximum and the human-normalised score."""
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
    normalised = human_normalised(game, mean)
    if normalised is None:
        print("  human-normalised   no human score is published for this game")
    else:
        print(f"  human-normalised   {normalised:10.1f} %")
