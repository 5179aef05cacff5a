"""Your own code: a class in a file, named as path/to/my_env.py:MyEnvironment."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from config import CODE, ROOT, EnvironmentSettings
from envs.preprocessing import PreprocessedEnvironment
from errors import USERS_MODULE, UserError, shown, shown_traceback


def code_name(flag: str, text: str) -> str:
    """`text` as a value of --`flag`, with a path that finds the file from any folder.

    A file is looked up first from the current folder, then from the clone. The path of a file in
    the clone is relative to it; any other path is absolute. Raises UserError if there is no file.
    """
    if text in CODE[flag]:
        return text
    file, colon, name = text.rpartition(":")
    if not colon or not file.endswith(".py") or not name.isidentifier():
        names = ", ".join(CODE[flag])
        raise UserError(f"--{flag} is {names} or my_file.py:MyClass, not {shown(text)}.")
    for path in (Path(file), ROOT / file):
        if path.is_file():
            path = path.resolve()
            return f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}:{name}"
    raise UserError(f"There is no file {file} with a class {name}: --{flag} needs one.")


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


def load_class(name: str) -> Any:
    """The class or function that `name` names, FILE.py:NAME. Raises UserError."""
    file, _, attribute = name.rpartition(":")
    path = ROOT / file  # or `file` itself if it is a full path
    with shown_traceback(str(path)):
        module_name = f"{USERS_MODULE}{path.stem}"  # somebody's game.py must not shadow ours
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module  # dataclasses and pickle look their classes up there
        if str(path.parent) not in sys.path:
            sys.path.append(str(path.parent))  # for what lies beside it
        spec.loader.exec_module(module)
    if not callable(getattr(module, attribute, None)):
        own = [key for key, value in vars(module).items() if _is_of(value, module_name)]
        hint = f" It has {', '.join(own)}." if own else ""
        raise UserError(f"There is no {attribute} in {path}.{hint}")
    return getattr(module, attribute)


def _is_of(value: object, module_name: str) -> bool:
    kinds = inspect.isclass(value) or inspect.isfunction(value)
    return kinds and getattr(value, "__module__", "") == module_name
