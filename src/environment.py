"""The world the agent lives in: what an environment must offer, and Atari 2600 games as one."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ale_py
import cv2
import numpy as np
from numpy.typing import NDArray

import palette
from errors import UserError

PAL_HEIGHT = 250  # lines of a European game's frame; an American one has 210
Screen = NDArray[np.uint8]  # (screen_height, screen_width), grey


@dataclass(frozen=True)
class Frame:
    """One emulated frame, for those who watch: the agent sees screens."""

    rgb: NDArray[np.uint8]  # (height, width, 3)
    audio: NDArray[np.uint8] | None  # (512,) samples of this frame, or None without sound


class Environment(Protocol):
    """What the agent needs of a world. Actions are 0 .. len(action_names) - 1; 0 does nothing."""

    @property
    def action_names(self) -> Sequence[str]:
        """The actions' names, for people."""

    def set_mode(self, mode: str) -> None:
        """`train` or `test`: in training a lost life may end the episode."""

    def restart(self) -> None:
        """Begin a new game; after a lost life in training, go on with the old one."""

    def act(self, action: int) -> float:
        """Do one step and return its reward."""

    def screen(self) -> Screen:
        """The screen after the last step, (screen_height, screen_width) uint8."""

    def is_terminal(self) -> bool:
        """Whether the episode is over."""

    def is_truncated(self) -> bool:
        """Whether it is over only because a limit was reached, not by the game's rules."""


FrameListener = Callable[[Frame], None]


