"""What the filters look for: collects a game's states for the page that nvis/ writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from agent import Agent, Callback, Done, Phase
from environment import Screen


class StateCollector(Callback):
    """Keeps every screen of a game once, and gives its states."""

    def __init__(self, agent: Agent) -> None:
        """Listen to the first of the agent's games."""
        self.game = agent.games[0]
        self.screens: list[Screen] = []

    def on_phase_start(self, phase: Phase) -> None:
        """Nothing kept yet."""
        self.screens = []

    def on_step(self, done: Done) -> None:
        """Keep the screen after the step."""
        self.screens.append(done.step.screen)

    def states(self) -> NDArray[np.uint8]:
        """All states of the game, (n, history, height, width) uint8: a view of its screens."""
        history, height, width = self.game.buffer.state().shape
        if len(self.screens) < history:
            return np.empty((0, history, height, width), np.uint8)
        windows = sliding_window_view(np.stack(self.screens), history, axis=0)
        return windows.transpose(0, 3, 1, 2)


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

    Raises UserError where there is nothing to draw or the file cannot be written.
    """
    from nvis.convolution import convolutions
    from nvis.page import visualize as write_page

    layers = convolutions(network.layers())
    write_page(
        layers, states, filters=filters, file=file, game=game, snapshot=snapshot.name, epoch=epoch
    )
