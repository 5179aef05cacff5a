"""What a few seeds allow to be said, against values computed by hand and the slow, obvious way."""

from __future__ import annotations

import numpy as np
import pytest

from plots.intervals import interquartile_mean, probability_of_improvement


def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end() -> None:
    strata = [np.array([0.0, 1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0, 1000.0])]
    assert interquartile_mean(strata).value == pytest.approx((2 + 3 + 4 + 5) / 4)


def test_the_interval_is_that_of_runs_drawn_again_within_each_game() -> None:
    rng = np.random.default_rng(1)
    strata = [rng.normal(10, 1, 5), rng.normal(50, 20, 5)]
    found = interquartile_mean(strata)
    means = []
    for _ in range(5_000):
        drawn = np.sort(np.concatenate([rng.choice(scores, 5) for scores in strata]))
        means.append(drawn[2:-2].mean())
    low, high = np.percentile(means, [2.5, 97.5])
    assert (found.low, found.high) == (pytest.approx(low, abs=1), pytest.approx(high, abs=1))
    assert found.low < found.value < found.high


def test_curves_have_an_interval_at_each_epoch() -> None:
    values = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    found = interquartile_mean([values])
    np.testing.assert_allclose(found.value, [2, 20])
    np.testing.assert_allclose(found.low * 10, found.low[::-1][0] * np.array([1, 10]))
    assert (found.low < found.value).all()


def test_the_probability_of_improvement_counts_pairs_within_games() -> None:
    ours = [np.array([1.0, 3.0]), np.array([100.0, 300.0])]
    theirs = [np.array([2.0, 3.0]), np.array([0.0, 0.0])]
    # First game: 1 < 2, 1 < 3, 3 > 2, 3 = 3; second game: always.
    found = probability_of_improvement(ours, theirs)
    assert found.value == pytest.approx(((1 + 0.5) / 4 + 1) / 2)
    assert 0.5 <= found.low <= found.value <= found.high <= 1
    back = probability_of_improvement(theirs, ours)
    assert back.value == pytest.approx(1 - found.value)


def test_the_same_scores_have_the_same_interval() -> None:
    scores = [np.array([1.0, 5.0, 9.0, 2.0])]
    assert interquartile_mean(scores) == interquartile_mean(scores)
