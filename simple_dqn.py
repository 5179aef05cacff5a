"""Trained agents in Python: `from simple_dqn import load`. docs/python.md explains."""

import sys
from pathlib import Path

# The program's modules, before others of the same names.
sys.path[:0] = [str(Path(__file__).parent / "src"), str(Path(__file__).parent)]

from api.agent import LoadedAgent  # noqa: E402
from api.environment import PlayedEnvironment  # noqa: E402
from api.load import load  # noqa: E402
from errors import UserError  # noqa: E402

__all__ = ["LoadedAgent", "PlayedEnvironment", "UserError", "load"]
