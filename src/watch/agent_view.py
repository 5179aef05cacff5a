"""What the agent sees, expects and does, step by step, for those who watch."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent import Agent, Callback, Done
from nvis.saliency import Saliency

HISTORY = 150  # steps remembered: 10 seconds of an Atari game


class AgentView(Callback):
    """Looks into an agent that plays one game. It only reads: the game stays the same."""

    def __init__(self, agent: Agent, *, game: str, action_names: Sequence[str]) -> None:
        """`game` is its name; `action_names` are the agent's."""
        self.agent = agent
        self.network = agent.network
        self.game = game
        self.action_names = action_names
        self.scores: list[float] = []  # of the games that are over
        self.score = 0.0  # so far
        self.exploration_rate = agent.settings.exploration_rate_test
        self.lives = 0
        self.person_plays = False  # a person holds the joystick
        self.saliency: Saliency | None = None  # computes `heat`
        self.changes = 0  # grows whenever there is something new to see
        self.games_over = 0
        self.action: int | None = None  # the agent's choice; None while a game is being opened
        self.state: NDArray[np.uint8] | None = None  # (history_length, height, width)
        self.qvalues: NDArray[np.float32] | None = None  # (num_actions,)
        self.history: deque[NDArray[np.float32]] = deque(maxlen=HISTORY)  # those of this game
        self.heat: NDArray[np.float32] | None = None  # (height, width): what speaks for the action

    def on_restart(self) -> None:
        """A new game begins: `games_over` is ahead of `scores` while it is being opened."""
        self.games_over += self.action is not None
        self.action = self.heat = None

    def on_action(self, game: int, action: int) -> None:
        """The agent has chosen `action` and is about to do it."""
        played: Any = self.agent.games[game]
        if self.action is None:
            self.history.clear()
        self.state = played.buffer.state().copy()
        self.lives = played.environment.lives()
        self.action = action
        if self.network:
            # The agent does not predict when it explores; who watches wants to know all the same.
            self.qvalues = self.network.predict(self.state[None])[0].copy()
            self.history.append(self.qvalues)
        self.heat = self.saliency(self.state, action) if self.saliency else None
        self.changes += 1

    def show_heat(self) -> None:
        """Compute `heat` from now on. Raises UserError if the network is of another kind."""
        if self.network:
            self.saliency = Saliency(self.network.layers())

    def on_step(self, done: Done) -> None:
        """Count the score."""
        self.score += done.step.reward
        self.exploration_rate = done.exploration_rate
        if done.step.ended:
            self.scores.append(self.score)
            self.score = 0.0
        self.changes += 1
