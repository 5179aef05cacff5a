from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from agent import Phase
from config import NetworkSettings
from deepqnetwork import DeepQNetwork
from observers.dead_network import DeadNetwork

TRAIN, TEST = Phase("train", 1, 0), Phase("test", 1, 0)


@pytest.fixture(params=["float32", "bfloat16"])
def network(request: pytest.FixtureRequest) -> DeepQNetwork:
    settings = NetworkSettings(datatype=request.param, bias=True, init="torch")
    return DeepQNetwork(settings, num_actions=4, rng=np.random.default_rng(0))


def warnings(
    network: DeepQNetwork, states: Any, caplog: pytest.LogCaptureFixture, *phases: Phase
) -> list[str]:
    listener = DeadNetwork(network, cast(Any, SimpleNamespace(validation_states=states)))
    with caplog.at_level(logging.WARNING):
        for phase in phases:
            listener.on_phase_end(phase)
    return [record.message for record in caplog.records]


def similar_states() -> Any:
    """Bright screens that differ in a few pixels, as in Pong."""
    states = np.full((64, 4, 84, 84), 87, np.uint8)
    for n, state in enumerate(states):
        state[:, n : n + 2, n : n + 2] = 236
    return states


def test_a_network_that_sees_little_is_alive(
    network: DeepQNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    assert not warnings(network, similar_states(), caplog, TRAIN, TRAIN)
    assert not warnings(network, None, caplog, TRAIN), "before the random phase has ended"


def test_states_that_are_the_same_are_not_the_networks_fault(
    network: DeepQNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    (message,) = warnings(network, np.zeros((64, 4, 84, 84), np.uint8), caplog, TRAIN, TRAIN)
    assert message.startswith("All states look the same")


def test_a_network_without_an_active_unit_is_warned_of_once(
    network: DeepQNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    with torch.no_grad():
        for parameter in cast(Any, network.online.features).first.parameters():
            parameter.fill_(-1.0)
    assert not warnings(network, similar_states(), caplog, TEST)
    (message,) = warnings(network, similar_states(), caplog, TRAIN, TRAIN)
    assert message.startswith("The network has died")
