"""Whole runs: every verb once on a tiny network and a real game, and what may happen to them."""

from __future__ import annotations

import csv
import errno
import json
import logging
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import atomic
import deepqnetwork
import runs.files
from agent import Agent, Phase
from deepqnetwork import DeepQNetwork
from main import main
from replay.prioritized import Prioritized
from replay_memory import Minibatch, ReplayMemory
from snapshot import format as snapshot
from snapshot.format import read_snapshot
from stats import Statistics
from tests.faults.hostile_pickles import commands

ROOT = Path(__file__).parent.parent
TINY = """--screen_width 36 --screen_height 36 --batch_size 4 --replay_size 500 --random_starts 6
    --random_steps 40 --train_steps 40 --test_steps 30 --epochs 1 --backend cpu --threads 1"""
TIMES = ("total_time", "epoch_time", "steps_per_second")


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What is logged; `main` sets the level, which is set back."""
    level = logging.getLogger().level
    caplog.set_level(logging.INFO)
    yield caplog
    logging.getLogger().setLevel(level)


def run(line: str, *, expect: int = 0) -> None:
    code = main(line.split())
    assert code == expect


def train(words: str, more: str = "--random_seed 1", *, expect: int = 0) -> None:
    run(f"train {words} {TINY} {more}", expect=expect)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def untimed(path: Path) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows(path)]


def weights(path: Path) -> list[bytes]:
    """With the optimizer's states."""
    layers = read_snapshot(path).layers
    return [array.tobytes() for x in layers for array in [*x.params.values(), *x.states]]


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def refused(
    capsys: pytest.CaptureFixture[str], line: str, *sentences: str, verb: str = "train"
) -> None:
    """The line ends with exit code 2 and one sentence."""
    run(line, expect=2)
    answer = capsys.readouterr().err
    assert answer.startswith(f"{verb}: ")
    assert answer.count("\n") == 1
    assert "Traceback" not in answer
    for sentence in sentences:
        assert sentence in answer


def test_train_writes_rows_snapshots_and_what_the_run_was(
    home: Path, log: pytest.LogCaptureFixture
) -> None:
    train("roms/breakout.rom mine", "--epochs 2 --random_seed 0")
    assert "using the ROM of breakout that comes with ALE" in log.text
    names = {"results/breakout_mine.csv", "results/breakout_mine.json"}
    names |= {"snapshots/breakout_mine_1.pkl", "snapshots/breakout_mine_2.pkl"}
    assert {name for name in files(home) if not name.startswith("checkpoints/")} == names
    found = rows(home / "results/breakout_mine.csv")
    assert [(row["epoch"], row["phase"], row["steps"]) for row in found] == [
        *[("0", "random", "40"), ("1", "train", "40"), ("1", "test", "30")],
        *[("2", "train", "40"), ("2", "test", "30")],
    ]
    assert [row["weight_updates"] for row in found] == ["0", "10", "10", "20", "20"]
    about = json.loads((home / "results/breakout_mine.json").read_text())
    assert (about["command"], about["seed"]) == ("train", 0)
    assert about["rom_md5"] == "f34f08e5eb96e500e851a80be3277a56"
    assert (about["flags"]["epochs"], about["flags"]["game"]) == (2, "roms/breakout.rom")
    assert {"python", "torch", "numpy", "ale-py"} <= about["versions"].keys()
    assert isinstance(about["commit"], str)
    info = read_snapshot(home / "snapshots/breakout_mine_2.pkl").info
    assert (info["game"], info["total_train_steps"], info["weight_updates"]) == ("breakout", 80, 20)
    assert info["actions"] == ["NOOP", "FIRE", "RIGHT", "LEFT"]
    assert info["rom_md5"] == about["rom_md5"]
    assert info["flags"] == about["flags"]
    assert about["flags"]["csv_file"] == "results/breakout_mine.csv"  # it is handed on
    assert info["training_score"] == float(found[3]["average_reward"])


