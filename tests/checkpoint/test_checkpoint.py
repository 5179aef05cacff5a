from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import random
import resource
import shutil
import signal
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import Agent, Phase
from atomic import csv_bytes
from checkpoint import files as checkpoint_files
from checkpoint import resume
from checkpoint.checkpointer import Checkpointer
from checkpoint.files import (
    LARGEST,
    Checkpoint,
    checkpoint_file,
    checkpoint_numbers,
    newest_checkpoint,
    next_number,
    read_checkpoint,
    write_checkpoint,
)
from checkpoint.lock import locked, run_locked
from checkpoint.screens import SavedScreens
from commands.verbs import parse
from config import Config, ReplaySettings
from environment import ALEEnvironment
from errors import UserError
from main import construct, main
from observers.progress import Progress
from paths import portable_flags
from replay.array import ScreenArray
from replay.compressed import SEGMENT, CompressedScreens
from replay_memory import ReplayMemory, Uniform
from runs.position import Position, position
from runs.results import PHASES, from_numbers
from snapshot.format import read_snapshot
from tests.checkpoint.manifests import a_state
from tests.faults.run_faults import damage

TINY = """--random_steps 60 --train_steps 60 --test_steps 30 --epochs 2 --replay_size 100
--batch_size 4 --target_steps 25 --exploration_decay_steps 100 --random_seed 3 --backend cpu
--threads 1 --screen_width 44 --screen_height 44""".split()
ROUNDS = 60 + 2 * (60 + 30)


@pytest.fixture(autouse=True)
def _signals_and_logging_as_before() -> Iterator[None]:
    handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """What the program has said since this was last called."""
    caplog.set_level(logging.INFO)

    def since() -> str:
        text = capsys.readouterr().err + caplog.text
        caplog.clear()
        return text

    return since


