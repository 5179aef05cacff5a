"""Code named on the command line: a class or a function in a file, path/to/my_env.py:MyClass."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any

from config import CODE, ROOT
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
