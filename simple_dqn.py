"""Trained agents in Python: `from simple_dqn import load`; see docs/python.md."""

import sys
from pathlib import Path

# Before other modules with the same names.
sys.path.insert(0, str(Path(__file__).parent / "src"))

from api.agent import LoadedAgent
from api.environment import PlayedEnvironment
from api.load import load
from errors import UserError

__all__ = ["LoadedAgent", "PlayedEnvironment", "UserError", "load"]