class Run:
    """A tiny run in this process, stopped at rounds of our choice."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
        self.home = home
        self.flags = [*TINY, *flags]
        self.checkpoints = home / "checkpoints" / "breakout"
        self.snapshots = home / "snapshots"
        self.csv = home / "results" / "breakout.csv"
        self.rounds = 0
        self.stop_at: set[int] = set()
        monkeypatch.setattr(Progress, "on_round", lambda *_: self._round())

    def _round(self) -> None:
        self.rounds += 1
        if self.rounds in self.stop_at:
            signal.raise_signal(signal.SIGTERM)

    def train(self, *flags: str, game: str = "breakout") -> int:
        return main(["train", game, *self.flags, *flags, "--overwrite"])

    def resume(self, *flags: str) -> int:
        return main(["resume", "breakout", *flags])

    def to_the_end(self) -> int:
        """Resume until nothing stops the run; how often it was stopped."""
        times = 1
        while self.resume() == 130:
            times += 1
            assert times < 20
        found, _ = newest_checkpoint(self.checkpoints)
        assert found
        assert str(position(found)) == "epoch 3, train, step 0"
        return times

    def rows(self) -> list[list[str]]:
        lines = self.csv.read_text().splitlines()
        return [line.split(",")[:-3] for line in lines]

    def results(self) -> dict[str, Any]:
        files = sorted(self.snapshots.glob("breakout_*.pkl"))
        return {"rows": self.rows(), **{path.name: path.read_bytes() for path in files}}


@pytest.mark.parametrize(
    "flags",
    [
        "",
        "--replay_storage compressed --repeat_action_probability 0.25 --max_episode_frames 300",
        "--num_envs 2 --optimizer adam --batch_norm true --random_ties true --exploration_zeta 1.2",
        "--zero_history true --target_clock run --optimizer centered_rmsprop --bias true",
        "--remember_all true --train_repeat 2 --optimizer adadelta --overlap true",
    ],
)
def test_a_run_stopped_again_and_again_ends_as_if_it_never_was(
    flags: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(home, monkeypatch, *flags.split())
    assert run.train() == 0
    expected = run.results()
    assert set(expected) == {"rows", "breakout_1.pkl", "breakout_2.pkl"}
    # The first and last round of phases, and others; repeated rounds are counted again.
    run.rounds, run.stop_at = 0, {1, 60, 61, 119, 150, 160, ROUNDS}
    assert run.train() == 130
    assert run.to_the_end() > 3
    assert run.results() == expected


@pytest.mark.parametrize("minutes", ["0", "30"])
def test_a_stop_between_two_phases_begins_no_phase(
    minutes: str, home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch, "--checkpoint_minutes", minutes)
    assert run.train() == 0
    expected = run.rows()

    def stop(self: Progress, phase: Phase) -> None:
        if (phase.name, phase.epoch) == ("test", 1):
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Progress, "on_phase_end", stop)
    assert run.train() == 130
    assert run.rows() == expected[:4]
    assert not (run.snapshots / "breakout_2.pkl").exists()
    if minutes == "0":
        assert "breakout_1.pkl resumes from that snapshot" in said()
    else:
        assert "./resume.sh breakout resumes from epoch 2, train, step 0." in said()
        assert run.resume() == 0
        assert run.rows() == expected


def test_a_checkpoint_at_any_time_leaves_the_run_as_it_is(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(home, monkeypatch)
    assert run.train("--checkpoint_minutes", "0") == 0
    expected = run.rows(), read_snapshot(run.snapshots / "breakout_2.pkl").layers
    assert not checkpoint_numbers(run.checkpoints)
    assert run.train("--checkpoint_minutes", "0.001") == 0
    assert len(checkpoint_numbers(run.checkpoints)) == 2
    assert checkpoint_numbers(run.checkpoints)[0] > 4
    needed = {checkpoint_file(n, "json") for n in checkpoint_numbers(run.checkpoints)}
    for n in checkpoint_numbers(run.checkpoints):
        needed |= set(read_checkpoint(run.checkpoints, n).files)
    assert {path.name for path in run.checkpoints.iterdir()} == needed
    rows, layers = run.rows(), read_snapshot(run.snapshots / "breakout_2.pkl").layers
    assert rows == expected[0]
    for mine, other in zip(layers, expected[1], strict=True):
        for name, array in mine.params.items():
            assert np.array_equal(array, other.params[name])


def test_storage_may_change_and_changes_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(home, monkeypatch)
    assert run.train("--replay_storage", "array") == 0
    expected = run.rows()
    run.rounds, run.stop_at = 0, {100, 170}
    assert run.train("--replay_storage", "compressed") == 130
    assert run.resume("--replay_storage", "array") == 130
    assert run.resume("--replay_storage", "compressed") == 0
    assert run.rows() == expected


def test_more_epochs_make_a_finished_run_longer(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    assert run.train("--epochs", "3") == 0
    expected = run.rows()
    assert run.train() == 0
    assert run.resume() == 2
    assert "This run is finished after epoch 2: resume it with more --epochs" in said()
    assert run.resume("--epochs", "3") == 0
    assert run.rows() == expected
    about = json.loads((home / "results" / "breakout.json").read_text())
    assert (about["command"], about["flags"]["epochs"]) == ("train", 3)
    (resumed,) = about["resumed"]
    assert (resumed["at"], resumed["changed"]) == ("epoch 3, train, step 0", "epochs 2 -> 3")


def test_a_run_that_trained_nothing_has_no_snapshot_to_write(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    assert run.train("--train_steps", "0") == 0
    assert run.resume() == 2
    assert "This run is finished after epoch 2" in said()
    assert not list(run.snapshots.glob("*"))


def test_a_run_that_went_on_without_checkpoints_is_not_taken_back(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    assert run.train("--epochs", "2") == 0
    run.rounds, run.stop_at = 0, {160}  # in the test of epoch 4
    assert run.resume("--epochs", "5", "--checkpoint_minutes", "0") == 130
    assert "The checkpoint is at epoch 3, train, step 0; ./resume.sh" in said()
    expected = run.results()
    assert run.resume("--epochs", "5") == 0
    text = said()
    assert "is at epoch 3, train, step 0: resuming from" in text
    assert "breakout_4.pkl with a new replay memory" in text
    found = run.results()
    assert found["rows"][: len(expected["rows"])] == expected.pop("rows")
    assert {name: found[name] for name in expected} == expected
    assert "breakout_5.pkl" in found


def test_a_finished_run_writes_its_last_snapshot_if_that_is_missing(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    assert run.train() == 0
    expected = run.results()
    (run.snapshots / "breakout_2.pkl").unlink()
    assert run.resume() == 0
    assert run.results() == expected
    assert run.resume() == 2


def test_flags_that_would_change_the_past_are_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    run.stop_at = {70, 80}
    assert run.train() == 130
    assert "./resume.sh breakout resumes from epoch 1, train, step 10." in said()
    assert run.resume("--batch_size", "8") == 2
    assert "--batch_size 8 would change what the run has done with 4" in said()
    assert run.resume("--batch_size", "4", "--learning_rate", "0.001", "--log_level", "INFO") == 130
    assert run.resume() == 0


def test_training_that_diverges_stops_and_keeps_the_last_good_checkpoint(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    run.stop_at = {70}
    assert run.train() == 130
    at = checkpoint_numbers(run.checkpoints)
    assert run.resume("--learning_rate", "1e9") == 1
    text = said()
    assert "training has diverged" in text
    assert "resumes from epoch 1, train, step 10." in text
    assert checkpoint_numbers(run.checkpoints) == at
    assert not list(run.snapshots.glob("breakout_*.pkl"))
    assert run.resume("--learning_rate", "0.00025") == 0


def test_a_full_disk_costs_the_new_checkpoint_and_not_the_old_one(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    assert run.train() == 0
    expected = run.results()
    run.rounds, run.stop_at = 0, {70}
    assert run.train() == 130
    said()
    known = sorted(path.name for path in run.checkpoints.iterdir())
    fsync, calls = os.fsync, 0

    def full(file: int) -> None:
        nonlocal calls
        calls += 1
        if calls % 2:  # the first file, the second, the manifest
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(file)

    with monkeypatch.context() as patch:
        patch.setattr("atomic.os.fsync", full)
        run.stop_at = {run.rounds + n for n in (5, 10, 15)}
        for _ in range(3):
            assert run.resume() == 3
            reason = "Cannot write a checkpoint (No space left on device): the one at epoch 1"
            assert reason in said()
            assert sorted(path.name for path in run.checkpoints.iterdir()) == known
    assert run.resume() == 0
    assert run.results() == expected


def test_a_second_training_is_refused_while_the_first_goes_on(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    run.stop_at = {5}
    with locked(run.checkpoints):
        assert run.train() == 2
    assert f"is in use already, by process {os.getpid()}" in said()
    assert run.train() == 130


@pytest.mark.parametrize(
    ("flag", "file"),
    [
        ("csv_file", "mine.csv"),
        ("csv_file", "results/breakout_other.csv"),
        ("save_weights_prefix", "mine"),
        ("save_weights_prefix", "snapshots/breakout_other"),
    ],
)
def test_two_runs_do_not_write_the_same_files(
    flag: str, file: str, home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    run.stop_at = {5}
    words = [f"--{flag}", str(home / file)]
    with run_locked(parse("train", ["breakout", "other", *run.flags, *words])):
        assert run.train(*words) == 2
    assert f"{Path(file).name} is in use already, by process {os.getpid()}" in said()
    assert run.train(*words) == 130
    assert not list(home.rglob(".*.lock"))


def test_an_earlier_run_is_not_overwritten_unasked(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    run.stop_at = {5}
    assert run.train() == 130
    assert main(["train", "breakout", *TINY]) == 2
    assert "resume it with ./resume.sh breakout" in said()


def test_an_environment_that_cannot_save_its_state_begins_anew(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    monkeypatch.delattr(ALEEnvironment, "save_state")
    run = Run(home, monkeypatch)
    run.stop_at = {70, 130}
    assert run.train() == 130
    assert run.to_the_end() == 2
    assert said().count("it begins a new game") == 2
    assert len(run.rows()) == 6


def test_a_snapshot_of_an_earlier_epoch_resumes_alone_and_the_checkpoint_is_set_aside(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    assert run.train("--epochs", "3") == 0
    expected = run.results()
    run.rounds, run.stop_at = 0, {ROUNDS + 20}
    assert run.train("--epochs", "3") == 130
    assert main(["resume", str(run.snapshots / "breakout_2.pkl")]) == 0  # the exact way
    assert not list((home / "checkpoints").glob("*before*"))
    assert run.results() == expected
    said()
    earlier = home / "checkpoints" / "breakout.before_epoch_2"  # set aside some time before
    shutil.copytree(run.checkpoints, earlier)
    words = ["resume", str(run.snapshots / "breakout_1.pkl"), "--checkpoint_minutes", "0"]
    assert main(words) == 0
    text = said()
    assert "is at epoch 4, train, step 0: resuming from" in text
    assert "The run's checkpoint is set aside in" in text
    assert newest_checkpoint(earlier)[0]
    found, problems = newest_checkpoint(home / "checkpoints" / "breakout.before_epoch_2_")
    assert found
    assert not problems


def test_a_run_that_began_with_a_snapshot_is_the_same_after_it_was_resumed(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    first = Run(home, monkeypatch)
    assert first.train("--epochs", "1") == 0
    begun = home / "mine_1.pkl"
    shutil.copy(first.snapshots / "breakout_1.pkl", begun)
    run = Run(home, monkeypatch, "--load_weights", str(begun))
    assert run.train("--epochs", "2") == 0
    expected = run.results()
    assert run.train("--epochs", "1") == 0
    begun.unlink()
    assert run.resume("--epochs", "2") == 0
    assert run.results()["rows"] == expected["rows"]
    assert run.results()["breakout_2.pkl"] == expected["breakout_2.pkl"]
    about = json.loads((home / "results" / "breakout.json").read_text())
    assert Path(about["flags"]["load_weights"]).name == "mine_1.pkl"


def test_a_run_that_began_with_a_snapshot_keeps_its_rows_when_it_is_resumed_again(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    assert run.train("--epochs", "2") == 0
    assert main(["resume", str(run.snapshots / "breakout_1.pkl"), "--epochs", "4"]) == 0
    rows = run.rows()
    assert run.resume("--epochs", "5") == 0
    assert run.rows()[: len(rows)] == rows
    about = json.loads((home / "results" / "breakout.json").read_text())
    assert about["command"] == "train"
    assert [each["at"] for each in about["resumed"]] == [
        "the snapshot of epoch 1",
        "epoch 5, train, step 0",
    ]
    assert [each["changed"] for each in about["resumed"]] == ["epochs 2 -> 4", "epochs 4 -> 5"]
    assert [row[0] for row in run.rows()[1:]] == list("01122334455")
    assert run.resume() == 2
    assert "This run is finished after epoch 5" in said()


def test_the_history_names_a_changed_flag_that_is_newer_than_the_snapshot(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(home, monkeypatch)

    def older(config: Config) -> dict[str, Any]:
        return {k: v for k, v in portable_flags(config).items() if k != "exploration_zeta"}

    with monkeypatch.context() as patch:
        patch.setattr("runs.files.portable_flags", older)
        assert run.train() == 0
    words = ["resume", str(run.snapshots / "breakout_1.pkl"), "--exploration_zeta", "2"]
    assert main(words) == 0
    about = json.loads((home / "results" / "breakout.json").read_text())
    assert [each["changed"] for each in about["resumed"]] == ["exploration_zeta 0.0 -> 2.0"]


def test_usual_places_by_a_relative_path_are_not_repeated_in_the_hint(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    assert run.train() == 0
    run.stop_at = {run.rounds + 10}
    monkeypatch.chdir(home)
    assert main(["resume", "snapshots/breakout_1.pkl"]) == 130
    assert "./resume.sh breakout resumes from" in said()


def test_a_run_with_files_elsewhere_is_not_split(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    elsewhere = ["--csv_file", str(home / "my rows.csv"), "--checkpoint_path", str(home / "saved")]
    snapshot = run.snapshots / "breakout_1.pkl"
    run.stop_at = {ROUNDS - 5}
    assert run.train("--epochs", "2", "--checkpoint_minutes", "0", *elsewhere) == 130
    hint = said()
    assert (
        f"--checkpoint_path {home}/saved --csv_file '{home}/my rows.csv' --epochs 3 resumes from"
        in hint
    )
    assert main(["resume", str(snapshot)]) == 2
    assert (
        f"writes --checkpoint_path '{home}/saved' --csv_file '{home}/my rows.csv'. Only you can "
        f"decide that: give that again, or --checkpoint_path {home}/checkpoints/breakout --csv_file"
    ) in said()
    assert main(["resume", str(snapshot), *elsewhere]) == 0
    moved = home / "moved_1.pkl"
    moved.write_bytes(snapshot.read_bytes())
    assert main(["resume", str(moved)]) == 0
    assert (home / "results" / "moved.csv").exists()


def test_a_run_whose_checkpoints_are_all_damaged_is_started_again(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    run.stop_at = {20}
    assert run.train() == 130
    for path in run.checkpoints.glob("*.npz"):
        path.write_bytes(path.read_bytes()[:-100])
    assert main(["resume", "breakout"]) == 2
    assert "can be read and breakout has no snapshot yet: start it again, with --over" in said()
    assert run.train("--epochs", "9", "--overwrite") in (0, 130)


def test_without_a_checkpoint_the_newest_snapshot_is_resumed_from(home: Path) -> None:
    (home / "snapshots").mkdir()
    for epoch in (2, 10):
        (home / "snapshots" / f"pong_mine+1_{epoch}.pkl").write_bytes(b"")
    name, begin = resume.find_run(["Pong", "mine+1"], None)
    assert (name, begin) == ("pong_mine+1", home / "snapshots" / "pong_mine+1_10.pkl")
    with pytest.raises(UserError, match=r"There is no run 'pong_other' to resume"):
        resume.find_run(["pong", "other"], None)


def test_a_checkpoint_that_could_not_be_read_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_files, "ARRAY_BYTES", 1000)
    arrays = {"large": np.zeros(1000, np.uint8)}
    with pytest.raises(OSError, match="too large to be read again"):
        write_checkpoint(tmp_path, 1, state={}, arrays=arrays, screens=[b"1"], earlier={})
    assert not list(tmp_path.iterdir())


def test_rows_and_scores_of_a_long_run_do_not_grow_the_manifest(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_files, "MANIFEST_BYTES", 20_000)
    task = parse("train", ["breakout", *TINY])
    parts = construct(task, "array")
    assert parts.checkpointer
    row = parts.stats.row("train", 9) | {"meancost": 1 / 3, "total_train_steps": 10**15}
    rows = [row | {"phase": PHASES[n % 3], "epoch": n} for n in range(500)]
    scores = [n / 7 - 21 for n in range(5000)]
    parts.stats.rows, parts.stats.scores = rows, scores
    parts.checkpointer.save(Position(0, "random", 0))
    assert not parts.checkpointer.failed
    other = construct(task, "array")
    assert other.checkpointer
    found, _ = newest_checkpoint(home / "checkpoints" / "breakout")
    assert found
    other.checkpointer.restore(found)
    assert (other.stats.rows, other.stats.scores) == (rows, scores)
    assert [list(map(type, each.values())) for each in other.stats.rows[:1]] == [
        list(map(type, row.values()))
    ]
    assert csv_bytes(row, other.stats.rows) == csv_bytes(row, rows)


@pytest.mark.parametrize("name", ["rows", "scores"])
def test_more_rows_or_scores_than_can_be_read_again_are_not_written(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    limit = {"rows": "CSV_LINES", "scores": "MAX_SCORES"}[name]
    monkeypatch.setattr(f"checkpoint.checkpointer.{limit}", 2)
    parts = construct(parse("train", ["breakout", *TINY]), "array")
    assert parts.checkpointer
    for count, fails in ((2, False), (3, True)):
        many = [parts.stats.row("train", 1) if name == "rows" else 1.0] * count
        setattr(parts.stats, name, many)
        parts.checkpointer.save(Position(0, "random", 0))
        assert bool(parts.checkpointer.failed) is fails
    assert "Cannot write a checkpoint (it would be too large to be read again)" in said()


def test_a_checkpoint_with_rows_and_scores_in_its_manifest_is_still_read(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(home, monkeypatch)
    assert run.train() == 0
    expected = run.results()
    run.rounds, run.stop_at = 0, {140}
    assert run.train() == 130
    found, _ = newest_checkpoint(run.checkpoints)
    assert found
    arrays = found.arrays()
    found.state["statistics"] |= {
        "rows": from_numbers(arrays.pop("statistics.rows")),
        "scores": arrays.pop("statistics.scores").tolist(),
    }
    write_checkpoint(
        run.checkpoints, 99, state=found.state, arrays=arrays, screens=[], earlier=found.files
    )
    run.csv.unlink()
    assert run.resume() == 0
    assert run.results() == expected


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"statistics.rows": np.zeros((1, 3))}, "rows are of another size"),
        ({"statistics.rows": np.zeros((1, 16), np.float32)}, "rows are of another size"),
        ({"statistics.rows": np.full((1, 16), 0.5)}, "epoch takes a whole number, not 0.5"),
        ({"statistics.rows": np.full((1, 16), 3.0)}, "phase takes a text, not 3.0"),
        ({"statistics.rows": np.full((1, 16), -1.0)}, "epoch must be at least 0"),
        ({"statistics.rows": np.full((1, 16), np.inf)}, "not all finite"),
        ({"statistics.scores": np.zeros((1, 1))}, "scores are of another size"),
        ({"statistics.scores": np.zeros(1, np.int64)}, "scores are of another size"),
    ],
)
def test_rows_and_scores_that_are_none_are_refused(
    changed: dict[str, Any],
    reason: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: Callable[[], str],
) -> None:
    run = Run(home, monkeypatch)
    run.stop_at = {5}
    assert run.train() == 130
    rewrite(run, changed)
    assert run.resume() == 2
    text = said()
    assert "does not fit this run" in text
    assert reason in text


def rewrite(run: Run, changed: dict[str, Any]) -> None:
    """Write the newest checkpoint again, with other arrays."""
    found, _ = newest_checkpoint(run.checkpoints)
    assert found
    arrays = found.arrays() | changed
    write_checkpoint(
        run.checkpoints, 99, state=found.state, arrays=arrays, screens=[], earlier=found.files
    )


def test_a_checkpoint_never_needs_more_files_than_can_be_read(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = f"--random_steps {SEGMENT} --train_steps {SEGMENT} --test_steps 0 --train_frequency 64"
    flags += f" --replay_size {8 * SEGMENT} --random_starts 4"
    run = Run(home, monkeypatch, *flags.split())
    assert run.train("--epochs", "6") == 0
    expected = run.rows()
    assert len(newest_checkpoint(run.checkpoints)[0].files) > 5  # type: ignore[union-attr]
    for module in ("files", "checkpointer"):
        monkeypatch.setattr(f"checkpoint.{module}.MAX_FILES", 5)
    assert run.train("--epochs", "5") == 0
    found, problems = newest_checkpoint(run.checkpoints)
    assert found
    assert not problems
    assert len(found.files) == 5
    assert run.resume("--epochs", "6") == 0
    assert run.rows() == expected


@pytest.mark.parametrize(
    ("at", "epochs"),
    [
        (Position(0, "random", 5), {0, 1}),
        (Position(1, "train", 0), {0, 1}),
        (Position(3, "train", 70), {2, 3}),
        (Position(3, "test", 0), {3, 4}),
        (Position(3, "test", 9), {3, 4}),
    ],
)
def test_a_snapshot_means_the_checkpoint_that_follows_it_or_leads_to_it(
    at: Position, epochs: set[int], tmp_path: Path
) -> None:
    folder, prefix = tmp_path / "checkpoints", tmp_path / "pong"
    folder.mkdir()
    state = a_state(position=at)
    state["about"]["flags"] |= {"save_weights_prefix": str(prefix), "start_epoch": 0}
    write_checkpoint(folder, 1, state=state, arrays={}, screens=[], earlier={})
    taken = set()
    for epoch in range(8):
        path = tmp_path / f"pong_{epoch}.pkl"
        path.write_bytes(b"")
        name, begin = resume.find_run([str(path)], folder)
        assert name == "pong"
        if isinstance(begin, Checkpoint):
            taken.add(epoch)
    assert taken == epochs
    elsewhere = tmp_path / "copy"
    elsewhere.mkdir()
    (elsewhere / "pong_3.pkl").write_bytes(b"")
    assert resume.find_run([str(elsewhere / "pong_3.pkl")], folder)[1] == elsewhere / "pong_3.pkl"


# ---- What is lost during a run


@pytest.mark.parametrize("lost", ["all", "screens"])
def test_what_somebody_removes_is_written_again_from_memory(
    lost: str, home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch, "--replay_size", "600", "--random_steps", "300")
    assert run.train() == 0
    expected = run.results()
    train = Agent.train

    def remove_and_train(self: Agent, steps: int, *, start: int = 0) -> None:
        if lost == "all":
            shutil.rmtree(run.checkpoints)
        else:
            min(run.checkpoints.glob("*.screens")).unlink()
        train(self, steps, start=start)

    said()
    with monkeypatch.context() as patch:
        patch.setattr(Agent, "train", remove_and_train)
        assert run.train() == 0
    assert "has disappeared: its screens are written again" in said()
    assert run.results() == expected
    found, problems = newest_checkpoint(run.checkpoints)
    assert found
    assert not problems
    assert run.resume("--epochs", "3") == 0


def test_what_is_said_of_a_run_whose_checkpoints_are_gone_is_true(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    run.stop_at = {100}
    save = Checkpointer.save

    def save_and_lose(self: Checkpointer, at: Position) -> None:
        save(self, at)
        shutil.rmtree(run.checkpoints)

    monkeypatch.setattr(Checkpointer, "save", save_and_lose)
    assert run.train() == 130
    assert "There is nothing to resume from." in said()


@pytest.mark.parametrize(
    ("stop", "at"), [(40, "random, step 40"), (100, "epoch 1, train, step 40")]
)
def test_a_checkpoint_that_found_no_room_is_tried_again_at_the_end(
    stop: int, at: str, home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    assert run.train() == 0
    expected = run.results()
    run.rounds, run.stop_at = 0, {stop}
    fsync, calls = os.fsync, 0

    def full_for_a_while(file: int) -> None:
        nonlocal calls
        if run.rounds == stop and not calls:
            calls += 1
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(file)

    monkeypatch.setattr("atomic.os.fsync", full_for_a_while)
    assert run.train() == 130
    text = said()
    assert "Cannot write a checkpoint" in text
    assert f"resumes from {at}." in text
    assert run.resume() == 0
    assert run.results() == expected


def test_a_killed_worker_ends_the_run_with_its_own_code_and_how_to_resume(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch, "--num_envs", "2")
    monkeypatch.setattr("envs.parallel.cores", lambda: 2)
    train = Agent.train

    def kill_and_train(self: Agent, steps: int, *, start: int = 0) -> None:
        self.games[0].worker.process.kill()  # type: ignore[attr-defined]
        train(self, steps, start=start)

    with monkeypatch.context() as patch:
        patch.setattr(Agent, "train", kill_and_train)
        assert run.train() == 4
    text = said()
    assert "was ended by SIGKILL" in text
    assert "./resume.sh breakout resumes from epoch 1, train, step 0." in text
    assert run.resume() == 0


# ---- A stranger's checkpoint


def forge(run: Run, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the newest checkpoint's content, and compute its hashes again."""
    number = checkpoint_numbers(run.checkpoints)[0]
    path = run.checkpoints / checkpoint_file(number, "json")
    body = json.loads(path.read_bytes())["checkpoint"]
    change(body["state"])
    text = json.dumps(body, separators=(",", ":")).encode()
    path.write_text(json.dumps({"sha256": hashlib.sha256(text).hexdigest(), "checkpoint": body}))


