"""What all tests share: one thread a process, as the machine has other work; a home apart."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import paths
from commands import verbs
from envs import roms
from user_code import trust

try:
    import torch
except ModuleNotFoundError:  # an environment for Neon alone
    pass
else:
    torch.set_num_threads(1)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the program takes for its own, and works in."""
    for module in (paths, verbs, roms):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def trusted(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What tests agree to is not agreed to in this clone."""
    monkeypatch.setattr(trust, "FOLDER", tmp_path_factory.mktemp("trusted"))


@pytest.fixture(autouse=True)
def denormals() -> Iterator[None]:
    """A network turns denormal numbers off for the process; hypothesis refuses to work so."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
