"""Gymnasium's environments: what is seen, what is repeated, how games end, what is refused."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import main
from config import EnvironmentSettings
from environment import ALEEnvironment
from envs.gym import HOW_TO_INSTALL, make_gym_environment
from envs.preprocessing import PreprocessedEnvironment
from envs.roms import find_rom
from errors import UserError
from palette import ALE_LUMA
from watch.frames import Frame

gymnasium: Any = pytest.importorskip("gymnasium", reason="without requirements-gym.txt")
from gymnasium import spaces  # noqa: E402 - only where it is installed

ROOT = Path(__file__).resolve().parents[2]


class Counter(gymnasium.Env):  # type: ignore[misc]
    """Ends after `end` steps, terminated or truncated; its picture is filled with the steps."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(
        self,
        *,
        shape: tuple[int, ...] | None = None,
        actions: Any = None,
        end: int = 5,
        truncates: bool = False,
        lives: tuple[int, ...] = (),
        render_mode: str | None = None,
        frameskip: int = 1,
    ) -> None:
        self.render_mode = render_mode
        self.action_space = actions or spaces.Discrete(3)
        self.observation_space = (
            spaces.Box(0, 255, shape, np.uint8) if shape else spaces.Box(0, 1, (2,), np.float32)
        )
        self.shape, self.end, self.truncates, self.lives = shape, end, truncates, lives
        self.frameskip = frameskip
        self.resets: list[int | None] = []
        self.actions: list[int] = []
        self.rendered = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.resets.append(seed)
        self.steps = 0
        return self.result()[0], self.info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += self.frameskip
        self.actions.append(action)
        over = self.steps >= self.end
        ends = (over and not self.truncates, over and self.truncates)
        return self.result()[0], self.np_random.random(), *ends, self.info()

    def result(self) -> tuple[Any]:
        if not self.shape:
            return (np.zeros(2, np.float32),)
        return (np.full(self.shape, self.steps, np.uint8),)

    def info(self) -> dict[str, Any]:
        return {"lives": self.lives[min(self.steps, len(self.lives) - 1)]} if self.lives else {}

    def render(self) -> Any:
        self.rendered += 1
        return np.full((48, 64, 3), 10 * self.steps, np.uint8)


class Blind(Counter):
    metadata = {"render_modes": []}  # noqa: RUF012


class Speechless(Counter):
    def render(self) -> None:
        return None


class Shrinking(Counter):
    def render(self) -> NDArray[np.uint8]:
        return np.zeros((48 - self.steps, 64, 3), np.uint8)


class Growing(Counter):
    def reset(self, **settings: Any) -> Any:
        self.action_space = spaces.Discrete(2 + len(self.resets))
        return super().reset(**settings)


class Needing(Counter):
    def __init__(self, **told: Any) -> None:
        raise gymnasium.error.DependencyNotInstalled("Box2D is not installed")


class Failing(Counter):
    def step(self, action: Any) -> Any:
        raise ZeroDivisionError("in step")


@pytest.fixture(autouse=True, scope="module")
def registered() -> Iterator[None]:
    kinds = (Counter, Blind, Speechless, Shrinking, Growing, Needing, Failing)
    for kind in kinds:
        gymnasium.register(f"Test{kind.__name__}-v0", kind)
    gymnasium.register("TestSkipping-v0", Counter, kwargs={"frameskip": 4})
    yield
    for name in [name for name in gymnasium.registry if name.startswith("Test")]:
        del gymnasium.registry[name]


def make(name: str = "TestCounter-v0", seed: int = 1, **flags: Any) -> PreprocessedEnvironment:
    """With the environment's own frame skip and sticky actions unless `flags` say otherwise."""
    own: dict[str, Any] = dict(frame_skip=None, repeat_action_probability=None)
    settings = EnvironmentSettings(**own | flags)
    return make_gym_environment(settings, name=name, random_seed=seed)


def make_with(seed: int = 1, **told: Any) -> Any:
    """A Counter with these keywords at the start of its game, its records empty."""
    gymnasium.register("TestTold-v0", Counter, kwargs=told)
    try:
        environment: Any = make("TestTold-v0", seed)
    finally:
        del gymnasium.registry["TestTold-v0"]
    inner = environment.world.env.unwrapped
    inner.resets, inner.actions, inner.rendered = [], [], 0
    return environment


# What is seen


@pytest.mark.parametrize("shape", [(50, 40, 3), (50, 40), (50, 40, 1)])
def test_pictures_are_taken_as_they_are(shape: tuple[int, ...]) -> None:
    environment = make_with(shape=shape)
    environment.act(0)
    np.testing.assert_array_equal(environment.screen(), np.ones((84, 84), np.uint8))
    assert environment.world.env.unwrapped.rendered == 0


