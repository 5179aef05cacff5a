"""The count of a network's weights against the network itself."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from config import NetworkSettings
from deepqnetwork import DeepQNetwork
from engine.make import weights_of

SMALL: dict[str, Any] = dict(screen_width=36, screen_height=36, backend="cpu", threads=1)


@pytest.mark.parametrize(
    ("network", "distribution", "dueling"),
    list(itertools.product(["nature", "nips", "impala"], ["none", "c51", "iqn"], [False, True])),
)
def test_weights_are_counted_without_making_a_network(
    network: str, distribution: str, dueling: bool
) -> None:
    flags: dict[str, Any] = dict(network=network, distribution=distribution, dueling=dueling)
    for more in (dict(noisy=True, normalization="spectral"), dict(bias=True, batch_norm=True)):
        settings = NetworkSettings(network_width=0.25, **SMALL, **flags | more)
        made = DeepQNetwork(settings, num_actions=3, rng=np.random.default_rng(0))
        assert weights_of(settings, 3) == sum(each.numel() for each in made.online.parameters())


def test_weights_that_would_not_fit_anywhere_are_counted_too() -> None:
    settings = NetworkSettings(
        screen_width=256, screen_height=256, network_width=16.0, dueling=True, noisy=True
    )
    assert weights_of(settings, 256) > 10**9


def test_weights_of_other_engines_and_classes_are_not_known() -> None:
    assert weights_of(NetworkSettings(engine="neon"), 3) == 0
    assert weights_of(NetworkSettings(network="examples/no_file.py:Network"), 3) == 0
