"""./test.sh with many snapshots: every one of them plays, and one file has all scores."""

from __future__ import annotations

import csv
import errno
import importlib.util
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import psutil
import pytest

from checkpoint.lock import file_locked
from config import ROOT, Config, to_plain
from deepqnetwork import DeepQNetwork
from errors import UserError
from main import main
from sweeps import evaluate
from sweeps.node import MARK, Job

MAIN = ROOT / "src" / "main.py"
SMALL = {"screen_width": 36, "screen_height": 36}
PLAY = """--test_games 3 --max_episode_frames 1600 --exploration_rate_test 0.9 --random_seed 3
--csv_file eval.csv"""


@pytest.fixture
def snapshots(home: Path) -> list[str]:
    """Of an agent that has learned nothing, after epochs 2 and 10."""
    flags = to_plain(Config(game="breakout", **SMALL))  # type: ignore[arg-type]
    for epoch in (2, 10):
        network = DeepQNetwork(Config(**SMALL), num_actions=4, rng=np.random.default_rng(epoch))  # type: ignore[arg-type]
        info: dict[str, Any] = {"game": "breakout", "flags": flags}
        network.save_weights(home / f"breakout_{epoch}.pkl", epoch=epoch, info=info)
    return ["breakout_10.pkl", "breakout_2.pkl"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(params=["one after another", "through Ray"])
def play(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., str]:
    """Calls ./test.sh, which must succeed. Returns what it prints."""

    def here(*words: str) -> str:
        assert main(["test", *words]) == 0
        return capsys.readouterr().out

    def apart(*words: str) -> str:
        # Ray reads its environment once for each process, and other tests have used it in this one.
        command = [sys.executable, str(MAIN), "test", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    if request.param == "one after another":
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
        return here
    if not importlib.util.find_spec("ray"):
        pytest.skip("Ray is not installed; ./sweep.sh installs it")
    return apart


def test_all_snapshots_play_and_one_file_has_every_score(
    home: Path, snapshots: list[str], play: Callable[..., str]
) -> None:
    out = play(*snapshots, "--best", *PLAY.split())
    found = rows(home / "eval.csv")
    assert [(Path(row["snapshot"]).name, row["epoch"]) for row in found] == [
        ("breakout_2.pkl", "2"),
        ("breakout_10.pkl", "10"),
    ]
    for row in found:
        scores = [float(word) for word in row["game_rewards"].split()]
        assert (row["phase"], row["random_seed"], len(scores)) == ("test", "3", 3)
        assert float(row["average_reward"]) == np.mean(scores)
        assert float(row["median_game_reward"]) == np.median(scores)
    assert "breakout_2.pkl   mean " in out
    assert "\nBest: " in out
    assert "chosen afterwards among 2 snapshots" in out
    # Its scores are the same if it plays alone.
    play("breakout_10.pkl", *PLAY.split(), "--overwrite")
    (alone,) = rows(home / "eval.csv")
    assert alone["game_rewards"] == found[1]["game_rewards"]
    assert alone.keys() == found[1].keys()


def test_a_snapshot_that_cannot_be_tested_stops_no_other(
    home: Path,
    snapshots: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    (home / "breakout_3.pkl").write_text("nothing")
    assert main(["test", "breakout_2.pkl", "breakout_3.pkl", *PLAY.split()]) == 2
    assert "\ntest: breakout_3.pkl cannot be used" in capsys.readouterr().err
    assert [row["epoch"] for row in rows(home / "eval.csv")] == ["2"]


def test_snapshots_play_in_turn_if_ray_cannot_start(
    home: Path,
    snapshots: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def too_busy(**_: object) -> None:
        raise UserError("Ray cannot start on this machine.")

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr(evaluate, "open_pool", too_busy)
    assert main(["test", *snapshots, *PLAY.split()]) == 0
    assert "Ray cannot start on this machine. The snapshots play" in capsys.readouterr().err
    assert [row["epoch"] for row in rows(home / "eval.csv")] == ["2", "10"]


def test_two_commands_do_not_write_the_same_scores(
    home: Path,
    snapshots: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    for some in (snapshots, snapshots[:1]):
        with file_locked(home / "eval.csv"):
            assert main(["test", *some, *PLAY.split()]) == 2
        assert "eval.csv is in use already, by process" in capsys.readouterr().err
    assert not list(home.glob("*.csv"))


def ends_with(monkeypatch: pytest.MonkeyPatch, *codes: int) -> None:
    """Snapshots are tested one after another without being played, each with an exit code."""
    left = iter(codes)

    def work(job: Job) -> int:
        code = next(left)
        epoch = re.sub(r"\D", "", job.name)
        scores = (
            f"snapshot,epoch,nr_games,average_reward,median_game_reward\n{job.name},{epoch},0,1,"
        )
        Path(job.log).with_suffix(".csv").write_text(f"{scores}\n")
        Path(job.log).write_text(f'{MARK}{{"ended": 1.0, "code": {code}}}\n')
        return code

    monkeypatch.setattr(evaluate, "work", work)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)


@pytest.mark.parametrize(
    ("error", "words", "code", "tested"),
    [
        (errno.EPIPE, PLAY, 0, ["2", "10"]),
        (errno.ENOSPC, PLAY, 3, ["2", "10"]),
        (errno.EPIPE, "--random_seed 3", 130, None),
    ],
    ids=["nobody reads", "the disk is full", "nobody reads and nothing is kept"],
)
def test_results_that_cannot_be_printed_stop_no_test_that_is_kept(
    home: Path,
    snapshots: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: int,
    words: str,
    code: int,
    tested: list[str] | None,
) -> None:
    ends_with(monkeypatch, 0, 0)
    silenced: list[int] = []
    monkeypatch.setattr(evaluate, "silence", silenced.append)
    with monkeypatch.context() as patch:
        # Python forgets what it could not write: later it fails no more.
        failing = Mock(side_effect=[OSError(error, os.strerror(error)), None, None, None])
        patch.setattr(sys.stdout, "flush", failing)
        assert main(["test", *snapshots, *words.split()]) == code
    said = capsys.readouterr().err
    assert silenced == [1] * (error == errno.EPIPE)
    assert ("could not be printed: No space left" in said) == (code == 3)
    assert ("1 of 2 snapshots were tested" in said) == (code == 130)
    if tested:
        assert [row["epoch"] for row in rows(home / "eval.csv")] == tested


def test_ctrl_c_keeps_the_scores_of_finished_tests(
    home: Path,
    snapshots: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends_with(monkeypatch, 0, 130)
    assert main(["test", *snapshots, *PLAY.split()]) == 130
    assert "1 of 2 snapshots were tested" in capsys.readouterr().err
    assert [row["epoch"] for row in rows(home / "eval.csv")] == ["2"]


@pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="Ray is not installed")
def test_a_request_to_end_ends_all_tests_without_a_traceback(
    home: Path, snapshots: list[str]
) -> None:
    def tests() -> list[psutil.Process]:
        """Of one snapshot each."""
        found = psutil.process_iter(["cmdline"])
        return [each for each in found if f"--random_seed={seed}" in (each.info["cmdline"] or ())]

    seed = os.getpid()  # no other test's
    command = [sys.executable, str(MAIN), "test", *snapshots, "--test_games", "100000"]
    command += ["--random_seed", str(seed)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (began := bool(tests())) and time.monotonic() < deadline:
            time.sleep(0.1)
        process.terminate()
        try:
            _, err = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert began
    assert process.returncode == 130
    assert err.split("\n") == ["test: 0 of 2 snapshots were tested.", "", "test: stopped.", ""]
    assert not tests()


def test_a_snapshot_that_finished_no_game_is_not_the_best(
    capsys: pytest.CaptureFixture[str],
) -> None:
    low = {"min_game_reward": "-21", "max_game_reward": "-21", "median_game_reward": "-21"}
    ended = {"snapshot": "a.pkl", "nr_games": "1", "average_reward": "-21", **low}
    unfinished = {"snapshot": "b.pkl", "nr_games": "0", "average_reward": "-3"}
    evaluate._name_best({"../a.pkl": ended, "../b.pkl": unfinished})
    assert capsys.readouterr().out.startswith("Best: ../a.pkl, mean -21.00")
    evaluate._name_best({"../b.pkl": unfinished})
    assert capsys.readouterr().out.startswith("No game ended")


PONG = next((Path(__file__).resolve().parents[2] / "agents").glob("pong_*.pkl"))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("breakout_2.pkl --best", "give at least two"),
        ("breakout_2.pkl breakout_2.pkl", "breakout_2.pkl is named twice"),
        (f"breakout_2.pkl {PONG} --best", "of one game, not of breakout and pong"),
        ("breakout_2.pkl breakout_10.pkl --csv_file folder --overwrite", "write folder: it is no"),
        ("breakout_2.pkl breakout_10.pkl --csv_file breakout_2.pkl/x.csv", "Not a directory"),
        ("breakout_2.pkl breakout_7.pkl", "breakout_7.pkl does not exist"),
        (
            "breakout_2.pkl breakout_10.pkl --csv_file breakout_2.pkl",
            "breakout_2.pkl already exists",
        ),
        ("breakout_2.pkl breakout_10.pkl --tset_games 3", "There is no flag --tset_games"),
        ("breakout_2.pkl breakout_10.pkl --log json", "--log json is for one snapshot"),
        ("breakout_2.pkl breakout_10.pkl --video_file x.mov", "--video_file is for one snapshot"),
        ("breakout_2.pkl breakout_10.pkl --tensorboard x", "--tensorboard is for one snapshot"),
    ],
)
def test_bad_input_gets_a_sentence_before_anything_is_played(
    home: Path,
    snapshots: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    says: str,
) -> None:
    (home / "folder").mkdir()
    played: list[Callable[..., int]] = []
    monkeypatch.setattr(evaluate, "work", played.append)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert main(["test", *line.split()]) == 2
    assert says in capsys.readouterr().err
    assert not played
