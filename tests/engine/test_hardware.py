"""What a run finds out about its machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine import hardware
from engine.hardware import cores, free_memory


def test_free_memory_is_known() -> None:
    assert 0 < free_memory() < 2**50


def test_cached_files_are_free_memory_within_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = "anon 100\nfile 750\nactive_file 300\ninactive_file 400\n"
    for name, text in {"max": "1000\n", "current": "900\n", "stat": stat}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    monkeypatch.setattr(hardware, "CONTROL_GROUP", tmp_path)
    assert free_memory() == 1000 - 900 + 300 + 400
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() > 1000


def test_cores_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 6}, raising=False)
    assert cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert cores() == 8


@pytest.mark.parametrize(
    ("limit", "count"), [("max 100000", 8), ("250000 100000", 3), ("50000 100000", 1), ("?", 8)]
)
def test_cores_are_within_the_limit_of_a_container(
    limit: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(f"{limit}\n")
    monkeypatch.setattr(hardware, "CONTROL_GROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cores() == count
