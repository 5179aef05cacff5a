"""What a few seeds allow to be said, by the method of Agarwal et al. 2021 (their library, rliable).

Scores come in strata, an array of runs for each game. Runs are drawn again within each game, 2,000
times, and the middle 95 % of what comes of it are the interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, trim_mean

RESAMPLES = 2_000
LEVEL = 0.95
FEWEST_SEEDS = 2  # for an interval
Scores = NDArray[np.float64]


class Estimate(NamedTuple):
    """A value, and the interval around it."""

    value: Any
    low: Any
    high: Any


def interquartile_mean(strata: Sequence[Scores]) -> Estimate:
    """The mean of the middle half of all scores; of arrays (runs, n), n such means at once."""
    return _estimate(strata, lambda *drawn, axis: trim_mean(_joined(drawn, axis), 0.25, axis=axis))


def probability_of_improvement(ours: Sequence[Scores], theirs: Sequence[Scores]) -> Estimate:
    """That a run of ours has a higher score than one of theirs in the same game; ties count half.

    The mean over the games, of which both must have the same ones.
    """

    def statistic(*drawn: Scores, axis: int) -> Scores:
        x, y = ([np.moveaxis(d, axis, -1) for d in half] for half in _halves(drawn))
        return np.mean([_wins(a, b) for a, b in zip(x, y, strict=True)], axis=0)  # type: ignore[no-any-return]

    return _estimate([*ours, *theirs], statistic)


def _wins(x: Scores, y: Scores) -> Scores:
    difference = np.sign(x[..., :, None] - y[..., None, :])
    return (difference.mean(axis=(-2, -1)) + 1) / 2  # type: ignore[no-any-return]


def _halves(drawn: Sequence[Scores]) -> tuple[Sequence[Scores], Sequence[Scores]]:
    return drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]


def _joined(drawn: Sequence[Scores], axis: int) -> Scores:
    return np.concatenate(drawn, axis=axis)


def _estimate(strata: Sequence[Scores], statistic: Callable[..., Scores]) -> Estimate:
    value = statistic(*strata, axis=0)
    found = bootstrap(
        tuple(strata),
        statistic,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        vectorized=True,
        axis=0,
        rng=np.random.default_rng(0),  # the same picture of the same results
    )
    low, high = found.confidence_interval
    return Estimate(value, low, high)
