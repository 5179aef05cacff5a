"""What the agent sees, expects and does at each step, for people who watch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent import Agent, Callback, GameStep
from engine.make import LearningNetwork

HISTORY = 150  # steps remembered: 10 seconds of an Atari game
SELDOM = 0.01  # share of the lowest and of the highest returns that need not be shown

Array = NDArray[np.float32]


class AgentView(Callback):
    """Observes an agent that plays one game, without changing the game."""

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
        self.person_plays = False  # whether a person has the joystick
        self.saliency: Callable[[NDArray[np.uint8], int], Array] | None = None  # computes `heat`
        self.changes = 0  # counts changes of what can be seen
        self.games_over = 0
        self.action: int | None = None  # the agent's choice; None while a game is being opened
        self.state: NDArray[np.uint8] | None = None  # (history_length, height, width)
        self.qvalues: Array | None = None  # (num_actions,)
        self.history: deque[Array] = deque(maxlen=HISTORY)  # those of this game
        # Of an agent that learns distributions: which returns each action may have and how probable
        # each is, both (num_actions, n); and where nearly all of them lay in the last steps.
        self.returns: tuple[Array, Array] | None = None
        self.spans: deque[tuple[float, float]] = deque(maxlen=HISTORY)
        self.heat: Array | None = None  # (height, width): what speaks for the action

    def on_restart(self) -> None:
        """A new game begins: `games_over` is ahead of `scores` while it is being opened."""
        self.games_over += self.action is not None
        self.action = self.heat = None

    def on_action(self, game: int, action: int) -> None:
        """The agent has chosen `action` and will now carry it out."""
        played: Any = self.agent.games[game]
        if self.action is None:
            self.history.clear()
            self.spans.clear()
        self.state = played.buffer.state().copy()
        self.lives = played.environment.lives()
        self.action = action
        if self.network:
            # The agent does not predict when it explores, but Q-values are to be shown then too.
            q = self.network.predict(self.state[None])[0]
            self.qvalues = np.nan_to_num(q, posinf=0, neginf=0)  # of a training that diverges
            self.history.append(self.qvalues)
            self._look_at_returns(self.network, self.state)
        self.heat = self.saliency(self.state, action) if self.saliency else None
        self.changes += 1

    def _look_at_returns(self, network: LearningNetwork, state: NDArray[np.uint8]) -> None:
        self.returns = network.returns(state)
        if self.returns:
            values, probabilities = (numbers.ravel() for numbers in self.returns)
            order = values.argsort()
            below = probabilities[order].cumsum() / probabilities.sum()
            ends = values[order][below.searchsorted((SELDOM, 1 - SELDOM)).clip(max=len(values) - 1)]
            self.spans.append((float(ends[0]), float(ends[1])))

    def show_heat(self) -> None:
        """Compute `heat` from now on."""
        self.saliency = self.network.saliency if self.network else None

    def summary(self, games: int) -> str:
        """The score of each of `games` games, a line each, and where they were stopped."""
        lines = [f"Game {n}: score {score:.10g}" for n, score in enumerate(self.scores, 1)]
        if len(lines) < games:
            lines.append(f"Stopped in game {len(lines) + 1} at score {self.score:.10g}.")
        return "\n".join(lines)

    def on_step(self, made: GameStep) -> None:
        """Count the score."""
        self.score += made.step.reward
        self.exploration_rate = made.exploration_rate
        if made.step.ended:
            self.scores.append(self.score)
            self.score = 0.0
        self.changes += 1
