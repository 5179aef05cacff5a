"""One game: its environment, the state that the agent sees, and how an episode begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from config import EnvironmentSettings
from environment import Environment, Screen
from state_buffer import StateBuffer


class Step(NamedTuple):
    """The result of an action."""

    reward: float
    screen: Screen  # after the action
    terminal: bool  # the episode ended by the rules of the game: nothing follows
    ended: bool  # the episode ended, by the rules or because it was cut short
    opening: Sequence[Step] = ()  # if the episode ended, the no-op steps that begin the next one


class Game:
    """Plays one episode after another in an environment.

    An episode begins with history_length + 1 to random_starts + 1 no-op *steps*, which fill the
    state. With `zero_history` (Lua code) it begins with 2 to random_starts + 1 no-op *frames*. The
    last of them gives the first screen, and the rest of the first state is black.
    """

    def __init__(
        self, settings: EnvironmentSettings, *, environment: Environment, rng: np.random.Generator
    ) -> None:
        """`rng` draws the number of no-ops."""
        self.environment = environment
        self.history_length = settings.history_length
        self.random_starts = settings.random_starts
        self.zero_history = settings.zero_history
        self.rng = rng
        self.buffer = StateBuffer(
            settings.history_length, settings.screen_height, settings.screen_width
        )

    def set_mode(self, mode: str) -> None:
        """`train`: a lost life may end an episode; `test`: only the end of the game does."""
        self.environment.set_mode(mode)

    def start(self) -> list[Step]:
        """Begin an episode and return its no-op steps (`zero_history`: only its first screen)."""
        self.environment.restart()
        if self.zero_history:
            if self.random_starts:
                self.environment.skip_frames(int(self.rng.integers(1, self.random_starts + 1)) + 1)
                if self.environment.is_terminal():
                    self.environment.restart()
            opening = [Step(0.0, self.environment.screen(), terminal=False, ended=False)]
            self.buffer.reset()
        else:
            steps = int(self.rng.integers(self.history_length, self.random_starts + 1)) + 1
            opening = [self._noop() for _ in range(steps)]
        for step in opening[-self.history_length :]:
            self.buffer.add(step.screen)
        return opening

    def send(self, action: int) -> None:
        """Begin a step. Send to all games before `receive`, and they play at the same time."""
        self._action = action

    def receive(self) -> Step:
        """Finish the step and return its result; if the episode is over, the next one has begun."""
        step = self.act(self._action)
        self.buffer.add(step.screen)
        return step._replace(opening=self.start()) if step.ended else step

    def act(self, action: int) -> Step:
        """Do a step in the environment, without consequences for the state or the episode."""
        reward, ended = self.environment.act(action), self.environment.is_terminal()
        terminal = ended and not self.environment.is_truncated()
        return Step(reward, self.environment.screen(), terminal, ended)

    def _noop(self) -> Step:
        step = self.act(0)
        if not step.ended:
            return step
        self.environment.restart()
        return step._replace(screen=self.environment.screen())

    def get_state(self) -> dict[str, Any]:
        """The complete state; `environment` is None if the environment cannot save its own."""
        save = getattr(self.environment, "save_state", None)
        return {
            "stream": self.rng.bit_generator.state,
            "screens": self.buffer.screens.copy(),  # (history, height, width) uint8
            "environment": save() if save else None,  # bytes
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from a saved state. Raises ValueError if it is not one of this game."""
        if state["screens"].shape != self.buffer.screens.shape:
            raise ValueError("the game's screens have another size")
        self.rng.bit_generator.state = state["stream"]
        self.buffer.screens[:] = state["screens"]
        if state["environment"] is not None:
            self.environment.load_state(state["environment"])  # type: ignore[attr-defined]
