"""Code of your own: a class in a file of yours, named path/to/my_env.py:MyEnvironment."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from config import CODE, ROOT, EnvironmentSettings
from envs.preprocessing import PreprocessedEnvironment
from errors import UserError, shown, shown_traceback


def code_name(flag: str, text: str) -> str:
    """`text` as a value of --environment or --network, its file named so that it is found again.

    A file is looked for from the current folder, then from the clone's; one inside the clone is
    named relative to it, another one with its full path. Raises UserError if there is none.
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
    """The environment that `name`, of `code_name`, stands for.

    Its class is called with those of game, random_seed, frame_skip, screen_width and screen_height
    that it declares. If it declares no frame_skip, actions are repeated by PreprocessedEnvironment.
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
                    f"{name} wants {parameter.name}, which nobody gives it: it may ask for "
                    f"{', '.join(offered)}; all else needs a default."
                )
        declared = "frame_skip" in inspect.signature(made).parameters
        world = made(**given)
    if declared:
        settings = replace(settings, frame_skip=1)
    return PreprocessedEnvironment(settings, world=world, name=name)


def load_class(name: str) -> Any:
    """What the file of `name` calls so. Raises UserError."""
    file, _, attribute = name.rpartition(":")
    path = ROOT / file  # or `file` itself if it is a full path
    with shown_traceback(str(path)):
        module_name = f"code_of_{path.stem}"  # a game.py must not shadow ours
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module  # dataclasses and pickles look themselves up there
        if str(path.parent) not in sys.path:
            sys.path.append(str(path.parent))  # for what lies beside it
        spec.loader.exec_module(module)
    if not callable(getattr(module, attribute, None)):
        classes = [key for key, value in vars(module).items() if inspect.isclass(value)]
        hint = f" It has {', '.join(classes)}." if classes else ""
        raise UserError(f"There is no {attribute} in {path}.{hint}")
    return getattr(module, attribute)
