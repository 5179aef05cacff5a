"""The choice of where screens are kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from config import Config
from errors import UserError
from replay.make import choose_storage, make_screens


@pytest.mark.parametrize(
    ("storage", "gigabytes", "on_gpu", "taken"),
    [
        ("auto", 20, 80, "gpu"),
        ("auto", 20, 8, "array"),
        ("gpu", 2, 8, "gpu"),
        ("array", 20, 80, "array"),
        ("auto", 20, 0, "array"),
        ("auto", 10, 0, "compressed"),
        ("auto", 2, 0, "compressed"),
        ("array", 8, 0, "array"),
        ("compressed", 20, 0, "compressed"),
    ],
)
def test_auto_takes_what_fits_comfortably(
    storage: str, gigabytes: int, on_gpu: int, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replay.make.free_memory", lambda: gigabytes * 10**9)
    monkeypatch.setattr("replay.make.free_gpu_memory", lambda *_: on_gpu * 10**9)
    assert choose_storage(Config(replay_storage=storage)) == taken


@pytest.mark.parametrize(
    ("storage", "megabytes", "hint"),
    [
        ("gpu", 2000, "--replay_storage compressed fits"),
        ("array", 2000, "--replay_storage compressed fits"),
        ("array", 1200, r"--replay_size \d+ fits"),
        ("compressed", 1200, r"--replay_size \d+ fits"),
    ],
)
def test_a_memory_that_does_not_fit_is_refused(
    storage: str, megabytes: int, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replay.make.free_memory", lambda: megabytes * 10**6)
    monkeypatch.setattr("replay.make.free_gpu_memory", lambda *_: 2 * 10**9)
    with pytest.raises(UserError, match=hint):
        choose_storage(Config(replay_storage=storage))


def test_without_a_gpu_its_memory_cannot_be_used() -> None:
    with pytest.raises(UserError, match="needs a GPU"):
        choose_storage(Config(replay_storage="gpu", backend="cpu"))


def test_a_gpu_that_fills_up_meanwhile_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch, "zeros", full)
    with pytest.raises(UserError, match="no room for the replay memory"):
        make_screens("gpu", Config())
