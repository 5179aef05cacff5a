"""An average of the weights over many updates, which may play better than the newest weights.

Every update moves the weights towards a few transitions only. In an average most of this noise
cancels (Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging"). Tests
play with it and snapshots keep it, but nothing in training depends on it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from network import Network


def average_rate(decay: float, updates: int) -> float:
    """1 - d after update number `updates` since weights were drawn (from 1); 0: do not follow.

    d is `decay`, but at first smaller, so that the average is of about the last tenth of the
    updates: it soon forgets the weights of the beginning. Below 0.001 the average follows every
    k-th update only, with k times the rate: smaller changes would be lost in float32's rounding.
    """
    rate = max(1 - decay, 10 / (10 + updates))
    every = max(1, round(0.001 / rate))
    return every * rate if updates % every == 0 else 0.0


@torch.no_grad()
def follow(average: Network, online: Network, rate: float) -> None:
    """average = d average + (1 - d) weights, and running statistics likewise; `rate` is 1 - d."""
    average.weights.whole.lerp_(online.weights.whole, rate)
    for mean, newest in zip(_statistics(average), _statistics(online), strict=True):
        if mean.is_floating_point():
            mean.lerp_(newest, rate)
        else:
            mean.copy_(newest)
    average.follow_spectrum()  # NB! Singular vectors belong to their weights and have no average.


def _statistics(network: Network) -> list[Tensor]:
    singular = [f"{name}.{side}" for name, _ in network.spectral for side in ("left", "right")]
    return [each for name, each in network.statistics().items() if name not in singular]
