"""How far runs are, read off their files as the runs write them."""

from __future__ import annotations

import csv
import io
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

import sweep
from errors import DIVERGED, STOPPED
from observers import progress
from sweeps.command import read_command
from sweeps.node import MARK
from sweeps.outcome import write_results
from sweeps.plan import PlannedRun, Sweep, describe, results_path
from sweeps.watch import PROGRESS, Display, Watch, summary, table

FLAGS = "--epochs 3 --random_steps 100 --train_steps 200 --test_steps 50 --name x"


@pytest.fixture
def two(home: Path) -> Sweep:
    found = read_command(["pong", "--seeds", "2", *FLAGS.split()]).sweep
    (home / "results").mkdir()
    (home / "snapshots").mkdir()
    return found


def row(run: PlannedRun, epoch: int, phase: str, score: float = 0.0, pace: float = 10.0) -> None:
    if not run.csv_file.exists():
        run.csv_file.write_text("epoch,phase,average_reward,steps_per_second\n")
    with run.csv_file.open("a") as file:
        file.write(f"{epoch},{phase},{score},{pace}\n")


def say(run: PlannedRun, *lines: str | dict[str, Any]) -> None:
    with run.log.open("a") as file:
        for line in lines:
            file.write(f"{line if isinstance(line, str) else MARK + json.dumps(line)}\n")


BEGUN = {"words": ["train"], "node": "n1", "process": 1, "begun": 1.0}


def test_the_states_of_runs(two: Sweep, home: Path) -> None:
    first = two.runs[0]
    row(first, 0, "random")
    row(first, 1, "train", pace=20)
    row(first, 1, "test", 7.5, pace=50)
    say(first, BEGUN, "  train 2: step 120 of 200, 40 steps/s, score 3.00 (1 games)")
    one, other = Watch(two).states()
    assert (one.status, one.node, one.epoch, one.phase) == ("running", "n1", 2, "train")
    assert (one.tests, one.score, one.pace) == (1, 7.5, 40)
    assert one.steps_left == 80 + 50 + 200 + 50
    assert one.seconds_left == 80 / 40 + 50 / 50 + 200 / 40 + 50 / 50
    assert (other.status, other.epoch, other.score) == ("waiting", 0, None)
    assert other.seconds_left is None


def test_what_ended_is_waiting_failed_or_done(two: Sweep, home: Path) -> None:
    first, second = two.runs
    watch = Watch(two)
    say(first, BEGUN, {"ended": 2.0, "code": -9})
    assert [state.status for state in watch.states()] == ["waiting"] * 2
    assert [state.status for state in watch.states([second.name])] == ["waiting", "failed"]
    say(first, {**BEGUN, "begun": 3.0}, {"ended": 4.0, "code": DIVERGED})
    assert [state.status for state in watch.states()] == ["failed", "waiting"]
    say(first, {**BEGUN, "begun": 5.0})
    assert [state.status for state in watch.states()] == ["running", "waiting"]
    for phase, epoch, *_ in first.phases:
        row(first, epoch, phase)
    (home / "snapshots" / f"{first.name}_3.pkl").touch()
    assert [state.status for state in watch.states()] == ["done", "waiting"]


def test_without_a_driver_nothing_is_running(two: Sweep) -> None:
    say(two.runs[0], BEGUN)
    assert Watch(two).states()[0].status == "running"
    assert Watch(two, at_work=False).states()[0].status == "waiting"


def test_half_written_files_are_no_trouble(two: Sweep) -> None:
    first, second = two.runs
    first.csv_file.write_text("epoch,pha")
    first.log.write_text(f"{MARK}{{\n{MARK}[1]\n  train")
    second.csv_file.write_text("epoch,phase,average_reward\n0,random,1\n1,trai")
    second.log.write_bytes(b"\xff\x00\n")
    assert [state.epoch for state in Watch(two).states()] == [0, 1]


@pytest.mark.parametrize("pace", ["", "nan", "-3", "0"])
def test_a_damaged_pace_is_no_pace(two: Sweep, pace: str) -> None:
    first = two.runs[0]
    row(first, 0, "random", pace=50)
    with first.csv_file.open("a") as file:
        file.write(f"1,train,3,{pace}\n")
    state, other = Watch(two).states()
    assert state.seconds_left == (50 + 200 + 50 + 200 + 50) / 50
    assert table([state, other], 1)


def test_damaged_cells_are_empty_in_the_results(two: Sweep) -> None:
    columns = "epoch,phase,average_reward,total_train_steps,total_time\n"
    two.runs[0].csv_file.write_text(f"{columns}1,train,3,200,36\n1,test,2,,\n")
    two.runs[1].csv_file.write_text(f"{columns}1,train,3,200,36\n1,test,2,250,72\n")
    assert len(write_results(two, 1)) == 2
    with results_path(two.name).open(newline="") as file:
        found = [(row["last"], row["steps"], row["hours"]) for row in csv.DictReader(file)]
    assert found == [("2.0", "", ""), ("2.0", "250", "0.02")]


