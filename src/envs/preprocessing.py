"""Turns a World, with its five members, into an Environment for the agent.

Gymnasium's environments and your own know how to begin a game and how to act. Everything else is
done here once for all of them: repeating actions, turning pictures of any size into gray screens,
lost lives, the limit on a game's length, frames for watching.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from config import EnvironmentSettings
from environment import Screen
from errors import UserError, shown, shown_traceback
from palette import ALE_LUMA
from schema import MAX_ACTIONS
from watch.frames import Frame, FrameListener

Picture = NDArray[np.uint8]  # (height, width) gray, or (height, width, 3) red, green, blue
MAX_REWARD = 1e9  # so that no score becomes infinite, which no file could keep
TRIAL_STEPS = 12  # made before the work starts, to find what is wrong with a world
MAX_FRAMES_PER_SECOND = 1000
FRAMES_PER_SECOND = 15.0  # of a world that does not say: Atari's steps per second


class World(Protocol):
    """What an environment must have; docs/your_own_environment.md lists what else it may have."""

    @property
    def action_names(self) -> Sequence[str]:
        """The name of each action, 0 .. n - 1; a plain attribute will do."""

    def restart(self) -> None:
        """Begin a new game."""

    def act(self, action: int) -> float:
        """Do one step and return its reward."""

    def screen(self) -> Picture:
        """The picture after the last step."""

    def is_terminal(self) -> bool:
        """Whether the game is over."""


class PreprocessedEnvironment:
    """A World as an Environment, its screens gray by ALE's luma and resized as ALE's are."""

    def __init__(self, settings: EnvironmentSettings, *, world: World, name: str) -> None:
        """Try `world` for a few steps. Raises UserError, which calls it `name`, if that fails.

        A frame is one `act` of the world: `frame_skip` of them make a step, `max_episode_frames`
        (0: no limit) cut a game short.
        """
        self.world = world
        self.name = name
        self.frame_skip = settings.frame_skip or 1
        self.max_episode_frames = settings.max_episode_frames
        self.life_loss_terminal = settings.life_loss_terminal
        self.life_loss_ends_step = settings.life_loss_ends_step
        area = settings.resize == "area"
        self.interpolation = cv2.INTER_AREA if area else cv2.INTER_LINEAR
        self.size = (settings.screen_width, settings.screen_height)
        missing = [name for name in REQUIRED if not hasattr(world, name)]
        if missing:
            raise UserError(f"{name} lacks {', '.join(missing)}: every environment needs that.")
        self.action_names = self._named_actions()
        rate = getattr(world, "frames_per_second", FRAMES_PER_SECOND)
        if not _lies_between(0.01, rate, MAX_FRAMES_PER_SECOND):
            raise UserError(
                f"frames_per_second of {name} is {shown(rate)}: it must be a number from 0.01 "
                f"to {MAX_FRAMES_PER_SECOND}."
            )
        self.frames_per_second = float(rate)
        self.sound = bool(getattr(world, "sound", False))
        # A world with listeners of its own sends its frames itself; otherwise one frame per act.
        self.shows_itself = hasattr(world, "frame_listeners")
        self.frame_listeners: list[FrameListener] = getattr(world, "frame_listeners", [])
        self.mode = "train"
        self.life_lost = False
        self.frames = 0  # of this game
        self.shape: tuple[int, ...] = ()  # of the world's pictures
        if hasattr(world, "save_state") and hasattr(world, "load_state"):  # to resume exactly
            self.save_state, self.load_state = self._save_state, self._load_state
        self._try_out()

    def set_mode(self, mode: str) -> None:
        """`train` or `test`: a lost life ends the episode in training only."""
        self.mode = mode
        self._maybe("set_mode", None, mode)

    def restart(self) -> None:
        """Begin a new game, unless only a life was lost in training: then the game continues."""
        if self.mode == "test" or not self.life_lost or self._is_over():
            self.world.restart()
            self.frames = 0
            if self._named_actions() != self.action_names:
                raise UserError(
                    f"{self.name} has changed its actions: the network was made for "
                    f"{', '.join(self.action_names)} and cannot learn others."
                )
        self.life_lost = False

    def act(self, action: int) -> float:
        """Repeat `action` for `frame_skip` frames, fewer if the game ends; the summed reward."""
        return self._hold(action, self.frame_skip)

    def skip_frames(self, count: int) -> None:
        """Let `count` frames pass with action 0."""
        self._hold(0, count)

    def screen(self) -> Screen:
        """The screen after the last step, (screen_height, screen_width) uint8."""
        picture = self._picture()
        gray = picture if picture.ndim == 2 else cv2.transform(picture, ALE_LUMA[None])
        if gray.shape[::-1] != self.size:
            gray = cv2.resize(gray, self.size, interpolation=self.interpolation)
        return np.array(gray)  # NB! A copy: a world may draw its next picture in the same array.

    def is_terminal(self) -> bool:
        """Whether the game is over or, in training, a life was lost with the last step."""
        return self._ends_by_life() or self._is_over()

    def is_truncated(self) -> bool:
        """Whether the episode is over only because a limit of the world's or ours was reached."""
        if self._ends_by_life():
            return False
        if self.world.is_terminal():
            return bool(self._maybe("is_truncated", False))
        return self._is_over()

    def lives(self) -> int:
        """Lives left; 0 where none are counted."""
        return int(self._maybe("lives", 0))

    def frame_rgb(self) -> Picture:
        """The last frame in color, (height, width, 3) uint8."""
        own = self._maybe("frame_rgb", None)
        picture = self._picture() if own is None else self._checked("frame_rgb", own)
        if picture.ndim == 2:
            picture = np.repeat(picture[..., None], 3, axis=2)
        return np.ascontiguousarray(picture)

    def _save_state(self) -> bytes:
        rest = {"mode": self.mode, "life_lost": self.life_lost, "frames": self.frames}
        text = json.dumps(rest).encode()
        state = self._maybe("save_state", b"")
        if not isinstance(state, bytes | bytearray):
            raise UserError(f"{self.name}.save_state returned {shown(state)}: it must be bytes.")
        return struct.pack("<I", len(text)) + text + state

    def _load_state(self, state: bytes) -> None:
        """Raises ValueError if `state` is not one of this world's."""
        try:
            end = 4 + struct.unpack_from("<I", state)[0]
            rest = json.loads(state[4:end])
            self.mode, self.life_lost, self.frames = (
                rest[name] for name in ("mode", "life_lost", "frames")
            )
        except (struct.error, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the state is damaged, or not one of {self.name}") from error
        with shown_traceback(self.name):
            self._maybe("load_state", None, state[end:])

    def _hold(self, action: int, frames: int) -> float:
        lives = self.lives()
        stops = self.life_loss_ends_step and self.mode == "train"
        total = 0.0
        for _ in range(frames):
            reward = self.world.act(action)
            if not _lies_between(-MAX_REWARD, reward, MAX_REWARD):
                raise UserError(
                    f"{self.name} returned the reward {shown(reward)}: it must be a number from "
                    f"{-MAX_REWARD:g} to {MAX_REWARD:g}."
                )
            total += float(reward)
            self.frames += 1
            if self.frame_listeners and not self.shows_itself:
                frame = Frame(self.frame_rgb(), None)
                for listener in self.frame_listeners:
                    listener(frame)
            if self._is_over() or (stops and self.lives() < lives):
                break
        self.life_lost = self.lives() < lives
        return total

    def _is_over(self) -> bool:
        limit = self.max_episode_frames
        return bool(self.world.is_terminal()) or bool(limit and self.frames >= limit)

    def _ends_by_life(self) -> bool:
        return self.mode == "train" and self.life_loss_terminal and self.life_lost

    def _picture(self) -> Picture:
        """The world's picture, (height, width[, 3]). Raises UserError if it is not a picture."""
        picture = self._checked("screen", self.world.screen())
        self.shape = self.shape or picture.shape
        if picture.shape != self.shape:
            raise UserError(
                f"{self.name} has changed the shape of its screens from {self.shape} to "
                f"{picture.shape}: all must have the same shape."
            )
        return np.ascontiguousarray(picture)

    def _checked(self, method: str, returned: object) -> Picture:
        picture = _without_lone_channel(np.asarray(returned))
        if not is_picture(picture.shape) or picture.dtype != np.uint8:
            raise UserError(
                f"{self.name}.{method} returned the shape {picture.shape} and type "
                f"{picture.dtype}: it must be (height, width) or (height, width, 3), uint8."
            )
        return picture

    def _named_actions(self) -> tuple[str, ...]:
        names: Any = self.world.action_names
        is_list = isinstance(names, Sequence) and not isinstance(names, str)
        if not is_list or not all(isinstance(name, str) and name.strip() for name in names):
            raise UserError(f"action_names of {self.name} must be a list of words.")
        if not 1 <= len(names) <= MAX_ACTIONS:
            raise UserError(
                f"{self.name} has {len(names)} actions: 1 to {MAX_ACTIONS} are allowed."
            )
        return tuple(names)

    def _maybe(self, method: str, otherwise: Any, *arguments: Any) -> Any:
        """What an optional method of the world returns; `otherwise` if it does not exist."""
        found = getattr(self.world, method, None)
        if found is None:
            return otherwise
        if not callable(found):
            raise UserError(f"{self.name}.{method} is {shown(found)}: make it a method.")
        return found(*arguments)

    def _try_out(self) -> None:
        """Make a few steps, so that errors show now and not after the random phase."""
        with shown_traceback(self.name):
            self.set_mode("train")
            self.restart()
            for step in range(TRIAL_STEPS):
                self.screen()
                self.frame_rgb()
                self.act(step % len(self.action_names))
                self._maybe("is_truncated", False)
                if self.is_terminal():
                    self.restart()
            if hasattr(self, "save_state"):
                self.save_state()
            self.life_lost = False
            self.restart()


REQUIRED = ("action_names", "restart", "act", "screen", "is_terminal")


def is_picture(shape: Sequence[int]) -> bool:
    """Whether an array of this shape can be a picture."""
    return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))


def _lies_between(low: float, value: object, high: float) -> bool:
    try:
        return low <= float(value) <= high  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _without_lone_channel(picture: Picture) -> Picture:
    return picture[..., 0] if picture.shape[2:] == (1,) else picture
