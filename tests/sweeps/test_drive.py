"""What is started again, what is given up, and that one run's failure stops no other."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest

from errors import NOT_SAVED, UNUSABLE_INPUT
from sweeps.drive import FRUITLESS, drive, last_words
from sweeps.node import MARK, Job
from sweeps.pool import End, Pool


class Script:
    """A pool whose jobs end as the test says."""

    def __init__(self, ends: dict[str, Iterable[Any]], folder: Path) -> None:
        """`ends`: of each job's attempts, a code or the fields of an End."""
        self.ends = {name: iter(values) for name, values in ends.items()}
        self.folder = folder
        self.jobs: list[Job] = []
        self.begun: list[str] = []
        self.stopped = False
        self.finished: list[str] = []  # the jobs that need no further process
        self.seen: list[dict[str, str]] = []  # the failures that are shown

    def submit(self, job: Job) -> None:
        self.jobs.append(job)
        self.begun.append(job.name)

    def wait(self, _: float) -> list[End]:
        job = self.jobs.pop(0)
        fields = next(self.ends[job.name])
        if isinstance(fields, type):
            raise fields
        if isinstance(fields, int):
            fields = {"code": fields}
        if further := fields.pop("further", 0):
            Path(job.checkpoints).mkdir(exist_ok=True)
            (Path(job.checkpoints) / f"{further:06}.json").touch()
        if epoch := fields.pop("epoch", 0):
            Path(f"{job.snapshots}_{epoch}.pkl").touch()
        return [End(job=job, **{"code": None} | fields)]

    def stop(self) -> None:
        self.stopped = True

    def drive(self) -> dict[str, str]:
        jobs = [
            Job(
                name=name,
                begin=(),
                again=(),
                checkpoints=str(self.folder / name),
                snapshots=str(self.folder / name),
                log=str(self.folder / f"{name}.log"),
                program=(),
                cwd="",
                gpus=0,
            )
            for name in self.ends
        ]
        pool = cast(Pool, self)
        is_finished = self.finished.__contains__
        return drive(jobs, pool, seconds=0, look=self.seen.append, is_finished=is_finished)


def test_what_was_killed_or_stopped_by_others_is_started_again(tmp_path: Path) -> None:
    pool = Script({"a": [-9, 4, 0], "b": [130, {"reason": "gone"}, 0], "c": [0]}, tmp_path)
    assert pool.drive() == {}
    assert sorted(pool.begun) == ["a"] * 3 + ["b"] * 3 + ["c"]


def test_what_fails_by_itself_is_said_at_the_end_and_stops_no_other(tmp_path: Path) -> None:
    said = "train: It diverged.\n"
    (tmp_path / "a.log").write_text(f"{MARK}{{}}\nfine so far\n{said}\n{MARK}{{}}\n")
    pool = Script({"a": [1], "b": [2], "c": [-9, 0]}, tmp_path)
    assert pool.drive() == {
        "a": "train: It diverged.",
        "b": f"It printed no message; see {tmp_path / 'b.log'}.",
    }
    assert sorted(pool.begun) == ["a", "b", "c", "c"]


def test_a_run_that_gets_no_further_is_given_up(tmp_path: Path) -> None:
    pool = Script({"a": [-9] * FRUITLESS, "b": [0]}, tmp_path)
    failures = pool.drive()
    assert list(failures) == list(pool.seen[-1]) == ["a"]
    assert f"{FRUITLESS} times without progress" in failures["a"]
    assert "memory" in failures["a"]


def test_getting_further_and_dead_nodes_do_not_count(tmp_path: Path) -> None:
    further = [{"code": -9, "further": n} for n in range(1, 8)]
    dead = [{"reason": "its node died", "blameless": True}] * 9
    epochs = [{"code": -9, "epoch": n} for n in range(1, 8)]  # without checkpoints
    pool = Script({"a": [*further, 0], "b": [*dead, 0], "c": [*epochs, 0]}, tmp_path)
    assert pool.drive() == {}
    assert [pool.begun.count(name) for name in "abc"] == [8, 10, 8]


@pytest.mark.parametrize("code", [-9, 130, NOT_SAVED, UNUSABLE_INPUT])
def test_a_finished_run_is_not_started_again_however_it_ended(tmp_path: Path, code: int) -> None:
    pool = Script({"a": [code], "b": [-9, 0]}, tmp_path)
    pool.finished = ["a"]
    assert pool.drive() == {}
    assert pool.begun == ["a", "b", "b"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_error_ends_all_in_order(error: type[BaseException], tmp_path: Path) -> None:
    pool = Script({"a": [error], "b": [0]}, tmp_path)
    with pytest.raises(error):
        pool.drive()
    assert pool.stopped


def test_last_words_of_a_log_that_is_not_there(tmp_path: Path) -> None:
    assert "printed no message" in last_words(tmp_path / "a.log")