def test_others_are_rendered_once_a_step() -> None:
    environment = make_with()
    environment.act(0)
    environment.act(0)
    for _ in range(2):
        np.testing.assert_array_equal(environment.screen(), np.full((84, 84), 20, np.uint8))
    assert environment.world.env.unwrapped.rendered == 1


def test_frames_are_color_and_as_fast_as_the_environment_says() -> None:
    environment = make_with(shape=(50, 40))
    frames: list[Frame] = []
    environment.frame_listeners.append(frames.append)
    environment.act(0)
    (frame,) = frames
    assert frame.rgb.shape == (48, 64, 3), "its rendering is finer than a gray observation"
    assert frame.audio is None
    assert environment.frames_per_second == 20


# ALE through Gymnasium


@pytest.mark.parametrize("game", ["Breakout", "Pong"])
def test_ale_is_the_same_through_gymnasium(game: str) -> None:
    settings = EnvironmentSettings(color_averaging=False)
    ours = ALEEnvironment(settings, rom=find_rom(game), random_seed=1)
    theirs = make(f"ALE/{game}-v5", repeat_action_probability=0.0)
    assert theirs.action_names == ours.action_names
    assert theirs.frames_per_second * ours.frame_skip == ours.frames_per_second
    rng = np.random.default_rng(1)
    for environment in (ours, theirs):
        environment.set_mode("train")
        environment.restart()
    ended = 0
    for _ in range(300):
        action = int(rng.integers(len(ours.action_names)))
        assert ours.act(action) == theirs.act(action)
        assert ours.lives() == theirs.lives()
        assert ours.is_terminal() == theirs.is_terminal()
        np.testing.assert_array_equal(ours.screen(), theirs.screen())
        if ours.is_terminal():
            ended += 1
            ours.restart()
            theirs.restart()
    assert ended or game == "Pong"


# Nothing twice


def told(name: str, **settings: Any) -> tuple[int, dict[str, Any]]:
    """How often actions are repeated here, and the keywords the environment was given."""
    environment: Any = make(name, **settings)
    return environment.frame_skip, environment.world.env.unwrapped.spec.kwargs


def test_an_environment_keeps_its_own_frame_skip_or_is_told() -> None:
    repeats, kwargs = told("ALE/Breakout-v5")
    assert (repeats, kwargs["frameskip"], kwargs["repeat_action_probability"]) == (1, 4, 0.25)
    repeats, kwargs = told(
        "ALE/Breakout-v5",
        frame_skip=3,
        repeat_action_probability=0.1,
        minimal_action_set=False,
        max_episode_frames=99,
    )
    assert (repeats, kwargs["frameskip"], kwargs["repeat_action_probability"]) == (1, 3, 0.1)
    assert kwargs["max_num_frames_per_episode"] == 99
    assert kwargs["full_action_space"] is True
    assert told("TestCounter-v0")[0] == 1
    assert told("TestCounter-v0", frame_skip=3)[0] == 3
    assert told("TestSkipping-v0", frame_skip=3)[1]["frameskip"] == 3


def test_max_episode_frames_reaches_every_environment() -> None:
    environment: Any = make("ALE/Breakout-v5", max_episode_frames=40)
    steps = 0
    environment.restart()
    while not environment.is_terminal():
        environment.act(0)
        steps += 1
    assert (steps, environment.is_truncated()) == (10, True)
    environment = make(max_episode_frames=3)
    for _ in range(3):
        environment.act(0)
    assert environment.is_truncated()


def test_sticky_actions_are_for_those_that_have_them() -> None:
    with pytest.raises(UserError, match="TestCounter-v0 has no sticky actions"):
        make(repeat_action_probability=0.25)
    assert make(repeat_action_probability=0.0).frame_skip == 1


# How games begin and end


@pytest.mark.parametrize("truncates", [False, True])
def test_truncated_is_told_from_terminated(truncates: bool) -> None:
    environment = make_with(end=3, truncates=truncates)
    for step in range(1, 4):
        environment.act(0)
        assert environment.is_terminal() == (step == 3)
    assert environment.is_truncated() == truncates
    environment.restart()
    assert (environment.is_terminal(), environment.is_truncated()) == (False, False)


def test_a_lost_life_ends_the_episode_in_training_only() -> None:
    environment = make_with(end=9, lives=(3, 3, 2, 2))
    inner = environment.world.env.unwrapped
    environment.act(0)
    assert (environment.is_terminal(), environment.lives()) == (False, 3)
    environment.act(0)
    assert (environment.is_terminal(), environment.is_truncated()) == (True, False)
    environment.restart()
    assert inner.resets == [], "the game continues"
    environment.set_mode("test")
    environment.restart()
    assert inner.resets == [None]
    for _ in range(2):
        environment.act(0)
    assert not environment.is_terminal()


