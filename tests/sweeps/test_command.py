"""What ./sweep.sh makes of its command line, and what it refuses before anything starts."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

import sweep
from errors import UserError
from sweeps.command import Command, read_command
from sweeps.plan import Sweep, check, describe, description_path, is_finished, read


def begin(sweep: Sweep) -> None:
    check(sweep)
    describe(sweep)


def command(line: str) -> Command:
    return read_command(line.split())


def test_every_combination_is_a_run_with_a_name_of_its_own(home: Path) -> None:
    found = command("pong breakout --seeds 2 --vary double_q=true,false --name x --epochs 3")
    assert {run.name for run in found.sweep.runs} == {
        f"{game}_x_double_q_{value}_seed{seed}"
        for game in ("pong", "breakout")
        for value in ("true", "false")
        for seed in (1, 2)
    }
    assert found.begin["pong_x_double_q_true_seed2"] == (
        *("train", "pong", "x_double_q_true_seed2"),
        *("--threads=1", "--update_parts=1", "--replay_storage=compressed"),
        *("--epochs=3", "--double_q=true", "--random_seed=2", "--overwrite"),
    )
    assert found.again["pong_x_double_q_true_seed2"] == (
        *("resume", "pong", "x_double_q_true_seed2"),
        *("--threads=1", "--replay_storage=compressed", "--epochs=3"),
    )
    (run,) = (run for run in found.sweep.runs if run.name == "pong_x_double_q_true_seed2")
    assert (run.flags["double_q"], run.flags["epochs"]) == (True, 3)
    assert run.csv_file == home / "results" / "pong_x_double_q_true_seed2.csv"


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [("3", (1, 2, 3)), ("3,7,11", (3, 7, 11)), ("7,", (7,)), ("0,1", (0, 1))],
)
def test_seeds_are_a_number_or_a_list(home: Path, seeds: str, expected: tuple[int, ...]) -> None:
    assert command(f"pong --seeds {seeds}").sweep.seeds == expected


def test_values_keep_all_their_digits_and_files_only_their_names(home: Path) -> None:
    (home / "mine.toml").write_text("epochs = 3\n")
    (home / "mine.py").write_text("class One: ...\nclass Two: ...\n")
    for flags, settings in {
        "--vary learning_rate=2.5e-4,1.0": ["learning_rate_2.5e-4", "learning_rate_1.0"],
        "--preset mine.toml,nature": ["mine", "nature"],
        "--vary network=nature,mine.py:One,mine.py:Two": [
            "network_nature",
            "network_mine-One",
            "network_mine-Two",
        ],
    }.items():
        assert list(command(f"pong --seeds 1 {flags}").sweep.settings) == settings


def test_presets_are_compared_and_one_alone_is_not_in_the_name(home: Path) -> None:
    two = command("pong --seeds 1 --preset simple_dqn,nature").sweep
    assert list(two.settings) == ["simple_dqn", "nature"]
    assert two.settings["nature"]["bias"] is True
    one = command("pong --seeds 1 --preset nature").sweep
    assert [run.name for run in one.runs] == ["pong_sweep_seed1"]


def test_threads_follow_the_cores_unless_they_are_given(home: Path) -> None:
    assert "--threads=4" in command("pong --seeds 1 --cpus 4").begin["pong_sweep_seed1"]
    assert "--threads=1" in command("pong --seeds 1 --cpus 0.5").begin["pong_sweep_seed1"]
    words = command("pong --seeds 1 --cpus 4 --threads 2").begin["pong_sweep_seed1"]
    assert [word for word in words if "threads" in word] == ["--threads=2"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "Call it as ./sweep.sh GAME"),
        ("--seeds 3", "Call it as ./sweep.sh GAME"),
        ("pong --nmae x", "There is no flag --nmae"),
        ("pong --vary lerning_rate=1,2", "Did you mean --learning_rate"),
        ("pong --vary learning_rate", "needs values"),
        ("pong --vary learning_rate=1,,2", "needs values"),
        ("pong --vary learning_rate=a", "--learning_rate takes a number"),
        ("pong --vary optimizer=adam,adam", "has a value twice"),
        ("pong --vary learning_rate=0.001,1e-3", "has a value twice"),
        ("pong --vary random_seed=1,2", "is not possible"),
        ("pong --vary epochs=1,2 --epochs 3", "is not possible"),
        ("pong --vary loss=mse --distribution c51", "c51 has a loss of its own"),
        ("pong --seeds x", "--seeds takes a whole number"),
        ("pong --seeds 0", "--seeds must be at least 1"),
        ("pong --seeds 3,3", "names no seed, or one twice"),
        ("pong --random_seed 3", "give --seeds"),
        ("pong --csv_file x.csv", "--csv_file is not for a sweep"),
        ("pong --overwrite", "--overwrite is not for a sweep"),
        ("pong Pong", "named twice"),
        ("pnog", "no game of that name"),
        ("pong --name a/b", "becomes part of file names"),
        ("pong --name .", "becomes part of file names"),
        ("pong --cpus 0", "--cpus must be at least"),
        ("pong --cpus 999", "--cpus 999 per run is more than this machine has"),
        ("pong --cpus 999 --detach", "--cpus 999 per run is more than this machine has"),
        ("pong --cpus 999 --dry_run", "--cpus 999 per run is more than this machine has"),
        ("pong --gpus x", "--gpus takes a number"),
        ("pong --epochs 0", "nothing would be learned"),
        ("pong --train_steps 0", "A sweep trains"),
        ("pong --checkpoint_minutes 0", "A sweep resumes runs"),
        ("pong --preset nonsense", "There is no preset"),
        ("pong --seeds 1000 --vary batch_size=1,2,3,4,5,6,7,8,9,10,11", "at most 10,000 runs"),
        ("status", "Call it as"),
        ("status a b", "Call it as"),
        ("status ../x", "Call it as"),
        ("status nothing", "There is no sweep nothing"),
        ("pong --address here --seeds 1", "--address is HOST:PORT"),
        ("pong --address 127.0.0.1:1 --seeds 1", "No Ray cluster answers"),
    ],
)
def test_what_a_user_can_get_wrong_gets_one_sentence(
    home: Path, capsys: pytest.CaptureFixture[str], line: str, says: str
) -> None:
    assert sweep.main(line.split()) == 2
    err = capsys.readouterr().err
    assert err.startswith("sweep: ")
    assert err.count("\n") == 1
    assert says in err
    assert not list(home.rglob("*_seed*"))


def test_the_same_command_again_agrees_with_the_description(home: Path) -> None:
    first = command("pong --seeds 2 --vary double_q=true,false --name x").sweep
    begin(first)
    assert read("x") == first
    begin(command("pong --seeds 2 --vary double_q=true,false --name x --threads 2").sweep)
    assert read("x") == first


def test_games_seeds_and_settings_may_be_added(home: Path) -> None:
    begin(command("pong --seeds 2 --vary double_q=true --name x").sweep)
    more = command("pong breakout --seeds 3 --vary double_q=true,false --name x").sweep
    begin(more)
    assert read("x") == more


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("breakout --seeds 2", "started with the game pong"),
        ("pong --seeds 1", "started with the seed 2"),
        ("pong --seeds 2 --epochs 7", "started with --epochs 200, not 7"),
        ("pong --seeds 2 --average_decay 0.9", "started with --average_decay 0.0, not 0.9"),
        ("pong --seeds 2 --learning_rate_decay_updates 9", "--learning_rate_decay_updates 0, not"),
        ("pong --seeds 2 --preset nature", "was started with --bias False, not True"),
        ("pong --seeds 2 --vary double_q=true", "started with the setting without --vary"),
        ("pong --seeds 2 --cpus 2", "started with --update_parts 1, not 2"),
    ],
)
def test_a_setting_that_differs_is_refused(home: Path, line: str, says: str) -> None:
    begin(command("pong --seeds 2 --name x").sweep)
    before = description_path("x").read_bytes()
    with pytest.raises(UserError, match=says):
        begin(command(f"{line} --name x").sweep)
    assert description_path("x").read_bytes() == before


def test_a_flag_that_the_description_lacks_was_at_its_default(home: Path) -> None:
    begin(command("pong --name x").sweep)
    about = json.loads(description_path("x").read_text())
    del about["settings"][""]["exploration_zeta"]
    description_path("x").write_text(json.dumps(about))
    check(command("pong --name x").sweep)
    with pytest.raises(UserError, match=r"with --exploration_zeta 0\.0, not 2\.0"):
        check(command("pong --name x --exploration_zeta 2").sweep)


def large(**changed: Any) -> str:
    steps = dict(random_steps=1, train_steps=1, test_steps=1, epochs=1)
    about = {"sweep": 1, "games": ["g"], "seeds": [0], "settings": {"": steps | changed}}
    return json.dumps(about if changed else about | {"seeds": list(range(10_001))})


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"sweep": 1}',
        "x",
        '{"sweep": 9, "settings": {}}',
        large(epochs=10**15),
        large(),
    ],
)
def test_a_name_taken_by_something_else_is_refused(home: Path, text: str) -> None:
    description_path("x").parent.mkdir()
    description_path("x").write_text(text)
    with pytest.raises(UserError, match="does not describe a sweep"):
        begin(command("pong --seeds 2 --name x").sweep)
    assert description_path("x").read_text() == text


@pytest.mark.parametrize(
    "name", ["results/pong_x_seed2.csv", "snapshots/pong_x_seed1_4.pkl", "results/x.csv"]
)
def test_files_of_another_run_are_not_taken(home: Path, name: str) -> None:
    (home / name).parent.mkdir()
    (home / name).touch()
    with pytest.raises(UserError, match=name.rpartition("/")[2]):
        begin(command("pong --seeds 2 --name x").sweep)
    assert not description_path("x").exists()


@pytest.mark.parametrize("name", ["pong_x_seed2.log", "x.log"])
def test_a_log_that_is_a_link_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    started = Mock()
    monkeypatch.setattr(sweep, "subprocess", SimpleNamespace(Popen=started, DEVNULL=None))
    (home / "results").mkdir()
    (home / "mine").touch()
    (home / "results" / name).symlink_to(home / "mine")
    assert sweep.main("pong --seeds 2 --name x --detach".split()) == 2
    err = capsys.readouterr().err
    assert f"{name}: it is a symbolic link" in err
    assert err.count("\n") == 1
    assert not started.called
    assert not description_path("x").exists()


def test_status_knows_a_detached_sweep_at_once(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[list[str]] = []

    def popen(words: list[str], **_: object) -> SimpleNamespace:
        started.append(words)
        return SimpleNamespace(pid=1)

    monkeypatch.setattr(sweep, "subprocess", SimpleNamespace(Popen=popen, DEVNULL=None))
    line = ["pong", "--seeds", "1", "--name", "x"]
    assert sweep.main([*line, "--detach"]) == 0
    assert started[0][2:] == line
    assert sweep.main(["status", "x"]) == 0
    assert "pong_x_seed1" in capsys.readouterr().out


def test_a_run_whose_last_row_is_a_test_is_finished_without_its_snapshots(home: Path) -> None:
    (run,) = command("pong --seeds 1 --epochs 2 --name x").sweep.runs
    run.csv_file.parent.mkdir()
    run.csv_file.write_text("epoch,phase\n1,train\n1,test\n2,train\n2,test,1\n")
    assert is_finished(run)
    run.csv_file.write_text("epoch,phase\n1,train\n1,test\n2,train,1\n")
    assert not is_finished(run), "the last test is missing"


def test_a_run_without_tests_is_finished_with_its_last_row_and_snapshot(home: Path) -> None:
    (run,) = command("pong --seeds 1 --epochs 2 --test_steps 0 --name x").sweep.runs
    run.csv_file.parent.mkdir()
    (home / "snapshots").mkdir()
    assert not is_finished(run)
    run.csv_file.write_text("epoch,phase\n1,train\n2,train,1\n")
    (home / "snapshots" / "pong_x_seed1_1.pkl").touch()
    assert not is_finished(run), "the last snapshot is missing"
    (home / "snapshots" / "pong_x_seed1_2.pkl").touch()
    assert is_finished(run)
    with run.csv_file.open("a") as file:
        file.write("3,train,1\n")
    (home / "snapshots" / "pong_x_seed1_2.pkl").rename(home / "snapshots" / "pong_x_seed1_3.pkl")
    assert is_finished(run), "it was made longer"


def test_a_description_says_what_the_sweep_is(home: Path) -> None:
    begin(command("pong --seeds 1 --name x --epochs 4").sweep)
    about = json.loads(description_path("x").read_bytes())
    assert (about["games"], about["seeds"]) == (["pong"], [1])
    assert about["settings"][""]["epochs"] == 4
    assert about["versions"]["numpy"]
