"""Lets a person take over the joystick, and passes the actions held to the game."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from agent import Agent
from watch.agent_view import AgentView
from watch.frames import FrameListener


def action_name(held: Collection[str]) -> str:
    """ALE's name of the action for the held keys, some of `up down left right fire`."""
    vertical = ("up" in held) - ("down" in held)
    horizontal = ("right" in held) - ("left" in held)
    direction = ("", "UP", "DOWN")[vertical] + ("", "RIGHT", "LEFT")[horizontal]
    return direction + ("FIRE" if "fire" in held else "") or "NOOP"


def nearest_action(name: str, action_names: Sequence[str]) -> int:
    """The action that does as much as possible of `name` and nothing else; 0 if there is none."""

    def parts(name: str) -> set[str]:
        return set(re.findall("UP|DOWN|LEFT|RIGHT|FIRE", name.upper()))

    wanted = parts(name)
    fits = [len(parts(known)) if parts(known) <= wanted else 0 for known in action_names]
    return fits.index(max(fits)) if any(fits) else 0


class Joystick:
    """An environment whose joystick a person can take over; everything else is passed on.

    In ALE's games every legal action can be pressed, and keys are read before each frame, because a
    step is long for a person. In other environments they are read before each step.
    """

    def __init__(
        self,
        environment: Any,
        held_action: Callable[[], str | None],
        on_restart: Callable[[], None],
    ) -> None:
        """`held_action` returns the name of the action held, or None while the agent plays."""
        self.environment = environment
        self.held_action = held_action
        self.on_restart = on_restart

    def __getattr__(self, name: str) -> Any:
        return getattr(self.environment, name)

    def restart(self) -> None:
        """Begin a new game."""
        self.on_restart()
        self.environment.restart()

    def act(self, action: int) -> float:
        """Do the agent's `action`, or what a person holds."""
        game, held = self.environment, self.held_action()
        if held is None:
            reward: float = game.act(action)
            return reward
        if not hasattr(game, "press"):
            reward = game.act(nearest_action(held, game.action_names))
            return reward
        reward = 0.0
        for frames_left in reversed(range(game.frame_skip)):
            reward += game.press(game.legal_actions[held], 1)
            if not frames_left or game.is_terminal():
                break
            held = self.held_action() or "NOOP"
        return reward


@contextlib.contextmanager
def attached(
    agent: Agent,
    view: AgentView,
    listener: FrameListener,
    held_action: Callable[[], str | None] = lambda: None,
) -> Iterator[None]:
    """In the `with` block, `listener` gets every frame of the agent's game and `view` every step.

    `held_action` is a Joystick's. Only a game in this process can be seen.
    """
    played: Any = agent.games[0]
    environment = played.environment
    played.environment = Joystick(environment, held_action, view.on_restart)
    environment.frame_listeners.append(listener)
    agent.callbacks.append(view)
    try:
        yield
    finally:
        played.environment = environment
        environment.frame_listeners.remove(listener)
        agent.callbacks.remove(view)
