"""The phases to come, and what they will take."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from agent import Phase
from commands.verbs import Task, parse
from config import Config
from main import construct, main
from runs import forecast as forecasting
from runs.forecast import Forecast, duration, forecast, gigabytes, report
from runs.plan import Planned, plan, position_after

SMALL = """--screen_width 36 --screen_height 36 --replay_size 500 --random_starts 6 --backend cpu
    --threads 1 --random_seed 1""".split()


def task(verb: str, line: str) -> Task:
    return parse(verb, line.split())


def named(found: Any) -> list[tuple[str, int, int]]:
    return [(phase.name, phase.epoch, phase.steps) for phase, _ in found]


def test_a_run_is_a_random_phase_and_epochs(home: Path) -> None:
    todo = plan(task("train", "pong --epochs 2 --random_steps 7 --train_steps 5 --test_steps 3"))
    assert named(todo) == [
        *[("random", 0, 7), ("train", 1, 5), ("test", 1, 3), ("train", 2, 5), ("test", 2, 3)]
    ]
    assert [str(position_after(todo, n)) for n in range(5)] == [
        "epoch 1, train, step 0",
        "epoch 1, test, step 0",
        "epoch 2, train, step 0",
        "epoch 2, test, step 0",
        "epoch 3, train, step 0",
    ]


def test_a_test_is_of_the_snapshots_epoch(home: Path) -> None:
    (home / "pong_200.pkl").write_bytes(
        (Path(__file__).parents[1] / "golden" / "rmsprop_end.pkl").read_bytes()
    )
    assert named(plan(task("test", "pong_200.pkl --test_steps 9"))) == [("test", 200, 9)]
    assert named(plan(task("test", "pong_200.pkl --test_games 2"))) == [("test", 200, 0)]
    assert named(plan(task("play", "pong_200.pkl"))) == [("play", 0, 0)]


def test_a_long_run_is_measured_and_told(
    home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(
        forecasting, "MEASURED_SECONDS", {"random": 0.01, "train": 0.01, "test": 0.01}
    )
    run = parse("train", ["pong", *SMALL, "--epochs", "3", "--checkpoint_minutes", "5"])
    (home / "snapshots").mkdir()
    pace = forecast(run, plan(run), "array", construct)
    assert set(pace) == {"random", "train", "test"}
    assert all(0 < seconds < 1 for seconds in pace.values())
    assert [line.split(" about ")[0] for line in caplog.messages] == [
        "This run will take",
        "It will write 4 MB of snapshots, 3 of 1 MB.",
        "Its checkpoints will take up to 3 MB.",
    ]
    assert sorted(path.name for path in home.rglob("*")) == ["snapshots"]


def test_the_parts_that_were_measured_are_gone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        forecasting, "MEASURED_SECONDS", {"random": 0.01, "train": 0.01, "test": 0.01}
    )
    (home / "snapshots").mkdir()
    threads = set(threading.enumerate())
    run = parse("train", ["pong", *SMALL, "--threads", "2", "--num_envs", "2"])
    assert forecast(run, plan(run), "array", construct)
    assert set(threading.enumerate()) <= threads
    assert not psutil.Process().children()


def test_a_short_run_is_not_measured(home: Path) -> None:
    def never(*arguments: Any) -> Any:
        raise AssertionError("nothing is to be measured")

    short = task("train", "pong --random_steps 100 --train_steps 1000 --test_steps 10 --epochs 2")
    assert forecast(short, plan(short), "array", never) == {}
    tested = task("profile_test", "pong --test_steps 1000000")
    assert forecast(tested, plan(tested), None, never) == {}


def test_measuring_changes_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run that was measured before is the same one, bit for bit."""
    line = [*SMALL, "--epochs", "1", "--random_steps", "40"]
    line += ["--train_steps", "40", "--test_steps", "30"]
    monkeypatch.setattr(
        forecasting, "MEASURED_SECONDS", {"random": 0.01, "train": 0.01, "test": 0.01}
    )
    for label, fewest in (("plain", 10**9), ("measured", 0)):
        monkeypatch.setattr(forecasting, "FEWEST_STEPS", fewest)
        assert main(["train", "pong", label, *line]) == 0
    plain, measured = ((home / f"results/pong_{name}.csv") for name in ("plain", "measured"))
    columns = slice(0, 13)  # without the times
    assert [row.split(",")[columns] for row in plain.read_text().splitlines()] == [
        row.split(",")[columns] for row in measured.read_text().splitlines()
    ]
    assert json.loads(measured.with_suffix(".json").read_text())["flags"]["replay_size"] == 500


def test_the_disk_that_is_too_small_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    config = Config(save_weights_prefix=tmp_path / "pong", epochs=200, checkpoint_minutes=0)
    run = Task("train", config, "pong", None)
    report(Forecast({"random": 0.1, "train": 0.1, "test": 0.1}, 0, 10**15), config, plan(run))
    hours = round((50_000 + 200 * 375_000) / 10 / 3600)
    assert caplog.messages[0] == (
        f"This run will take about {hours // 24} days {hours % 24} h "
        "(steps/s: random 10, train 10, test 10)."
    )
    assert "200 of 1000000.0 GB; --keep_snapshots 5 keeps 6000000.0 GB." in caplog.messages[1]
    assert "make room, or use fewer --keep_snapshots" in caplog.messages[2]
    caplog.clear()
    few = replace(config, keep_snapshots=5)
    report(Forecast({"random": 0.1, "train": 0.1, "test": 0.1}, 0, 10_000_000), few, plan(run))
    assert caplog.messages[1:] == ["It will write 60 MB of snapshots, 6 of 10 MB."]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *[(0.4, "0 s"), (29, "29 s"), (31, "1 min"), (90, "2 min"), (3599, "1 h 0 min")],
        *[(4000, "1 h 7 min"), (86_400, "1 day 0 h"), (5 * 86_400 + 7200, "5 days 2 h")],
    ],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_sizes() -> None:
    assert (gigabytes(3.72e9), gigabytes(18.4e6)) == ("3.7 GB", "18 MB")


def test_the_following_phase_of_none() -> None:
    assert str(position_after([Planned(Phase("random", 0, 5), 0)], 0)) == "epoch 1, train, step 0"