@pytest.mark.parametrize("preset", ["simple_dqn", "simple_dqn_2015", "nature"])
def test_the_same_seed_is_the_same_run_and_another_another(home: Path, preset: str) -> None:
    for label, seed in (("one", 1), ("again", 1), ("other", 2)):
        sticky = "--repeat_action_probability 0.25"
        train(f"pong {label}", f"--random_seed {seed} --preset {preset} {sticky}")
    found = [untimed(home / f"results/pong_{label}.csv") for label in ("one", "again", "other")]
    assert found[0] == found[1]
    assert found[0] != found[2]
    ends = [weights(home / f"snapshots/pong_{label}_1.pkl") for label in ("one", "again", "other")]
    assert ends[0] == ends[1]
    assert ends[0] != ends[2]


def test_without_a_seed_every_run_is_another_and_says_which(home: Path) -> None:
    seeds = set()
    for label in ("one", "other"):
        train(f"pong {label}", "--random_steps 0 --train_steps 0 --test_steps 1")
        seeds.add(json.loads((home / f"results/pong_{label}.json").read_text())["seed"])
    assert len(seeds) == 2


def test_an_earlier_run_is_never_overwritten_silently(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("pong")
    before = {name: (home / name).read_bytes() for name in files(home)}
    refused(
        capsys,
        f"train pong {TINY}",
        "results/pong.csv",
        "resume it with ./resume.sh",
        "give this run a label (./train.sh pong LABEL)",
        "--overwrite",
    )
    refused(capsys, f"test snapshots/pong_1.pkl {TINY} --csv_file results/pong.csv", verb="test")
    assert {name: (home / name).read_bytes() for name in before} == before
    train("pong other", "--epochs 2 --random_seed 1")
    one, two = (home / f"snapshots/pong_other_{epoch}.pkl" for epoch in (1, 2))
    assert weights(one) == weights(home / "snapshots/pong_1.pkl")
    train("pong other", "--random_seed 2 --overwrite")
    assert weights(one) != weights(home / "snapshots/pong_1.pkl")
    assert not two.exists()  # it was of the run that is replaced
    (home / "results/pong_csv_alone.csv").touch()
    refused(capsys, f"train pong csv_alone {TINY}", "An earlier run has written", ": give this run")


def test_test_writes_what_it_is_asked_for_and_nothing_else(
    home: Path, log: pytest.LogCaptureFixture
) -> None:
    train("pong")
    before = files(home)
    log.clear()
    run("test snapshots/pong_1.pkl --test_steps 30 --backend cpu")
    assert files(home) == before
    assert "Loaded snapshots/pong_1.pkl, epoch 1" in log.text
    assert "no game ended, score so far" in log.text
    run("test snapshots/pong_1.pkl --test_steps 30 --backend cpu --csv_file mine/test.csv")
    assert files(home) - before == {"mine/test.csv", "mine/test.json"}
    (row,) = rows(home / "mine/test.csv")
    assert (row["phase"], row["steps"], row["replay_memory_count"]) == ("test", "30", "0")
    assert row["weight_updates"] == "10"


def test_whole_games_are_summed_up(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("pong")
    capsys.readouterr()
    run("test snapshots/pong_1.pkl --test_games 3 --max_episode_frames 400 --backend cpu")
    told = capsys.readouterr().out
    assert told.splitlines()[0] == "pong, 3 games"
    for name in ("mean", "standard deviation", "median", "minimum", "maximum", "human-normalized"):
        assert re.search(rf"^  {name} +-?[\d.]+( %)?$", told, re.MULTILINE)


def test_a_run_resumes_from_its_checkpoint_as_if_it_had_not_ended(home: Path) -> None:
    train("pong whole", "--epochs 2 --random_seed 1")
    train("pong parts")
    run("resume pong parts --epochs 2")
    assert untimed(home / "results/pong_parts.csv") == untimed(home / "results/pong_whole.csv")
    assert weights(home / "snapshots/pong_parts_2.pkl") == weights(
        home / "snapshots/pong_whole_2.pkl"
    )


def test_or_from_a_snapshot_with_a_new_replay_memory(
    home: Path,
    log: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train("pong")
    shutil.rmtree(home / "checkpoints")
    refused(capsys, "resume snapshots/pong_1.pkl", "more --epochs", verb="resume")
    rates, fill_memory = [], Agent.fill_memory

    def refill(self: Agent, steps: int, **settings: Any) -> None:
        rates.append(settings["exploration"])
        fill_memory(self, steps, **settings)

    monkeypatch.setattr(Agent, "fill_memory", refill)
    drawn, draw = [], Prioritized.draw

    def count(self: Prioritized, memory: ReplayMemory) -> Any:
        drawn.append(self.draws)
        return draw(self, memory)

    monkeypatch.setattr(Prioritized, "draw", count)
    run(
        "resume snapshots/pong_1.pkl --epochs 2 --train_steps 20 --exploration_decay_steps 80 "
        "--prioritized true"
    )
    assert rates == [[pytest.approx(0.55)]]  # where half of the decay is done
    assert min(drawn) == 10  # so that importance weights go on as well
    assert "filling the replay memory with the loaded policy, 40 steps" in log.text
    found = rows(home / "results/pong.csv")
    assert [row["epoch"] for row in found] == ["0", "1", "1", "2", "2"]
    totals = ("total_train_steps", "weight_updates", "replay_memory_count")
    assert [found[3][name] for name in totals] == ["60", "15", "60"]
    assert float(found[3]["last_exploration_rate"]) < float(found[1]["last_exploration_rate"])
    assert read_snapshot(home / "snapshots/pong_2.pkl").info["total_train_steps"] == 60


@pytest.mark.parametrize(
    ("kind", "part", "calls"),
    [("random", "prediction", 0), ("test", "prediction", 20), ("train", "weight update", 20)],
)
def test_profiles_show_the_costs_apart(
    home: Path, capsys: pytest.CaptureFixture[str], kind: str, part: str, calls: int
) -> None:
    run(f"profile_{kind} --{kind}_steps 20 --batch_size 32 --backend cpu --threads 1")
    table = capsys.readouterr().out.splitlines()[1:]
    parts = {line[:20].strip(): line[20:].split() for line in table}
    assert {"emulation", "screen", "the rest", "all"} <= parts.keys()
    assert int(parts[part][0]) == calls
    assert int(parts["emulation"][0]) >= 20
    assert not files(home)


def full_disk(monkeypatch: pytest.MonkeyPatch, is_full: Callable[[Path], bool]) -> None:
    """No file can be written for which `is_full` says so."""
    write_new = atomic.write_new

    def fail(path: Path, content: Iterable[bytes | memoryview]) -> None:
        if is_full(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        write_new(path, content)

    monkeypatch.setattr(atomic, "write_new", fail)


def test_training_continues_over_a_full_disk_and_says_what_is_not_saved(
    home: Path, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk(monkeypatch, lambda path: "pong_1.pkl" in path.name)
    train("pong", "--epochs 2 --random_seed 1", expect=3)
    assert "Cannot write" in log.text
    assert "trying again later" in log.text
    assert f"Not saved: {home / 'snapshots/pong_1.pkl'}." in log.text
    assert files(home / "snapshots") == {"pong_2.pkl"}
    assert len(rows(home / "results/pong.csv")) == 5


def test_what_found_no_room_is_written_as_soon_as_there_is(
    home: Path, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    train("pong whole", "--epochs 2 --random_seed 1")
    fails = {"pong_parts_1.pkl": 1, "pong_parts_2.pkl": 1, "pong_parts.json": 1}

    def is_full(path: Path) -> bool:
        name = next((name for name in fails if name in path.name), None)
        if name and fails[name]:
            fails[name] -= 1
            return True
        # Rows of the end, which no later row brings along.
        return path.name.startswith(".pong_parts.csv") and any(fails.values())

    full_disk(monkeypatch, is_full)
    train("pong parts", "--epochs 2 --random_seed 1")
    assert not any(fails.values())
    assert untimed(home / "results/pong_parts.csv") == untimed(home / "results/pong_whole.csv")
    for epoch in (1, 2):
        one, other = (f"snapshots/pong_{label}_{epoch}.pkl" for label in ("whole", "parts"))
        assert weights(home / one) == weights(home / other)
    assert (home / "results/pong_parts.json").exists()
    assert "after all" in log.text


@pytest.mark.parametrize(("failures", "code"), [(2, 0), (9, 3)])
def test_the_row_of_a_test_is_written_later_or_named_as_not_saved(
    home: Path,
    log: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    failures: int,
    code: int,
) -> None:
    train("pong")
    left = [True] * failures  # the statistics, what completes their row, and the end
    full_disk(monkeypatch, lambda path: "mine.csv" in path.name and bool(left and left.pop()))
    flags = "--test_steps 30 --backend cpu --csv_file mine.csv --random_seed 7"
    run(f"test snapshots/pong_1.pkl {flags}", expect=code)
    assert "Cannot write mine.csv (No space left on device): trying again later." in log.text
    assert log.text.count("Not saved: mine.csv.") == (code == 3)
    if code == 0:
        (row,) = rows(home / "mine.csv")
        assert (row["snapshot"], row["random_seed"]) == ("snapshots/pong_1.pkl", "7")


def test_a_snapshots_bytes_do_not_depend_on_git(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs.files, "commit", lambda: "abc")
    train("pong")
    kept = (home / "snapshots/pong_1.pkl").read_bytes()
    monkeypatch.setattr(runs.files, "commit", lambda: "abc+")
    for folder in ("snapshots", "results", "checkpoints"):
        shutil.rmtree(home / folder)
    train("pong")
    assert (home / "snapshots/pong_1.pkl").read_bytes() == kept
    assert json.loads((home / "results/pong.json").read_text())["commit"] == "abc+"
    monkeypatch.setattr(runs.files, "commit", lambda: "def")
    run("resume pong --epochs 2")
    assert json.loads((home / "results/pong.json").read_text())["commit"] == "abc+"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("brekout", "did you mean breakout"),
        ("roms/space_invader.bin", "did you mean space_invaders"),
        ("pong --epoch 3", "Did you mean --epochs"),
        ("pong --replay_size 4", "use at least 10 steps"),
        ("pong --replay_size 99 --batch_size 99", "so that nothing would be learned"),
        ("pong --test_games 5", "--test_games is for ./test.sh only: remove it"),
        ("pong --adam_epsilon 0", "--adam_epsilon must be at least 1e-30"),
        ("pong --screen_width 35", "too small"),
        ("pong --replay_size 1e12", "--replay_size must be at most 1e+08"),
        ("pong --replay_storage array --replay_size 1e8", "are free: --replay_s"),
        ("pong --batch_size 16384 --screen_width 256 --screen_height 256", "are free: use a"),
        ("pong --csv_file file/run.csv", "Cannot write file/run.csv: file is no folder"),
        ("pong --save_weights_prefix file/pong", "Cannot write file/pong: file is no folder"),
        ("pong --stochastic_round true", "--stochastic_round works with Neon only"),
        ("pong --backend gpu --device_id 99", "There is no GPU 99"),
        ("pong --preset nosuch", "There is no preset 'nosuch'"),
        ("pong --load_weights none.pkl", "There is no snapshot none.pkl"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(
    home: Path, capsys: pytest.CaptureFixture[str], line: str, sentence: str
) -> None:
    (home / "file").touch()
    refused(capsys, f"train {line}", sentence)
    assert not [name for name in files(home) if name.endswith((".csv", ".pkl"))]


def test_a_snapshot_of_another_game_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("pong")
    capsys.readouterr()
    line = "--load_weights snapshots/pong_1.pkl --backend cpu --replay_size 500"
    refused(
        capsys,
        f"breakout {line}",
        "6 outputs for its game's actions but this game needs 4",
        verb="run",
    )
    refused(capsys, f"qbert {line}", "LEFTFIRE but the game has NOOP, FIRE, UP", verb="run")


@pytest.mark.parametrize(
    "change",
    [
        dict(actions=["NOOP", "FIRE", "UP", "DOWN", "LEFT", "RIGHT"]),
        dict(actions=5),
        dict(total_train_steps="many"),
        dict(total_train_steps=-1),
        dict(updates_since_drawn=10**400),
    ],
    ids=str,
)
def test_a_snapshot_with_strange_data_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any]
) -> None:
    train("pong")
    capsys.readouterr()
    path = home / "snapshots/pong_1.pkl"
    kept = read_snapshot(path)
    kept.info |= change
    snapshot.write_snapshot(path, kept)
    shutil.rmtree(home / "checkpoints")
    refused(capsys, "resume snapshots/pong_1.pkl --epochs 2", "pong_1.pkl", verb="resume")


WIDE = dict(network_width=16.0, dueling=True, noisy=True, optimizer="adadelta")


@pytest.mark.parametrize("verb", ["test", "resume", "record"])
def test_a_snapshot_of_a_network_that_its_weights_are_too_few_for_is_refused_before_it_is_made(
    verb: str, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train("pong")
    path = home / "snapshots/pong_1.pkl"
    kept = read_snapshot(path)
    kept.info["flags"] |= WIDE
    snapshot.write_snapshot(path, kept)
    shutil.rmtree(home / "checkpoints")
    monkeypatch.setattr("deepqnetwork.DeepQNetwork.__init__", None)
    words = "its flags describe has 20,061,184 weights, but snapshots/pong_1.pkl contains only"
    refused(capsys, f"{verb} snapshots/pong_1.pkl --epochs 2", words, verb=verb)


@pytest.mark.parametrize("verb", ["test", "resume", "play", "record", "nvis"])
def test_a_pickle_that_would_run_code_is_refused_and_runs_none(
    home: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    touched = home / "touched"
    for name, code in commands(f"touch {touched}").items():
        (home / "pong_1.pkl").write_bytes(b"\x80\x02" + code + b".")
        refused(capsys, f"{verb} pong_1.pkl", "cannot be used as a snapshot", verb=verb)
        assert not touched.exists(), name


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["test", "--help"])
    assert exit.value.code == 0
    assert "./test.sh SNAPSHOT...|GAME [flags]" in capsys.readouterr().out


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the program, so that it has a home of its own in another process too."""
    for name in ("src", "presets"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def start(clone: Path, line: str, **settings: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "src/main.py", *line.split()],
        cwd=clone,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


def test_ctrl_c_saves_and_says_how_to_go_on(clone: Path) -> None:
    process = start(clone, f"train pong {TINY} --train_steps 1000000 --random_seed 1")
    assert process.stderr
    told = ""
    for line in process.stderr:
        told += line
        if "Epoch 1: train" in line:
            process.send_signal(signal.SIGINT)
            break
    told += process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Stopping after this step; Ctrl-C again stops at once." in told
    assert "./resume.sh pong resumes from epoch 1, train, step " in told
    assert "Traceback" not in told
    assert [row["phase"] for row in rows(clone / "results/pong.csv")] == ["random"]
    assert not [name for name in files(clone) if name.endswith(".tmp")]


def test_ctrl_c_without_checkpoints_saves_the_row_and_a_snapshot(
    home: Path, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(DeepQNetwork):
        def train(self, minibatch: Minibatch) -> None:
            super().train(minibatch)
            if self.train_iterations == 5:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(deepqnetwork, "DeepQNetwork", Interrupted)
    train("pong", "--checkpoint_minutes 0 --epochs 3", expect=130)
    assert [row["steps"] for row in rows(home / "results/pong.csv")] == ["40", "17"]
    path = home / "snapshots/pong_1.pkl"
    assert f"{path} resumes from that snapshot, without the rest of epoch 1." in log.text
    assert read_snapshot(path).info["total_train_steps"] == 17


def test_a_second_ctrl_c_stops_at_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(self: Agent, steps: int, *, start: int = 0) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Agent, "train", interrupted)
        train("pong", expect=130)
    assert "train: stopped. ./resume.sh pong resumes from epoch 1" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before


def test_a_disk_with_room_for_the_csv_alone(clone: Path) -> None:
    limit = 200_000  # bytes of a file; a snapshot has 1.3 million

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    process = start(clone, f"train pong {TINY}", preexec_fn=limited)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 3
    assert "Not saved: " in told
    assert "Cannot write" in told
    assert "Traceback" not in told
    assert len(rows(clone / "results/pong.csv")) == 3
    assert not files(clone / "snapshots")
    assert not [name for name in files(clone) if name.endswith(".tmp")]


def test_a_refused_run_leaves_nothing_behind(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "results").mkdir()
    (home / "results/pong.csv").write_text("mine")
    before = {path.relative_to(home) for path in home.rglob("*")}
    for line in (
        "train pong",
        "train pong other --screen_width 20",
        "train pong third --padding 9",
    ):
        refused(capsys, f"{line} --replay_size 1000 --backend cpu")
        found = {path.relative_to(home) for path in home.rglob("*")}
        assert not [path for path in found - before if path.parts[0] == "checkpoints"], line
        assert not [path for path in found if path.is_file() and path not in before], line


def test_a_run_killed_before_its_first_checkpoint_begins_again(
    home: Path, capsys: pytest.CaptureFixture[str], log: pytest.LogCaptureFixture
) -> None:
    train("pong whole")
    train("pong", "--random_seed 1")
    shutil.rmtree(home / "checkpoints/pong")
    (home / "snapshots/pong_1.pkl").unlink()
    path = home / "results/pong.csv"
    every = path.read_text().splitlines(keepends=True)
    path.write_text("".join(every[:4]))  # with a row of training something would be lost
    refused(capsys, f"train pong {TINY}", "An earlier run has written")
    path.write_text("".join(every[:2]))
    train("pong", "--random_seed 1")
    assert "was stopped before its first checkpoint: starting from the" in log.text
    assert untimed(path) == untimed(home / "results/pong_whole.csv")


def test_a_network_whose_snapshots_could_not_be_read_again_is_refused_before_training(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "train pong --screen_width 256 --screen_height 250 --replay_size 1000 --backend cpu"
    refused(capsys, line, "Snapshots of this network would have", "more than the limit of")
    assert not files(home)


def test_nothing_is_written_through_links(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = home / "notes.txt"
    folder = home / "elsewhere"
    folder.mkdir()
    for link, to in (
        ("results/pong.csv", target),
        ("results/pong.json", target),
        ("checkpoints/pong.lock", target),
        ("checkpoints/pong", folder),
        ("snapshots/deep", folder),
    ):
        target.write_text("mine")
        path = home / link
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(to)
        words = " --save_weights_prefix snapshots/deep/pong" if "deep" in link else ""
        run(f"train pong {TINY} --overwrite{words}", expect=2)
        said = capsys.readouterr().err
        assert "symbolic link" in said or "Cannot lock" in said, link
        assert target.read_text() == "mine"
        assert not list(folder.iterdir())
        path.unlink()


def test_a_link_in_place_of_a_checkpoints_file_is_replaced_and_not_followed(home: Path) -> None:
    target = home / "notes.txt"
    target.write_text("mine")
    folder = home / "checkpoints/pong"
    folder.mkdir(parents=True)
    for name in ("000001.npz", "000001.screens", f".000001.json.{os.getpid()}.tmp"):
        (folder / name).symlink_to(target)
    train("pong")
    assert target.read_text() == "mine"
    assert not [path for path in folder.iterdir() if path.is_symlink()]
    run("resume pong --epochs 2")


@pytest.mark.parametrize("path", ["/dev/null", "pipe"])
def test_a_device_or_a_pipe_is_not_replaced(
    home: Path, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    os.mkfifo(home / "pipe")
    refused(capsys, f"train pong {TINY} --csv_file {path}", "is no regular file")
    assert Path("/dev/null").is_char_device()
    assert (home / "pipe").is_fifo()


def test_without_checkpoints_the_last_epoch_is_followed_by_one_more(
    home: Path, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = Agent.test

    def interrupted(self: Agent, steps: int, *, start: int = 0) -> None:
        self.stop()
        test(self, steps, start=start)

    with monkeypatch.context() as patch:
        patch.setattr(Agent, "test", interrupted)
        train("pong", "--checkpoint_minutes 0 --epochs 1", expect=130)
    path = home / "snapshots/pong_1.pkl"
    assert f"./resume.sh {path} --epochs 2 resumes from that snapshot" in log.text
    assert main(["resume", str(path), "--epochs", "2"]) == 0


def test_a_stop_after_the_last_step_is_no_stop(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end = Statistics.on_phase_end

    def stopped(self: Statistics, phase: Phase) -> None:
        end(self, phase)
        if (phase.name, phase.epoch) == ("test", 1):
            self.agent.stop()

    monkeypatch.setattr(Statistics, "on_phase_end", stopped)
    train("pong", "--epochs 1")


def test_a_negative_number_may_have_an_exponent(home: Path) -> None:
    train("pong", "--epochs 1 --min_reward -1e0")
    flags = json.loads((home / "results/pong.json").read_text())["flags"]
    assert flags["min_reward"] == -1
