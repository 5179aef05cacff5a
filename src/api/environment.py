"""The game of an agent with Gymnasium's interface: reset, step, render."""

from __future__ import annotations

import operator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from api.agent import State, action_number
from config import FIELDS, Config, check
from envs.worker import make_game
from errors import UserError, shown

try:  # then Gymnasium's wrappers accept the environment
    import gymnasium
except ModuleNotFoundError:
    Base: Any = object
else:
    Base = gymnasium.Env


def _seed_number(seed: int) -> int:
    """The seed as an int. Raises ValueError if it is not a whole number in the flag's range."""
    try:
        return int(check("random_seed", operator.index(seed)))
    except (TypeError, UserError):
        highest = FIELDS["random_seed"].metadata["high"]
        raise ValueError(f"{shown(seed)} is no seed: use a whole number, 0 to {highest}.") from None


class PlayedEnvironment(Base):  # type: ignore[misc]
    """Whole games as in ./test.sh: rewards are not clipped, a lost life does not end an episode.

    An observation is a state, (history_length, screen_height, screen_width) uint8: the last
    screens, oldest first. A step is `frame_skip` frames of the game.
    """

    render_mode = "rgb_array"

    def __init__(self, config: Config, rom: Path | None) -> None:
        """The game that `config` names, and its ROM if it is an Atari game."""
        self.config = config
        self.rom = rom
        self._make()
        if Base is not object:
            self.action_space = gymnasium.spaces.Discrete(len(self.action_names))
            shape = self.game.buffer.state().shape
            self.observation_space = gymnasium.spaces.Box(0, 255, shape, np.uint8)

    def _make(self) -> None:
        self.game = make_game(self.config, self.rom, 0)
        self.game.set_mode("test")
        world: Any = self.game.environment
        self.world = world
        self.action_names = tuple(world.action_names)
        self.metadata = {
            "render_modes": [self.render_mode],
            "render_fps": world.frames_per_second / world.frame_skip,
        }
        self.over = True  # until the first reset
        self.score = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[State, dict[str, Any]]:
        """Start a game; returns the first state, and `info` with score and lives.

        The same `seed` starts the same game. Without one, games depend on the seed of `load`. There
        are no `options`. Raises ValueError if the seed cannot be, and the game goes on.
        """
        if seed is not None:
            seed = _seed_number(seed)
            self.config = replace(self.config, random_seed=seed)
            self._make()
        if Base is not object:
            super().reset(seed=seed)
        self.game.start()
        self.over, self.score = False, 0.0
        return self._state(), self._info()

    def step(self, action: int) -> tuple[State, float, bool, bool, dict[str, Any]]:
        """Returns the next state, the reward, terminated, truncated, and `info`.

        Raises ValueError if the action does not exist, and RuntimeError if the game is over.
        """
        number = action_number(action, len(self.action_names))
        if self.over:
            raise RuntimeError("No game is being played: call reset().")
        step = self.game.act(number)
        self.game.buffer.add(step.screen)
        self.over, self.score = step.ended, self.score + step.reward
        truncated = step.ended and not step.terminal
        return self._state(), float(step.reward), step.terminal, truncated, self._info()

    def render(self) -> NDArray[np.uint8]:
        """The current frame, (height, width, 3) uint8: (210, 160, 3) in most Atari games."""
        return np.array(self.world.frame_rgb())

    def close(self) -> None:
        """There is nothing to close."""

    def _state(self) -> State:
        return self.game.buffer.state().copy()

    def _info(self) -> dict[str, Any]:
        return {"score": self.score, "lives": self.world.lives()}