class ALEEnvironment:
    """An Atari 2600 game in the Arcade Learning Environment.

    A step repeats its action for `frame_skip` frames. The screen is made of the last two of them,
    so the frames are emulated one by one and their palette indices kept.
    """

    frames_per_second = 60.0

    def __init__(
        self,
        *,
        rom: Path,
        frame_skip: int = 4,
        repeat_action_probability: float = 0.0,
        minimal_action_set: bool = True,
        color_averaging: bool = True,
        frame_maximum: bool = False,
        resize: str = "bilinear",
        screen_width: int = 84,
        screen_height: int = 84,
        life_loss_terminal: bool = True,
        max_episode_frames: int = 0,
        sound: bool = False,
        random_seed: int = 0,
    ) -> None:
        """Load `rom`. Raises UserError if ALE does not know it.

        `max_episode_frames` 0 is no limit. `random_seed` moves sticky actions only, which are made
        here: a saved state of ALE's leaves out the action that its joystick sticks to.
        """
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self.ale = ale_py.ALEInterface()
        self.ale.setInt("random_seed", random_seed)
        self.ale.setInt("frame_skip", 1)
        self.ale.setInt("max_num_frames_per_episode", max_episode_frames)
        self.ale.setFloat("repeat_action_probability", 0.0)
        self.ale.setBool("sound_obs", sound)
        if not ale_py.ALEInterface.isSupportedROM(str(rom)):  # loadROM would end the process
            raise UserError(f"ALE does not know the game in {rom}.")
        self.ale.setBool("color_averaging", False)  # palette.py does it
        self.ale.loadROM(str(rom))
        minimal, legal = self.ale.getMinimalActionSet(), self.ale.getLegalActionSet()
        self.actions = minimal if minimal_action_set else legal
        self.action_names = tuple(action.name for action in self.actions)
        self.legal_actions = {action.name: action for action in legal}
        self.frame_listeners: list[FrameListener] = []
        self.frame_skip = frame_skip
        self.repeat_action_probability = repeat_action_probability
        self.rng = np.random.default_rng(random_seed)
        self.held = ale_py.Action.NOOP  # of the last frame
        self.sound = sound
        self.life_loss_terminal = life_loss_terminal
        self.mode = "train"
        self.life_lost = False
        self.size = (screen_width, screen_height)
        self.interpolation = {"bilinear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}[resize]
        height, width = self.ale.getScreenDims()
        pal = height == PAL_HEIGHT
        if frame_maximum:
            self.table: NDArray[Any] = palette.maximum_table(pal=pal)
        elif color_averaging:
            self.table = palette.average_table(pal=pal)
        else:
            self.table = palette.plain_table(pal=pal)
        self.unchanged: Any = np.ascontiguousarray(self.table.diagonal())  # a pixel the same twice
        self.newest = np.empty((height, width), np.uint8)  # palette indices of the last frame
        self.previous = np.empty((height, width), np.uint8)  # and of the one before
        self.restart()

    def set_mode(self, mode: str) -> None:
        """`train` or `test`: a lost life ends the episode in training only."""
        self.mode = mode

    def restart(self) -> None:
        """Begin a new game, unless only a life was lost in training: then the game goes on."""
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
        """Let `count` single frames pass without touching the joystick."""
        self.press(ale_py.Action.NOOP, count)

    def press(self, action: ale_py.Action, frames: int) -> float:
        """Hold any legal action of the game for `frames` frames; the summed reward."""
        lives = self.ale.lives()
        reward = 0
        sticky = self.repeat_action_probability
        for _ in range(frames):
            if self.ale.game_over():
                break
            if not sticky or self.rng.random() >= sticky:
                self.held = action
            reward += self.ale.act(self.held)
            self.previous, self.newest = self.newest, self.previous
            self.ale.getScreen(self.newest)
            if self.frame_listeners:
                self._show_frame()
        self.life_lost = self.ale.lives() != lives
        return reward

    def screen(self) -> Screen:
        """The last two frames as one grey screen, (screen_height, screen_width) uint8."""
        grey = cv2.LUT(self.newest, self.unchanged)
        moved = np.flatnonzero(self.newest != self.previous)  # few pixels of a frame move
        grey.ravel()[moved] = self.table[self.newest.ravel()[moved], self.previous.ravel()[moved]]
        screen = cv2.resize(grey, self.size, interpolation=self.interpolation)
        return screen.astype(np.uint8, copy=False)

    def is_terminal(self) -> bool:
        """Whether the game is over or, in training, a life was lost with the last step."""
        lost = self.mode == "train" and self.life_loss_terminal and self.life_lost
        return lost or bool(self.ale.game_over())

    def is_truncated(self) -> bool:
        """Whether the game was cut short by `max_episode_frames`."""
        return bool(self.ale.game_truncated())

    def lives(self) -> int:
        """Lives left; 0 in games that do not count any."""
        return int(self.ale.lives())

    def frame_rgb(self) -> NDArray[np.uint8]:
        """The last frame in colour, (210, 160, 3) uint8 (250 high in PAL games)."""
        return np.asarray(self.ale.getScreenRGB())

    def save_state(self) -> bytes:
        """All that the game's future depends on, its random stream included."""
        emulator = self.ale.cloneSystemState().serialize()
        rest = {
            "mode": self.mode,
            "life_lost": self.life_lost,
            "held": self.held.value,
            "random": self.rng.bit_generator.state,
        }
        text = json.dumps(rest).encode()
        sizes = struct.pack("<II", len(emulator), len(text))
        return sizes + emulator + text + self.newest.tobytes() + self.previous.tobytes()

    def load_state(self, state: bytes) -> None:
        """Go on where `save_state` was called. Raises ValueError if `state` is not of this game."""
        try:
            emulator, text = struct.unpack_from("<II", state)
            start, end = 8 + emulator, 8 + emulator + text
            rest = json.loads(state[start:end])
            frames = np.frombuffer(state, np.uint8, offset=end).reshape(2, *self.newest.shape)
            self.ale.restoreSystemState(ale_py.ALEState(state[8:start]))
        except (ValueError, struct.error, SystemError) as error:  # SystemError: ALE refuses it
            raise ValueError("the emulator state is damaged, or of another game") from error
        self.newest[:], self.previous[:] = frames
        self.mode, self.life_lost = rest["mode"], rest["life_lost"]
        self.held = ale_py.Action(rest["held"])
        self.rng.bit_generator.state = rest["random"]

    def _show_frame(self) -> None:
        frame = Frame(self.frame_rgb(), np.array(self.ale.getAudio()) if self.sound else None)
        for listener in self.frame_listeners:
            listener(frame)
