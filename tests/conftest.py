"""What all tests share: one thread a process, as the machine has other work; a home apart."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import files
import resume
import verbs

torch.set_num_threads(1)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the program takes for its own, and works in."""
    for module in (files, resume, verbs):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path
