"""Environments of your own: a class in a file of yours, named path/to/my_env.py:MyEnvironment."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any

from config import ROOT
from envs.preprocessing import AdaptedEnvironment
from errors import UserError, shown_traceback


def environment_name(text: str) -> str:
    """`text` as a value of --environment, its file found and named so that it is found again.

    A file is looked for from the current folder, then from the clone's; one inside the clone is
    named relative to it, another one with its full path. Raises UserError if there is none.
    """
    if text in ("ale", "gym"):
        return text
    file, colon, name = text.rpartition(":")
    if not colon or not file.endswith(".py") or not name.isidentifier():
        raise UserError(f"--environment is ale, gym or my_env.py:MyEnvironment, not {text!r}.")
    for path in (Path(file), ROOT / file):
        if path.is_file():
            path = path.resolve()
            return f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}:{name}"
    raise UserError(f"There is no file {file} with an environment {name}.")


def make_own_environment(
    *,
    name: str,
    game: str,
    random_seed: int,
    frame_skip: int | None = None,
    screen_width: int = 84,
    screen_height: int = 84,
    **settings: Any,
) -> AdaptedEnvironment:
    """The environment that `name`, of `environment_name`, stands for; `settings` are the adapter's.

    Its class is called with those of game, random_seed, frame_skip, screen_width and screen_height
    that it declares. Without a frame_skip of its own the adapter repeats actions.
    """
    offered: dict[str, Any] = {"game": game, "random_seed": random_seed}
    offered |= {"screen_width": screen_width, "screen_height": screen_height}
    offered["frame_skip"] = frame_skip or 1
    made = _load(name)
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
    return AdaptedEnvironment(
        world,
        name=name,
        frame_skip=1 if declared else frame_skip or 1,
        screen_width=screen_width,
        screen_height=screen_height,
        **settings,
    )


def _load(name: str) -> Any:
    """What the file of `name` calls so."""
    file, _, attribute = name.rpartition(":")
    path = ROOT / file  # or `file` itself if it is a full path
    with shown_traceback(str(path)):
        module_name = f"environment_of_{path.stem}"  # a game.py must not shadow ours
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
