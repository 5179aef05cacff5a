"""An average of the weights over many updates, which plays better than the newest weights.

Every update moves the weights towards a few transitions only. In an average most of this noise
cancels (Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging"). Tests
play with it and snapshots keep it, but nothing in training depends on it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from network import Network


@torch.no_grad()
def follow(average: Network, online: Network, decay: float, updates: int) -> None:
    """Add the weights and running statistics after update number `updates` since a reset (from 1).

    average = d average + (1 - d) weights, with d = `decay`. At first d is smaller, so that the
    average is of about the last tenth of the updates: it soon forgets the weights of the beginning.
    """
    rate = max(1 - decay, 10 / (10 + updates))
    for mean, newest in zip(_tensors(average), _tensors(online), strict=True):
        if mean.is_floating_point():
            mean.lerp_(newest, rate)
        else:
            mean.copy_(newest)
    average.follow_spectrum()  # NB! Singular vectors belong to their weights and have no average.


def _tensors(network: Network) -> list[Tensor]:
    singular = tuple(f"{name}.{side}" for name, _ in network.spectral for side in ("left", "right"))
    statistics = network.statistics().items()
    return [*network.masters.values(), *(each for name, each in statistics if name not in singular)]
