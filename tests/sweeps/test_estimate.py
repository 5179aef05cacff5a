"""What --dry_run measures, and what it makes of it."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sweep
from commands.verbs import parse
from errors import NOT_SAVED
from sweeps import estimate
from sweeps.command import read_command
from sweeps.plan import describe

LINE = "pong --seeds 1 --name x --epochs 20 --dry_run"
SNAPSHOT = 3_000_000  # bytes


@pytest.fixture
def measured(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels of the runs that were measured, by a training that writes files only."""
    labels = []

    def train(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        labels.append(command[4])
        config = parse(command[2], command[3:]).config
        csv_file, prefix = config.csv_file, config.save_weights_prefix
        assert csv_file
        assert prefix
        assert config.checkpoint_path
        lines = ["epoch,phase,steps_per_second,replay_memory_count", "0,random,100,500"]
        lines += [f"{n},{phase},50,1000" for n in (1, 2) for phase in ("train", "test")]
        csv_file.write_text("\n".join(lines) + "\n")
        for epoch in (1, 2)[-config.keep_snapshots :]:
            Path(f"{prefix}_{epoch}.pkl").write_bytes(bytes(SNAPSHOT))
        config.checkpoint_path.mkdir()
        (config.checkpoint_path / "1.npz").touch()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(estimate, "subprocess", SimpleNamespace(run=train))
    return labels


@pytest.mark.parametrize(("flags", "size"), [("", "60 MB"), ("--keep_snapshots 1", "6 MB")])
def test_snapshots_that_a_run_removes_take_no_room(
    measured: list[str], capsys: pytest.CaptureFixture[str], flags: str, size: str
) -> None:
    assert sweep.main(f"{LINE} {flags}".split()) == 0
    assert f"Disk: {size} of snapshots" in capsys.readouterr().out
    assert measured == ["x_seed1"]


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
    assert measured == ["x_double_q_false_seed1"]
    assert "2 runs. Measuring 1 ..." in capsys.readouterr().out


def test_many_games_long_returns_and_large_minibatches_are_measured(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def train(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        config = parse(command[2], command[3:]).config  # raises UserError where a run would
        asked.append(config.replay_size // config.num_envs - config.history_length - config.n_step)
        asked.append(min(config.random_steps, config.replay_size) - config.batch_size)
        return subprocess.CompletedProcess(command, 1, "", "stop here")

    monkeypatch.setattr(estimate, "subprocess", SimpleNamespace(run=train))
    assert sweep.main(f"{LINE} --num_envs 600 --n_step 10 --batch_size 8192".split()) == 2
    assert "stop here" in capsys.readouterr().err
    windows, more_than_a_minibatch = asked
    assert windows > 50
    assert more_than_a_minibatch > 0


def test_a_full_disk_ends_it_with_one_sentence(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp")

    monkeypatch.setattr(estimate, "tempfile", SimpleNamespace(TemporaryDirectory=full))
    assert sweep.main(LINE.split()) == NOT_SAVED
    assert capsys.readouterr().err == "sweep: /tmp: No space left on device.\n"


def test_what_the_command_would_refuse_is_not_measured(
    measured: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    describe(read_command(LINE.split()).sweep)
    assert sweep.main(f"{LINE} --batch_size 16".split()) == 2
    assert "started with --batch_size" in capsys.readouterr().err
    assert not measured
