"""Gymnasium's environments: all that have discrete actions and something to see."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import logging
import os
import pkgutil
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ale_py
import numpy as np

from config import EnvironmentSettings
from envs.preprocessing import Picture, PreprocessedEnvironment, is_picture
from errors import UserError, shown_traceback

logger = logging.getLogger(__name__)

HOW_TO_INSTALL = ".venv/bin/pip install --no-deps -r requirements-gym.txt"
# Packages whose ids work without their name; others need it: minigrid:MiniGrid-Empty-8x8-v0.
PROVIDERS = ("ale_py", "flappy_bird_gymnasium")
ATARI_FRAMES_PER_SECOND = 60.0
# Action names, in a joystick's words, for environments that do not name their actions.
ACTIONS = {
    "Acrobot": ("LEFT", "NOOP", "RIGHT"),
    "CartPole": ("LEFT", "RIGHT"),
    "CliffWalking": ("UP", "RIGHT", "DOWN", "LEFT"),
    "FlappyBird": ("NOOP", "FIRE"),
    "FrozenLake": ("LEFT", "DOWN", "RIGHT", "UP"),
    "LunarLander": ("NOOP", "LEFT", "FIRE", "RIGHT"),
    "MountainCar": ("LEFT", "NOOP", "RIGHT"),
}


def make_gym_environment(
    settings: EnvironmentSettings, *, name: str, random_seed: int
) -> PreprocessedEnvironment:
    """The environment with Gymnasium's id `name`.

    A setting that the environment has itself, such as Atari's frame skip, is passed to it; all
    others are applied by PreprocessedEnvironment. So nothing is applied twice, and None leaves the
    environment as it is.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # packages warn their own developers
        spec = find_spec(name)
    keywords: dict[str, Any] = {}
    if settings.frame_skip and "frameskip" in spec.kwargs:
        keywords["frameskip"], settings = settings.frame_skip, replace(settings, frame_skip=None)
    if settings.max_episode_frames and "max_num_frames_per_episode" in spec.kwargs:
        keywords["max_num_frames_per_episode"] = settings.max_episode_frames
        settings = replace(settings, max_episode_frames=0)
    if not settings.minimal_action_set and "full_action_space" in spec.kwargs:
        keywords["full_action_space"] = True
    if settings.repeat_action_probability is not None:
        if "repeat_action_probability" in spec.kwargs:
            keywords["repeat_action_probability"] = settings.repeat_action_probability
        elif settings.repeat_action_probability:
            raise UserError(f"{name} has no sticky actions: remove --repeat_action_probability.")
    world = GymWorld(spec, name=name, random_seed=random_seed, **keywords)
    for key in ("frameskip", "repeat_action_probability"):
        if key in spec.kwargs:
            logger.info("%s has its own %s: %s", name, key, (spec.kwargs | keywords)[key])
    return PreprocessedEnvironment(settings, world=world, name=name)