def test_the_seed_decides() -> None:
    def rewards(seed: int) -> list[float]:
        environment = make(seed=seed)
        return [environment.act(0) for _ in range(4)]

    assert rewards(1) == rewards(1) != rewards(2)
    environment = make_with()
    environment.restart()
    assert environment.world.env.unwrapped.resets == [None], "seeded once, at the very first"


def test_actions_may_start_anywhere() -> None:
    environment = make_with(actions=spaces.Discrete(2, start=5))
    assert environment.action_names == ("action_0", "action_1")
    environment.act(1)
    assert environment.world.env.unwrapped.actions == [6]


def test_well_known_actions_have_names() -> None:
    assert make("CartPole-v1").action_names == ("LEFT", "RIGHT")


# What is refused


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Pendulum-v1", r"actions of Pendulum-v1 are Box.* needs discrete actions"),
        ("TestBlind-v0", "nothing to see in TestBlind-v0"),
        ("TestSpeechless-v0", "TestSpeechless-v0 did not render a picture"),
        ("TestShrinking-v0", r"changed the shape of its screens from \(48, 64, 3\) to \(47,"),
        ("TestGrowing-v0", "TestGrowing-v0 has changed its actions"),
        ("TestNeeding-v0", "TestNeeding-v0 cannot be created: Box2D is not installed"),
        ("TestFailing-v0", "TestFailing-v0 stopped with the error above"),
        ("TestCountr-v0", "no environment TestCountr-v0; did you mean TestCounter-v0"),
        ("CartPole", "did you mean CartPole-v1"),
        ("not/there:CartPole-v1", "The package not/there of .* is not installed"),
        ("nothere:CartPole-v1", "The package nothere of .* is not installed"),
        (".os:CartPole-v1", r"The package \.os of .* is not installed"),
        ("ALE/Pong-v99", "did you mean ALE/Pong-v5"),
    ],
)
def test_what_cannot_work_is_refused(name: str, says: str, capsys: Any) -> None:
    with pytest.raises(UserError, match=says):
        make(name)
    assert ("in step" in capsys.readouterr().err) == (name == "TestFailing-v0")


def test_functions_may_make_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    def rendered(**keywords: Any) -> Counter:
        return Counter(**keywords)

    def seen() -> Counter:
        return Counter(shape=(40, 30))

    for name, function in (("TestRendered-v0", rendered), ("TestSeen-v0", seen)):
        gymnasium.register(name, function)
        try:
            assert make(name).frame_rgb().shape[2] == 3
        finally:
            del gymnasium.registry[name]


def test_a_package_can_be_named() -> None:
    assert make("gymnasium:CartPole-v1").name == "gymnasium:CartPole-v1"


def test_a_missing_gymnasium_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(UserError, match=re.escape(HOW_TO_INSTALL)):
        make("CartPole-v1")
    assert HOW_TO_INSTALL in (ROOT / "requirements-gym.txt").read_text()
    assert HOW_TO_INSTALL in (ROOT / "docs" / "environments.md").read_text()


# The whole way


def test_flappy_bird_is_there() -> None:
    pytest.importorskip("flappy_bird_gymnasium", reason="without requirements-gym.txt")
    environment = make("FlappyBird-v0")
    picture = environment.frame_rgb()
    assert picture.shape == (512, 288, 3)
    gray = np.round(picture @ ALE_LUMA).astype(np.uint8)
    np.testing.assert_array_equal(environment.screen(), cv2.resize(gray, (84, 84)))
    for _ in range(200):
        environment.act(0)
        if environment.is_terminal():
            break
    assert environment.is_terminal(), "it has fallen"


def test_pygame_is_not_overwritten() -> None:
    lines = (ROOT / "requirements-gym.txt").read_text().splitlines()
    assert not any(line.startswith("pygame") for line in lines)
    code = "import flappy_bird_gymnasium, pygame; print(pygame.IS_CE)"
    pytest.importorskip("flappy_bird_gymnasium", reason="without requirements-gym.txt")
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert output.stdout.split()[-1] in ("1", "True")


def test_a_run_from_training_to_testing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = "--random_steps 60 --train_steps 12 --test_steps 10 --epochs 1 --replay_size 500"
    small += " --screen_width 36 --screen_height 36 --threads 1 --csv_file cartpole.csv"
    small += " --save_weights_prefix cartpole"
    assert main.main(["CartPole-v1", "--environment", "gym", *small.split()]) == 0
    assert len((tmp_path / "cartpole.csv").read_text().splitlines()) == 4
    assert main.main(["test", "cartpole_1.pkl", "--test_games", "2", "--threads", "1"]) == 0
    assert "CartPole-v1, 2 games" in capsys.readouterr().out
