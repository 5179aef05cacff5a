"""The environment: what the agent needs of it, and Atari 2600 games as environments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import ale_py
import cv2
import numpy as np
from numpy.typing import NDArray

import palette
from config import EnvironmentSettings
from envs.emulator import load_emulator, open_rom, save_emulator
from watch.frames import Frame, FrameListener

PAL_HEIGHT = 250  # lines of a European game's frame; an American one has 210
Screen = NDArray[np.uint8]  # (screen_height, screen_width), gray


class Environment(Protocol):
    """What the agent needs. Actions are 0 .. len(action_names) - 1; in Atari 0 does nothing."""

    @property
    def action_names(self) -> Sequence[str]:
        """A name for each action, for people."""

    def set_mode(self, mode: str) -> None:
        """`train` or `test`: a lost life may end the episode in training only."""

    def restart(self) -> None:
        """Begin a new game; if only a life was lost in training, continue the old one."""

    def act(self, action: int) -> float:
        """Do one step and return its reward."""

    def skip_frames(self, count: int) -> None:
        """Play `count` single frames with action 0."""

    def screen(self) -> Screen:
        """The screen after the last step, (screen_height, screen_width) uint8."""

    def is_terminal(self) -> bool:
        """Whether the episode is over."""

    def is_truncated(self) -> bool:
        """Whether the episode is over only because of a limit, not by the rules of the game."""


class ALEEnvironment:
    """An Atari 2600 game in the Arcade Learning Environment.

    A step repeats its action for `frame_skip` frames. The screen is computed from the last two of
    them, so frames are emulated one by one and their palette indices are kept.
    """

    frames_per_second = 60.0

    def __init__(
        self, settings: EnvironmentSettings, *, rom: Path, random_seed: int = 0, sound: bool = False
    ) -> None:
        """Load `rom`. Raises UserError if ALE does not know it.

        `random_seed` is for sticky actions only. They are drawn here, because the state that ALE
        saves does not contain the action that is being repeated.
        """
        assert settings.frame_skip is not None
        self.settings = settings
        self.frame_skip: int = settings.frame_skip
        self.sound = sound
        self.ale = open_rom(rom, settings, random_seed, sound)
        minimal, legal = self.ale.getMinimalActionSet(), self.ale.getLegalActionSet()
        self.actions = minimal if settings.minimal_action_set else legal
        self.action_names = tuple(action.name for action in self.actions)
        self.legal_actions = {action.name: action for action in legal}
        self.frame_listeners: list[FrameListener] = []
        self.rng = np.random.default_rng(random_seed)
        self.held = ale_py.Action.NOOP  # the action of the last frame
        self.mode = "train"
        self.life_lost = False
        height, width = self.ale.getScreenDims()
        self.table = palette.table(settings, pal=height == PAL_HEIGHT)
        self.unchanged: Any = np.ascontiguousarray(self.table.diagonal())  # pixels equal in both
        self.interpolation = cv2.INTER_AREA if settings.resize == "area" else cv2.INTER_LINEAR
        self.newest = np.empty((height, width), np.uint8)  # palette indices of the last frame
        self.previous = np.empty((height, width), np.uint8)  # the same of the frame before it
        self.restart()

    def set_mode(self, mode: str) -> None:
        """`train` or `test`: a lost life ends the episode in training only."""
        self.mode = mode

    def restart(self) -> None:
        """Begin a new game, unless only a life was lost in training: then the game continues."""
        if self.mode == "test" or not self.life_lost or self.ale.game_over():
            self.ale.reset_game()
            self.ale.getScreen(self.newest)
            self.previous[:] = self.newest
            self.held = ale_py.Action.NOOP
        self.life_lost = False

    def act(self, action: int) -> float:
        """Repeat `action` for `frame_skip` frames, fewer if the game ends; the summed reward."""
        return self.press(self.actions[action], self.frame_skip)

    def skip_frames(self, count: int) -> None:
        """Play `count` single frames with the no-op action."""
        self.press(ale_py.Action.NOOP, count)

    def press(self, action: ale_py.Action, frames: int) -> float:
        """Hold any legal action for `frames` frames, fewer if the game ends; the summed reward."""
        lives, reward = self.ale.lives(), 0
        sticky = self.settings.repeat_action_probability
        stops = self.settings.life_loss_ends_step and self.mode == "train"
        for _ in range(frames):
            if self.ale.game_over():
                break
            if not sticky or self.rng.random() >= sticky:
                self.held = action
            reward += self.ale.act(self.held)
            self.previous, self.newest = self.newest, self.previous
            self.ale.getScreen(self.newest)
            if self.frame_listeners:
                audio = np.array(self.ale.getAudio()) if self.sound else None
                for listener in self.frame_listeners:
                    listener(Frame(self.frame_rgb(), audio, flickers=True))
            if stops and self.ale.lives() < lives:
                break
        self.life_lost = self.ale.lives() < lives
        return reward

    def screen(self) -> Screen:
        """The last two frames as one gray screen, (screen_height, screen_width) uint8."""
        gray = cv2.LUT(self.newest, self.unchanged)
        moved = np.flatnonzero(self.newest != self.previous)  # few pixels of a frame move
        gray.ravel()[moved] = self.table[self.newest.ravel()[moved], self.previous.ravel()[moved]]
        size = self.settings.screen_width, self.settings.screen_height
        screen = cv2.resize(gray, size, interpolation=self.interpolation)
        # Grays have fractions with frame_maximum only; the Lua code truncated them to bytes, too.
        return screen.astype(np.uint8, copy=False)

    def is_terminal(self) -> bool:
        """Whether the game is over or, in training, a life was lost with the last step."""
        return self._ends_by_life() or bool(self.ale.game_over())

    def is_truncated(self) -> bool:
        """Whether the episode is over only because of `max_episode_frames`."""
        by_rules = self._ends_by_life() or self.ale.game_over(with_truncation=False)
        return bool(self.ale.game_truncated()) and not by_rules

    def _ends_by_life(self) -> bool:
        return self.mode == "train" and self.settings.life_loss_terminal and self.life_lost

    def lives(self) -> int:
        """Lives left; 0 in games without lives."""
        return int(self.ale.lives())

    def frame_rgb(self) -> NDArray[np.uint8]:
        """The last frame in color, (210, 160, 3) uint8 (250 high in PAL games)."""
        return np.asarray(self.ale.getScreenRGB())

    def save_state(self) -> bytes:
        """Everything that the game's future depends on, including its random stream."""
        return save_emulator(self)

    def load_state(self, state: bytes) -> None:
        """Continue from a saved state. Raises ValueError if it is not one of this game."""
        load_emulator(self, state)