@pytest.mark.parametrize("line", ["train 1: step {}", "train {}: step 1"])
def test_numbers_of_any_length_in_a_log_are_no_trouble(two: Sweep, line: str) -> None:
    say(two.runs[0], f"  {line.format('9' * 5000)}, 40 steps/s")
    assert [state.status for state in Watch(two).states()] == ["waiting"] * 2


def test_a_line_about_the_process_that_nobody_wrote_is_no_trouble(two: Sweep) -> None:
    say(two.runs[0], MARK + "[" * 100_000, f'{MARK}{{"code": {"9" * 5000}}}')
    assert [state.status for state in Watch(two).states()] == ["waiting"] * 2


def test_the_lines_of_a_run_in_a_log_are_understood() -> None:
    form = "  %s: step %d%s, %.0f steps/s"
    assert f'"{form}' in Path(progress.__file__).read_text()
    for label, expected in {"train 12": ("train", "12"), "random": ("random", None)}.items():
        match = PROGRESS.match(form.__mod__((label, 30, " of 50", 41.6)))
        assert match
        assert match.groups() == (*expected, "30", "42")


def test_the_summary_counts_and_estimates(two: Sweep) -> None:
    waiting = Watch(two).states()
    assert summary(waiting, 2) == "2 runs: 2 waiting."
    running = replace(waiting[0], status="running", seconds_left=7200.0, steps_left=100)
    later = replace(waiting[1], steps_left=300)
    # The second one takes three times as long: 6 h after the first one, or beside it.
    assert summary([running, later], 1).endswith("1 running, 1 waiting. About 8 h 0 min left.")
    assert summary([running, later], 2).endswith("About 6 h 0 min left.")


def test_the_table_is_cut_to_what_matters(two: Sweep) -> None:
    states = Watch(two).states()
    lines = table([states[0], replace(states[1], status="running", node="n7")], 1, most=1)
    assert len(lines) == 4
    assert "n7" in lines[1]
    assert lines[2] == "... and 1 more"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_drawn_over(two: Sweep) -> None:
    terminal = Terminal()
    display = Display(Watch(two), 1, terminal)
    display.look()
    display.look()
    assert terminal.getvalue().count("\033[4F\033[J") == 1  # header, two runs, summary


def test_a_log_has_a_line_for_each_thing_that_happens(two: Sweep, home: Path) -> None:
    log = io.StringIO()
    display = Display(Watch(two), 1, log)
    display.look()
    before = log.getvalue()
    display.look()
    assert log.getvalue() == before
    say(two.runs[0], BEGUN)
    display.look()
    row(two.runs[0], 1, "test", 4.0)
    display.look()
    for phase, epoch, *_ in two.runs[0].phases:
        row(two.runs[0], epoch, phase, 5.0)
    (home / "snapshots" / f"{two.runs[0].name}_3.pkl").touch()
    display.look()
    lines = log.getvalue()[len(before) :].splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        "pong_x_seed1: running on n1",
        "pong_x_seed1: test 1, 4.00",
        "pong_x_seed1: test 3, 5.00",
        "pong_x_seed1: done",
    ]
    assert "\033" not in log.getvalue()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is /dev/full here")
def test_a_full_disk_behind_the_display_ends_no_sweep(two: Sweep) -> None:
    with Path("/dev/full").open("w") as full:
        display = Display(Watch(two), 1, full)
        assert [state.status for state in display.look()] == ["waiting"] * 2
        say(two.runs[0], BEGUN)
        assert [state.status for state in display.look()] == ["running", "waiting"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is /dev/full here")
@pytest.mark.usefixtures("two")
def test_a_full_disk_behind_the_messages_changes_no_exit_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115 - its close fails, too
    monkeypatch.setattr(sys, "stderr", full)
    command = read_command(["pong", "--seeds", "2", *FLAGS.split()])
    assert sweep._sum_up(command, {}) == 0
    monkeypatch.setattr(sweep, "_main", Mock(side_effect=KeyboardInterrupt))
    assert sweep.main([]) == STOPPED
    full.close()


def test_runs_that_are_not_in_the_picture_are_counted(
    two: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    row(two.runs[1], 1, "test", 4.0)
    command = read_command(["pong", "--seeds", "2", *FLAGS.split()])
    said = "Not in the picture: 1 of 2 runs, in which no test game has ended."
    assert sweep._sum_up(command, {}) == 0
    assert said in capsys.readouterr().err
    row(two.runs[0], 1, "test", 4.0)
    assert sweep._sum_up(command, {}) == 0
    assert "Not in the picture" not in capsys.readouterr().err


def test_status_shows_the_table_of_a_sweep(two: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    describe(two)
    row(two.runs[1], 1, "test", 4.0)
    assert sweep.main(["status", "x"]) == 0
    out = capsys.readouterr().out
    assert "pong_x_seed2" in out
    assert "4.00" in out
    assert "No process is working on it" in out
    logging.getLogger().setLevel(logging.WARNING)
