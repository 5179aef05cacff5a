"""What a run finds out about its machine."""

from __future__ import annotations

import os

import pytest

from engine.hardware import cores, free_memory


def test_free_memory_is_known() -> None:
    assert 0 < free_memory() < 2**50


def test_cores_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 6}, raising=False)
    assert cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert cores() == 8
