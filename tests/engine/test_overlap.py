"""The overlapped loop: the same updates in the same order, the same run for the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from engine.overlap import OverlappedNetwork

from deepqnetwork import DeepQNetwork
from replay_memory import Minibatch


def make_network() -> DeepQNetwork:
    return DeepQNetwork(
        num_actions=3,
        screen_height=36,
        screen_width=36,
        batch_size=4,
        threads=1,
        backend="cpu",
        rng=np.random.default_rng(0),
    )


def minibatch(rng: np.random.Generator) -> Minibatch:
    return Minibatch(
        rng.integers(0, 256, (4, 5, 36, 36), np.uint8),
        rng.integers(0, 3, 4, np.uint8),
        rng.normal(size=4).astype(np.float32),
        rng.random(4) < 0.2,
    )


def test_updates_are_those_of_the_plain_network_and_acting_follows_the_target() -> None:
    plain, overlapped = make_network(), OverlappedNetwork(make_network())
    rng = np.random.default_rng(1)
    states = rng.integers(0, 256, (2, 4, 36, 36), np.uint8)
    before = plain.predict(states)
    block = minibatch(rng)  # its screens are used again, as the replay memory does
    for _ in range(6):
        drawn = minibatch(rng)
        block.screens[:] = drawn.screens
        plain.train(drawn)
        overlapped.train(drawn._replace(screens=block.screens))
        block.screens.fill(0)
        assert (overlapped.predict_target(states) == before).all()
    assert (overlapped.predict(states) == plain.predict(states)).all()
    assert overlapped.train_iterations == 6
    assert overlapped.read_cost() == plain.read_cost()
    overlapped.update_target_network()
    assert (overlapped.predict_target(states) == plain.predict(states)).all()


def test_the_learner_has_all_threads_but_the_agents() -> None:
    network = make_network()
    network.threads = 3
    overlapped = OverlappedNetwork(network)
    assert torch.get_num_threads() == 1
    assert overlapped.learner.submit(torch.get_num_threads).result() == 2


def test_an_error_in_an_update_is_raised_by_what_waits_for_it() -> None:
    network = OverlappedNetwork(make_network())
    wrong: Any = minibatch(np.random.default_rng(2))._replace(actions=np.full(4, 9, np.uint8))
    network.train(wrong)
    with pytest.raises((RuntimeError, IndexError)):
        network.wait()
