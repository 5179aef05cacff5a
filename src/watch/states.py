"""Collects the states of a game for the filter page, which nvis/ writes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from agent import Agent, Callback, GameStep, Phase
from environment import Screen
from errors import UserError


class StateCollector(Callback):
    """Keeps the states in which the agent acted: of each game every screen once."""

    def __init__(self, agent: Agent) -> None:
        """Collect the states of the agent's first game."""
        self.game = agent.games[0]
        self.games: list[list[Screen]] = []  # the screens of each game
        self.begins = True  # whether the next action is the first of a game

    def on_phase_start(self, phase: Phase) -> None:
        """Nothing kept yet."""
        self.games, self.begins = [], True

    def on_action(self, game: int, action: int) -> None:
        """Keep the newest screen of the state, and of a game's first state all of them."""
        if self.begins:
            self.games.append([])
        state = self.game.buffer.state()
        self.games[-1].extend((state if self.begins else state[-1:]).copy())
        self.begins = False

    def on_step(self, made: GameStep) -> None:
        """The next state belongs to another game if this one has ended."""
        self.begins = made.step.ended

    def states(self) -> NDArray[np.uint8]:
        """All states, (n, history, height, width) uint8; of a single game a view of its screens."""
        shape = self.game.buffer.state().shape
        windows = [
            sliding_window_view(np.stack(screens), shape[0], axis=0).transpose(0, 3, 1, 2)
            for screens in self.games
        ]
        if len(windows) == 1:
            return windows[0]
        return np.concatenate([np.empty((0, *shape), np.uint8), *windows])


def filters_of(network: Any) -> Any:
    """The convolutional layers of a network. Raises UserError where a page cannot show them."""
    from nvis.convolution import convolutions

    layers = network.layers()
    if not layers:
        raise UserError(
            "The filter page can only show convolutions that follow one another directly, each "
            "with a ReLU and with or without batch normalization. This network has other layers: "
            "watch it with ./play.sh and press g instead."
        )
    return convolutions(layers)
