from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from config import EnvironmentSettings
from environment import ALEEnvironment
from envs.roms import find_rom
from watch.joystick import Joystick, action_name, nearest_action


def make(game: str, **settings: Any) -> ALEEnvironment:
    return ALEEnvironment(EnvironmentSettings(**settings), rom=find_rom(game))


def test_every_legal_action_can_be_held() -> None:
    keys = ("up", "down", "left", "right", "fire")
    names = {
        action_name({key for key, down in zip(keys, held, strict=True) if down})
        for held in product((False, True), repeat=5)
    }
    environment = make("seaquest")
    assert names == set(environment.legal_actions)


@pytest.mark.parametrize(
    ("held", "name"),
    [
        (set(), "NOOP"),
        ({"fire"}, "FIRE"),
        ({"up", "left", "fire"}, "UPLEFTFIRE"),
        ({"left", "right", "down"}, "DOWN"),
    ],
)
def test_names(held: set[str], name: str) -> None:
    assert action_name(held) == name


def test_nearest_action_does_nothing_that_is_not_held() -> None:
    names = ["NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE"]
    assert nearest_action("UPRIGHTFIRE", names) == 4
    assert nearest_action("UPLEFT", names) == 3
    assert nearest_action("DOWN", names) == 0
    assert nearest_action("LEFT", ["action_0", "action_1"]) == 0


def test_agent_acts_as_without_a_joystick() -> None:
    def screens(wrapped: bool) -> list[Any]:
        game: Any = make("pong", repeat_action_probability=0.25)
        if wrapped:
            game = Joystick(game, lambda: None, lambda: None)
        game.set_mode("test")
        game.restart()
        return [(game.act(i % 6), game.screen()) for i in range(60)]

    for (r1, s1), (r2, s2) in zip(screens(False), screens(True), strict=True):
        assert r1 == r2
        np.testing.assert_array_equal(s1, s2)


def test_hand_is_asked_before_each_frame_and_may_press_what_the_agent_cannot() -> None:
    environment = make("breakout")
    pressed: list[str] = []
    press = environment.press

    def spy(action: Any, frames: int) -> float:
        pressed.extend([action.name] * frames)
        return press(action, frames)

    environment.press = spy  # type: ignore[method-assign]
    hand = iter(["LEFT", "UPLEFTFIRE", "NOOP", "RIGHT", None])
    game = Joystick(environment, lambda: next(hand), lambda: None)
    game.act(1)
    game.act(1)
    assert pressed == ["LEFT", "UPLEFTFIRE", "NOOP", "RIGHT"] + ["FIRE"] * 4


def test_other_environments_get_the_nearest_of_their_actions() -> None:
    class World:
        action_names = ("NOOP", "LEFT", "RIGHT")

        def act(self, action: int) -> float:
            return float(action)

    assert Joystick(World(), lambda: "UPRIGHT", lambda: None).act(0) == 2
    assert Joystick(World(), lambda: None, lambda: None).act(1) == 1
