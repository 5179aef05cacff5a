"""A network that cannot see the whole screen says so."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch

from config import Config
from engine.make import make_network
from runs.unseen import seen, warn_of_unseen


def network(**settings: Any) -> Any:
    return make_network(Config(backend="cpu", **settings), 3, np.random.default_rng(1))


def columns_that_matter(net: Any, width: int) -> int:
    """How many columns of the screen change the prediction when they are lit alone."""
    states = np.zeros((width + 1, 4, 84, width), np.uint8)
    for column in range(width):
        states[column, :, :, column] = 255
    q = net.predict(states)
    return int((q[:-1] != q[-1]).any(axis=1).sum())


@pytest.mark.parametrize(("width", "reached"), [(84, 84), (40, 36), (36, 36), (100, 100), (80, 76)])
def test_the_reach_is_what_a_prediction_depends_on(width: int, reached: int) -> None:
    made = network(screen_width=width)
    convolutions = [layer for layer in made.layers() if layer.kind == "Convolution"]
    assert seen(width, convolutions) == reached
    with torch.no_grad():
        for parameter in made.online.parameters():
            parameter.fill_(1e-3)  # nothing cancels, no ReLU is silent
    assert columns_that_matter(made, width) == reached


def test_a_narrow_screen_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    warn_of_unseen(Config(screen_width=40), network(screen_width=40).layers())
    told = "The network sees only 36 of 40 pixels of --screen_width: with 37 or 44 it sees all."
    assert caplog.messages == [told]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        dict(padding=1),  # DeepMind's misses one of 84
        dict(network="nips"),
        dict(network="impala", screen_width=40),
    ],
)
def test_whole_screens_are_no_matter(
    settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    warn_of_unseen(Config(**settings), network(**settings).layers())
    assert caplog.messages == []
