"""Resets of the last layers, since what was learned first makes a network learn worse later.

(Nikishin et al. 2022, "The Primacy Bias in Deep Reinforcement Learning", arXiv:2205.07802)
"""

from __future__ import annotations

import numpy as np
import torch

from network import Network
from optimizers import Optimizer


def reset_last_layers(
    network: Network, optimizer: Optimizer, init: str, generator: torch.Generator
) -> None:
    """New weights for the layers after the features; the optimizer forgets the old ones."""
    seed = int(torch.randint(2**62, (), generator=generator))
    network.initialize(init, np.random.default_rng(seed), head_only=True)
    for name, states in zip(network.masters, optimizer.states, strict=True):
        for state in states if name.startswith("head") else ():
            state.zero_()
    optimizer.reset_at = optimizer.drawn_at = optimizer.updates