def test_a_run_writes_only_where_its_name_or_the_command_line_says(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    run.stop_at = {100}
    assert run.train() == 130
    evil = home / "site-packages"
    evil.mkdir()
    paths = ("csv_file", "save_weights_prefix", "video_file", "record_screen_path", "load_weights")

    def point_elsewhere(state: dict[str, Any]) -> None:
        flags = state["about"]["flags"]
        flags |= {name: str(evil / "evil.pth") for name in paths[2:]}
        flags["checkpoint_path"] = state["about"]["root"] = str(evil)

    forge(run, point_elsewhere)
    assert run.resume() == 0
    assert "was started with --video_file and --record_screen_path" in said()
    assert not list(evil.iterdir())
    for name in paths[:2]:
        forge(run, lambda state, name=name: state["about"]["flags"].update({name: str(evil / "x")}))  # type: ignore[misc]
        assert run.resume("--epochs", "3") == 2
        assert f"--{name} '{evil}/x'. Only you can decide that" in said()
        forge(
            run,
            lambda state: state["about"]["flags"].update(
                csv_file="results/breakout.csv", save_weights_prefix="snapshots/breakout"
            ),
        )
    assert not list(evil.iterdir())
    assert run.resume("--epochs", "3", "--csv_file", str(home / "mine.csv")) == 0
    assert (home / "mine.csv").exists()


def test_rows_of_a_checkpoint_are_numbers(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    run.stop_at = {100}
    assert run.train() == 130
    kept = run.csv.read_bytes()

    def write_code(state: dict[str, Any]) -> None:
        row = a_state()["statistics"]["rows"][0]
        state["statistics"]["rows"] = [row | {"steps": "1\nimport os; os.system('id')\n"}]

    forge(run, write_code)
    assert run.resume() == 0, "the checkpoint before it is taken"
    assert "steps takes a whole number, not" in said()
    assert run.csv.read_bytes().startswith(kept.split(b"\n")[0])
    assert b"import os" not in run.csv.read_bytes()


def test_a_checkpoint_of_a_network_that_its_arrays_are_too_few_for_is_refused_before_it_is_made(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    run.stop_at = {20}
    assert run.train() == 130
    forge(run, lambda state: state["about"]["flags"].update(network_width=16.0, noisy=True))
    monkeypatch.setattr("deepqnetwork.DeepQNetwork.__init__", None)
    assert run.resume() == 2
    assert "The network that its flags describe has" in said()


def test_a_strangers_checkpoint_hands_nothing_to_the_emulator(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    run.stop_at = {100}
    assert run.train() == 130
    forge(run, lambda state: None)
    loaded: list[bytes] = []
    load = ALEEnvironment.load_state

    def load_state(self: ALEEnvironment, state: bytes) -> None:
        loaded.append(state)
        load(self, state)

    monkeypatch.setattr(ALEEnvironment, "load_state", load_state)
    run.stop_at = {run.rounds + 5}
    assert run.resume() == 130
    assert "was not written by this clone" in said()
    assert not loaded
    run.stop_at = set()
    assert run.resume() == 0, "its own checkpoint, written since"
    assert len(loaded) == 1


# ---- The files


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints, the second of which needs screens of the first."""
    folder = tmp_path_factory.mktemp("saved")
    first = write_checkpoint(
        folder,
        1,
        state=a_state(),
        arrays={"a": np.arange(50)},
        screens=[b"12", b"34"],
        earlier={},
    )
    name = checkpoint_file(1, "screens")
    write_checkpoint(
        folder,
        2,
        state=a_state(position=(1, "train", 9)),
        arrays={"a": np.arange(60)},
        screens=[b"56"],
        earlier={name: first.files[name]},
    )
    return folder


def test_checkpoints_are_read_as_they_were_written(saved: Path) -> None:
    found, problems = newest_checkpoint(saved)
    assert found
    assert not problems
    assert (found.number, position(found)) == (2, Position(1, "train", 9))
    assert str(position(found)) == "epoch 1, train, step 9"
    assert np.array_equal(found.arrays()["a"], np.arange(60))
    assert (found.segment(1, 1, 2), found.segment(2, 0, 2)) == (b"23", b"56")
    with pytest.raises(ValueError, match="not part of it"):
        read_checkpoint(saved, 1).segment(2, 0, 2)
    for offset, length in ((3, 2), (0, 2**62), (2**62, 1)):
        with pytest.raises(ValueError, match="ends before"):
            found.segment(1, offset, length)


@pytest.mark.parametrize("kind", ["array", "compressed"])
def test_screens_in_more_files_than_may_be_open_are_restored(kind: str, tmp_path: Path) -> None:
    count = 30  # files
    memory, other = (a_memory(kind, count * SEGMENT) for _ in range(2))
    saved = SavedScreens(memory)
    files: dict[str, Any] = {}
    for number in range(1, count + 1):
        for _ in range(SEGMENT):
            memory.add(0, 0, 0.0, np.full((1, 1), number, np.uint8), terminal=False)
        places = saved.plan(number)
        new = saved.new_segments(places, number)
        checkpoint = write_checkpoint(
            tmp_path, number, state={}, arrays={}, screens=new, earlier=files
        )
        files = {name: file for name, file in checkpoint.files.items() if "screens" in name}
        saved.places = places
    other.added[:] = memory.added
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + count // 2, limits[1]))
    try:
        SavedScreens(other).restore(0, places[0], checkpoint)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    block = np.empty((1, count * SEGMENT, 1, 1), np.uint8)
    found = other.screens.windows(np.array([count * SEGMENT - 1]), block)
    assert np.array_equal(found.ravel(), np.repeat(np.arange(1, count + 1), SEGMENT))


def a_memory(kind: str, size: int) -> ReplayMemory:
    """An empty replay memory of one game with screens of one pixel."""
    s = ReplaySettings(replay_size=size, screen_height=1, screen_width=1)
    screens = ScreenArray(size, 1, 1) if kind == "array" else CompressedScreens(1, size, 1, 1)
    return ReplayMemory(s, screens=screens, sampler=Uniform(np.random.default_rng(1)))


def test_a_checkpoint_that_the_machine_cannot_read_may_fit_all_the_same(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    run.stop_at = {70}
    assert run.train() == 130

    def fail(*_: Any) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "segment", fail)
        assert run.resume() == 2
    text = said()
    assert "cannot be read: Too many open files." in text
    assert "does not fit" not in text
    assert run.resume() == 0


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(["json", "npz", "screens"]))
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_taken(
    saved: Path, seed: int, name: str
) -> None:
    path = saved / checkpoint_file(2, name)
    content = path.read_bytes()
    try:
        damage(path, random.Random(seed))
        found, problems = newest_checkpoint(saved)
        assert found
        assert found.number == 1
        assert len(problems) == 1
        assert "\n" not in problems[0]
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"null",
        b"[]",
        b"[" * 100_000,
        b'{"checkpoint": {}, "sha256": ""}',
        b'{"checkpoint":5,"sha256":"' + hashlib.sha256(b"5").hexdigest().encode() + b'"}',
        b"\xff\xfe",
    ],
)
def test_files_that_are_no_manifests_are_refused(manifest: bytes, tmp_path: Path) -> None:
    (tmp_path / checkpoint_file(1, "json")).write_bytes(manifest)
    (tmp_path / "notes.json").write_bytes(b"")
    found, problems = newest_checkpoint(tmp_path)
    assert found is None
    assert len(problems) == 1


def test_manifests_name_files_of_their_folder_only(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"")
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    write_checkpoint(
        folder,
        1,
        state=a_state(),
        arrays={},
        screens=[],
        earlier={"../secret": {"bytes": 0, "sha256": ""}},
    )
    with pytest.raises(ValueError, match="is not a checkpoint"):
        read_checkpoint(folder, 1)


def test_arrays_that_need_pickle_or_unpacking_are_refused(tmp_path: Path) -> None:
    found = write_checkpoint(tmp_path, 1, state={}, arrays={}, screens=[], earlier={})
    path = tmp_path / checkpoint_file(1, "npz")
    with path.open("wb") as file:
        np.savez(file, a=np.array([print], object))
    with pytest.raises(ValueError, match="not of numbers"):
        found.arrays()
    with path.open("wb") as file:
        np.savez_compressed(file, a=np.zeros(10**6))
    with pytest.raises(ValueError, match="packed"):
        found.arrays()
    end = b"PK\5\6" + bytes(8) + (1 << 30).to_bytes(4, "little") + bytes(6)
    path.write_bytes(bytes(100) + end)  # its directory would have a gigabyte
    with pytest.raises(ValueError, match="too large"):
        found.arrays()
    path.write_bytes(b"PK")
    with pytest.raises(ValueError, match="cannot be read"):
        found.arrays()


@pytest.mark.parametrize("header", [b"(((", b"{'descr': '<f4', 'shape': (" + b"1," * 4000])
def test_arrays_with_strange_descriptions_are_refused(header: bytes, tmp_path: Path) -> None:
    found = write_checkpoint(tmp_path, 1, state={}, arrays={}, screens=[], earlier={})
    header = header.ljust(64 * (len(header) // 64 + 1) - 11) + b"\n"
    with zipfile.ZipFile(tmp_path / checkpoint_file(1, "npz"), "w") as parts:
        length = len(header).to_bytes(2, "little")
        parts.writestr("a.npy", b"\x93NUMPY\x01\x00" + length + header)
    with pytest.raises(ValueError, match=r"cannot be read|too large|Header"):
        found.arrays()


def test_a_checkpoint_of_others_leaves_numbers_for_ours(tmp_path: Path) -> None:
    ours = write_checkpoint(
        tmp_path, LARGEST + 2, state=a_state(), arrays={}, screens=[], earlier={}
    )
    assert read_checkpoint(tmp_path, ours.number).ours
    assert next_number(tmp_path, 3) == 4
    assert next_number(tmp_path, ours.number) == LARGEST + 3
    path = tmp_path / checkpoint_file(ours.number, "json")
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"signature": "0"}))
    with pytest.raises(ValueError, match="number is too large"):
        read_checkpoint(tmp_path, ours.number)


def test_a_checkpoint_of_another_network_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch)
    run.stop_at = {70}
    assert run.train() == 130
    found, _ = newest_checkpoint(run.checkpoints)
    assert found
    found.state["about"]["flags"]["screen_width"] = 52
    arrays = found.arrays()
    write_checkpoint(
        run.checkpoints, 9, state=found.state, arrays=arrays, screens=[], earlier=found.files
    )
    assert run.resume() == 2
    assert "does not fit this run" in said()


def test_repeated_actions_that_the_game_has_not_are_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    run = Run(home, monkeypatch, "--exploration_zeta", "2", "--num_envs", "2")
    run.stop_at = {40}
    assert run.train() == 130
    found, _ = newest_checkpoint(run.checkpoints)
    assert found
    arrays = found.arrays() | {"repeated.actions": np.array([0, 4])}
    write_checkpoint(
        run.checkpoints, 9, state=found.state, arrays=arrays, screens=[], earlier=found.files
    )
    assert run.resume() == 2
    assert "it repeats actions that the game does not have" in said()


def test_signals_that_nohup_ignores_stay_ignored(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    run = Run(home, monkeypatch, "--epochs", "1")
    monkeypatch.setattr(Progress, "on_round", lambda *_: signal.raise_signal(signal.SIGHUP))
    assert run.train() == 0
