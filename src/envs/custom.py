"""An environment of the user's own: a class in a file, path/to/my_env.py:MyEnvironment."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

from config import EnvironmentSettings
from envs.preprocessing import PreprocessedEnvironment
from errors import UserError, shown_traceback
from user_code.load import load_class


def make_own_environment(
    settings: EnvironmentSettings, *, name: str, game: str, random_seed: int
) -> PreprocessedEnvironment:
    """The environment called `name`, which is a result of `code_name`.

    Its class is called with those of game, random_seed, frame_skip, screen_width and screen_height
    that it declares. Without frame_skip, PreprocessedEnvironment repeats its actions.
    """
    frame_skip = settings.frame_skip
    offered: dict[str, Any] = {
        "game": game,
        "random_seed": random_seed,
        "frame_skip": frame_skip or 1,
        "screen_width": settings.screen_width,
        "screen_height": settings.screen_height,
    }
    made = load_class(name)
    given = {}
    with shown_traceback(name):
        for parameter in inspect.signature(made).parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            required = parameter.default is parameter.empty
            if parameter.name in offered:
                if required or parameter.name != "frame_skip" or frame_skip:
                    given[parameter.name] = offered[parameter.name]
            elif required:
                raise UserError(
                    f"{name} requires the argument {parameter.name}, which is not provided: give "
                    f"it a default, or use {', '.join(offered)}."
                )
        declared = "frame_skip" in inspect.signature(made).parameters
        world = made(**given)
    if declared:
        settings = replace(settings, frame_skip=1)
    return PreprocessedEnvironment(settings, world=world, name=name)
