"""What --dry_run measures, and what it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import sweep
from commands.verbs import Task
from errors import UserError
from runs import forecast
from runs.forecast import Forecast
from runs.plan import Planned
from runs.run import Run
from sweeps import estimate
from sweeps.command import read_command
from sweeps.plan import describe

LINE = "pong --seeds 1 --name x --epochs 20 --dry_run"
PACE = {"random": 0.001, "train": 0.002, "test": 0.001}  # seconds per step
SNAPSHOT = 3_000_000  # bytes


@pytest.fixture
def measured(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the runs that were measured, by somebody who only says what they take."""
    names = []

    def measure(
        task: Task, todo: Sequence[Planned], storage: str, construct: Callable[..., Run]
    ) -> Forecast:
        names.append(task.name)
        return Forecast(PACE, 10_000_000, SNAPSHOT)

    monkeypatch.setattr(estimate, "measured", measure)
    return names


def test_a_short_run_is_measured_and_leaves_no_files(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(forecast, "MEASURED_SECONDS", dict.fromkeys(PACE, 0.01))
    before = sorted(home.rglob("*"))
    assert sweep.main(f"{LINE} --preset fast_pong --num_envs 1 --network_width 0.1".split()) == 0
    assert "A run takes up to" in capsys.readouterr().out
    assert sorted(home.rglob("*")) == before


def test_hours_are_those_of_the_runs_that_are_not_finished(
    measured: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    steps = "--random_steps 0 --train_steps 90000 --test_steps 0"  # an hour
    assert sweep.main(f"{LINE} --seeds 3 {steps}".split()) == 0
    assert "A run takes up to 1 h 0 min, all runs together 3.0 core hours." in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(("flags", "size"), [("", "60 MB"), ("--keep_snapshots 1", "6 MB")])
def test_snapshots_that_a_run_removes_take_no_room(
    measured: list[str], capsys: pytest.CaptureFixture[str], flags: str, size: str
) -> None:
    assert sweep.main(f"{LINE} {flags}".split()) == 0
    assert f"Disk: {size} of snapshots" in capsys.readouterr().out
    assert measured == ["pong_x_seed1"]


def test_a_setting_whose_runs_are_finished_is_not_measured(
    measured: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"{LINE} --vary double_q=true,false".split()
    done, _ = (found := read_command(line).sweep).runs
    describe(found)
    done.csv_file.write_text("epoch,phase\n20,test,1\n")
    (home / "snapshots").mkdir()
    (home / "snapshots" / f"{done.name}_20.pkl").touch()
    assert sweep.main(line) == 0
    assert measured == ["pong_x_double_q_false_seed1"]
    assert "2 runs. Measuring 1 ..." in capsys.readouterr().out


def test_many_games_long_returns_and_large_minibatches_are_measured(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def construct(task: Task, storage: str) -> Run:
        c = task.config
        asked.append(c.replay_size // c.num_envs - c.history_length - c.n_step)
        asked.append(c.replay_size - c.batch_size)
        raise UserError("stop here")

    monkeypatch.setattr(sweep, "construct", construct)
    assert sweep.main(f"{LINE} --num_envs 600 --n_step 10 --batch_size 8192".split()) == 2
    assert "pong_x_seed1 cannot be measured: stop here" in capsys.readouterr().err
    windows, more_than_a_minibatch = asked
    assert windows > 50
    assert more_than_a_minibatch > 0


def test_what_the_command_would_refuse_is_not_measured(
    measured: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    describe(read_command(LINE.split()).sweep)
    assert sweep.main(f"{LINE} --batch_size 16".split()) == 2
    assert "started with --batch_size" in capsys.readouterr().err
    assert not measured
