"""Collects the states of a game for the filter page, which nvis/ writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from agent import Agent, Callback, GameStep, Phase
from environment import Screen
from errors import UserError


class StateCollector(Callback):
    """Keeps every screen of a game once, and makes states of them."""

    def __init__(self, agent: Agent) -> None:
        """Collect the states of the agent's first game."""
        self.game = agent.games[0]
        self.screens: list[Screen] = []

    def on_phase_start(self, phase: Phase) -> None:
        """Nothing kept yet."""
        self.screens = []

    def on_step(self, made: GameStep) -> None:
        """Keep the screen after the step."""
        self.screens.append(made.step.screen)

    def states(self) -> NDArray[np.uint8]:
        """All states of the game, (n, history, height, width) uint8: a view of its screens."""
        history, height, width = self.game.buffer.state().shape
        if len(self.screens) < history:
            return np.empty((0, history, height, width), np.uint8)
        windows = sliding_window_view(np.stack(self.screens), history, axis=0)
        return windows.transpose(0, 3, 1, 2)


def filters_of(network: Any) -> Any:
    """The convolutional layers of a network. Raises UserError where a page cannot show them."""
    from nvis.convolution import convolutions

    layers = network.layers()
    if not layers:
        raise UserError(
            "The filter page needs convolutions of which each one sees what the one before gives, "
            "through a ReLU alone or with batch normalization; this network's do not: watch it "
            "with ./play.sh and press g instead."
        )
    return convolutions(layers)


def visualize(
    network: Any,
    states: NDArray[np.uint8],
    *,
    filters: int,
    file: Path,
    game: str,
    snapshot: Path,
    epoch: int,
) -> None:
    """Write the page of the first `filters` filters of each convolutional layer to `file`.

    Raises UserError if there is nothing to draw or the file cannot be written.
    """
    from nvis.page import visualize as write_page

    layers = filters_of(network)
    write_page(
        layers, states, filters=filters, file=file, game=game, snapshot=snapshot.name, epoch=epoch
    )
