"""What a cluster must be before a sweep starts on it; and how jobs come back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from errors import UserError
from runs.provenance import versions
from sweeps import pool
from sweeps.node import Job
from sweeps.pool import End, Pool


class RayError(Exception):
    pass


class RayTaskError(RayError):
    cause = OSError("no such folder")


class NodeDiedError(RayError):
    pass


class LocalRayletDiedError(RayError):
    pass


ERRORS = SimpleNamespace(
    RayError=RayError,
    RayTaskError=RayTaskError,
    NodeDiedError=NodeDiedError,
    LocalRayletDiedError=LocalRayletDiedError,
)


class FakeRay:
    """Its nodes answer `look_around` as the test says, or raise."""

    exceptions = ERRORS

    def __init__(self, *answers: Callable[[str], Any]) -> None:
        self.answers = list(answers)
        self.late: list[Any] = []

    def remote(self, _: Any) -> FakeRay:
        return self

    def options(self, **_: Any) -> Any:
        answer = self.answers.pop(0)
        return SimpleNamespace(remote=lambda probe, *_: (answer, Path(probe).read_text()))

    def wait(self, found: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        return [each for each in found if each not in self.late], self.late

    def get(self, found: Any) -> Any:
        answer, word = found
        return answer(word)


def sees_all(word: str) -> dict[str, str]:
    return {"host": "n1", "probe": word, "answer": json.dumps(versions())}


def dies(word: str) -> dict[str, str]:
    raise NodeDiedError


def check(home: Path, monkeypatch: pytest.MonkeyPatch, *answers: Callable[[str], Any]) -> None:
    monkeypatch.setattr(pool, "ROOT", home)
    strategies = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda *_, **__: None)
    monkeypatch.setitem(__import__("sys").modules, "ray.util.scheduling_strategies", strategies)
    nodes = [{"NodeID": str(i)} for i in range(len(answers))]
    ray: Any = FakeRay(*answers)
    pool._check_nodes(ray, nodes)


@pytest.mark.usefixtures("home")
def test_nodes_with_the_folder_and_the_versions_will_do(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(home, monkeypatch, sees_all, dies, sees_all)
    assert list((home / "results").iterdir()) == [], "the probe is removed"


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        ({"probe": ""}, "n2 does not see .*in a folder that all nodes share"),
        ({"probe": "another"}, "n2 does not see"),
        ({"answer": "no such file"}, "n2 cannot run .*no such file"),
        (
            {"answer": json.dumps(versions() | {"torch": "1.0"})},
            "n2 has torch 1.0, this machine has .*need the same versions",
        ),
    ],
)
def test_a_node_that_will_not_do_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, seen: dict[str, str], says: str
) -> None:
    def answer(word: str) -> dict[str, str]:
        return sees_all(word) | {"host": "n2"} | seen

    with pytest.raises(UserError, match=says):
        check(home, monkeypatch, sees_all, answer)
    assert list((home / "results").iterdir()) == []


def test_a_cluster_of_dead_nodes_will_not_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="All of the cluster's 1 nodes do not answer"):
        check(home, monkeypatch, dies)


@pytest.mark.parametrize(
    ("cpus", "gpus", "expected"),
    [(1, 0, 16), (4, 0, 4), (0.5, 0, 32), (5, 0, 3), (17, 0, 0), (1, 0.25, 8), (1, 1, 2)],
)
def test_as_many_at_once_as_there_is_room_for(cpus: float, gpus: float, expected: int) -> None:
    assert pool._room({"CPU": 16.0, "GPU": 2.0}, cpus, gpus) == expected


def test_a_node_without_gpus_has_no_room_for_what_needs_one() -> None:
    assert pool._room({"CPU": 16.0}, 1, 0.1) == 0


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (0, {"code": 0}),
        (-9, {"code": -9}),
        (NodeDiedError(), {"code": None, "reason": "its node died", "blameless": True}),
        (RayTaskError(), {"code": None, "reason": "no such folder"}),
        (RayError(), {"code": None, "reason": "RayError"}),
    ],
)
def test_a_job_comes_back_with_its_code_or_the_reason(
    outcome: object, expected: dict[str, Any]
) -> None:
    def get(_: object) -> object:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    ray: Any = SimpleNamespace(exceptions=ERRORS, get=get, wait=lambda jobs, **_: (jobs, []))
    names = dict.fromkeys(["name", "checkpoints", "snapshots", "log", "cwd"], "")
    job = Job(begin=(), again=(), program=(), gpus=0, **names)
    found = Pool(ray=ray, cpus=1, gpus=0, at_once=1, nodes=1, jobs={"reference": job})
    assert found.wait(0) == [End(job=job, **expected)]
    assert not found.jobs