def find_spec(name: str) -> Any:
    """The registry's entry for `name`, an id or package:id. Raises UserError."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame prints a greeting
    try:
        import gymnasium
    except ModuleNotFoundError:
        raise UserError(
            "--environment gym needs Gymnasium, which is not installed; in the folder of this "
            f"program run {HOW_TO_INSTALL}"
        ) from None
    package, _, id = name.rpartition(":")
    if package and not _is_installed(package):
        raise UserError(
            f"The package {package} of {name} is not installed: install it with "
            "`.venv/bin/pip install`, in the folder of this program."
        )
    for module in (package,) if package else filter(_is_installed, PROVIDERS):
        if package or id not in gymnasium.registry:
            with shown_traceback(module):
                importlib.import_module(module)
    if id not in gymnasium.registry:
        near = difflib.get_close_matches(id, gymnasium.registry, 3, 0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        raise UserError(
            f"Gymnasium has no environment {name}{hint} An environment from another package is "
            "named package:id; FlappyBird-v0 comes with requirements-gym.txt."
        )
    return gymnasium.registry[id]


def _is_installed(package: str) -> bool:
    top = package.partition(".")[0]
    return top.isidentifier() and importlib.util.find_spec(top) is not None


def _renders(creator: Any) -> bool:
    """Whether the class or function that makes an environment takes render_mode="rgb_array"."""
    if hasattr(creator, "metadata"):
        return "rgb_array" in (creator.metadata.get("render_modes") or ())
    parameters = inspect.signature(creator).parameters.values()
    return any(each.name == "render_mode" or each.kind is each.VAR_KEYWORD for each in parameters)


class GymWorld:
    """A Gymnasium environment as a World (see preprocessing.py).

    Its pictures are its observations if those are pictures, otherwise what it renders.
    """

    def __init__(self, spec: Any, *, name: str, random_seed: int, **keywords: Any) -> None:
        """Make the environment of `spec` with `keywords`.

        Raises UserError if it cannot be made, seen or played with discrete actions.
        """
        import gymnasium

        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self.name = name
        self.random_seed: int | None = (
            random_seed  # of the first reset; later ones continue from it
        )
        with shown_traceback(name):
            try:
                creator = spec.entry_point
                creator = pkgutil.resolve_name(creator) if isinstance(creator, str) else creator
                if _renders(creator):
                    keywords["render_mode"] = "rgb_array"
                self.env: Any = gymnasium.make(spec, disable_env_checker=True, **keywords)
            except (gymnasium.error.Error, ImportError) as error:
                raise UserError(f"{name} cannot be created: {error}") from None
        self._action_space()
        self.renders = self.env.render_mode == "rgb_array"
        space = self.env.observation_space
        self.observes_pictures = (
            isinstance(space, gymnasium.spaces.Box)
            and is_picture(space.shape)
            and space.dtype == np.uint8
            and bool((space.high == 255).all())
        )
        if not self.renders and not self.observes_pictures:
            raise UserError(
                f"There is nothing to see in {name}: its observations are not pictures and it does "
                "not render rgb_array, but this agent learns from pictures."
            )
        skip = (spec.kwargs | keywords).get("frameskip")
        fps = self.env.metadata.get("render_fps") or 30.0
        # Atari's environments claim 30 whatever they skip, and would be shown too fast.
        self.frames_per_second = ATARI_FRAMES_PER_SECOND / skip if isinstance(skip, int) else fps
        self.lives_left = 0
        self.terminated = self.truncated = False
        self.seen: Picture | None = None  # the current picture, once it was asked for

    @property
    def action_names(self) -> tuple[str, ...]:
        """The environment's own names, else those in ACTIONS, else `action_0` and so on."""
        count = int(self._action_space().n)
        meanings: Any = getattr(self.env.unwrapped, "get_action_meanings", ())
        own: Sequence[Any] = meanings() if callable(meanings) else meanings
        names = own or ACTIONS.get(self.env.unwrapped.spec.name, ())
        if len(names) == count:
            return tuple(str(name) for name in names)
        return tuple(f"action_{n}" for n in range(count))

    def restart(self) -> None:
        """Begin a new game; only the first one is seeded."""
        observation, info = self.env.reset(seed=self.random_seed)
        self.random_seed = None
        self.terminated = self.truncated = False
        self._take(observation, info)

    def act(self, action: int) -> float:
        """Do one step of the environment and return its reward."""
        start = int(self.env.action_space.start)
        observation, reward, terminated, truncated, info = self.env.step(start + action)
        self.terminated, self.truncated = bool(terminated), bool(truncated)
        self._take(observation, info)
        return float(reward)

    def screen(self) -> Picture:
        """The observation if it is a picture, otherwise what the environment renders."""
        if self.seen is None:
            self.seen = self.frame_rgb()
        return self.seen

    def is_terminal(self) -> bool:
        """Whether the environment has ended the game, by its rules or by a limit."""
        return self.terminated or self.truncated

    def is_truncated(self) -> bool:
        """Whether the game was ended by a limit, not by its rules."""
        return self.truncated and not self.terminated

    def lives(self) -> int:
        """The lives that the environment reports, 0 if it reports none."""
        return self.lives_left

    def frame_rgb(self) -> Picture:
        """The picture to show to people: the environment's rendering, or its observation."""
        shape = self.env.observation_space.shape
        if self.observes_pictures and (shape[2:] == (3,) or not self.renders):
            return self.screen()
        rendered = self.env.render()
        if not isinstance(rendered, np.ndarray):
            raise UserError(f"{self.name} did not render a picture: the agent has nothing to see.")
        return rendered

    def _take(self, observation: Any, info: dict[str, Any]) -> None:
        self.seen = observation if self.observes_pictures else None
        self.lives_left = int(info.get("lives", 0))

    def _action_space(self) -> Any:
        """The environment's discrete actions. Raises UserError if they are not discrete."""
        import gymnasium

        space = self.env.action_space
        if not isinstance(space, gymnasium.spaces.Discrete):
            raise UserError(
                f"The actions of {self.name} are {space}: a deep Q-network needs discrete actions "
                "like those of CartPole-v1."
            )
        return space
