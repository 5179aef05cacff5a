"""Files of earlier runs survive a command that fails, and none is lost without --overwrite."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import Agent
from commands.verbs import parse
from envs.roms import find_rom
from errors import UserError
from main import main
from runs.earlier import check_earlier
from snapshot.format import read_snapshot

TINY = """--screen_width 36 --screen_height 36 --batch_size 4 --replay_size 500 --random_starts 6
    --random_steps 40 --train_steps 20 --test_steps 10 --backend cpu --threads 1
    --random_seed 1 --network_width 0.1 --checkpoint_minutes 30"""


@pytest.fixture(autouse=True)
def _level() -> Iterator[None]:
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


def run(line: str, *, expect: int = 0) -> None:
    assert main(line.split()) == expect


def train(words: str, more: str = "--epochs 2", *, expect: int = 0) -> None:
    run(f"train {words} {TINY} {more}", expect=expect)


def files(home: Path) -> dict[str, bytes]:
    found = [path for path in home.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {str(path.relative_to(home)): path.read_bytes() for path in found}


@pytest.mark.parametrize(
    "more",
    [
        "--overwrite --load_weights other_1.pkl --network_width 0.2",
        "--overwrite --load_weights snapshots/pong_2.pkl",
        "--overwrite --tensorboard results/pong.csv",
        "--overwrite --video_file /proc/nowhere/film.mov",
        "--overwrite --csv_file results/pong.tsv",
        "--start_epoch 1",
    ],
)
def test_a_command_that_fails_leaves_the_earlier_run(home: Path, more: str) -> None:
    train("pong")
    shutil.copy(home / "snapshots" / "pong_1.pkl", home / "other_1.pkl")
    before = files(home)
    train("pong", f"--epochs 2 {more}", expect=2)
    assert files(home) == before


@pytest.mark.parametrize("name", ["checkpoints/pong/000009.npz", "snapshots/pong_7.pkl"])
def test_a_folder_in_place_of_a_file_is_refused_before_anything_is_removed(
    home: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    train("pong")
    (home / name).mkdir()
    before = files(home)
    train("pong", "--epochs 2 --overwrite", expect=2)
    assert files(home) == before
    assert f"{home / name} is a folder in place of a run's file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more",
    [
        "--csv_file results/pong_a.csv",
        "--save_weights_prefix snapshots/pong_a",
        "--csv_file my.csv",
    ],
)
@pytest.mark.parametrize("begin", ["pong b", "snapshots/pong_b_1.pkl"])
def test_a_resumed_run_does_not_write_into_another_unasked(
    home: Path, begin: str, more: str, capsys: pytest.CaptureFixture[str]
) -> None:
    train("pong a", "--epochs 3")
    train("pong b", "--epochs 1")
    if begin != "pong b":
        shutil.rmtree(home / "checkpoints" / "pong_b")
    (home / "my.csv").write_text("mine")
    before = files(home)
    run(f"resume {begin} --epochs 2 {more}", expect=2)
    assert files(home) == before
    assert "exists and is not of this run" in capsys.readouterr().err
    run(f"resume {begin} --epochs 2 --csv_file results/pong_b.csv")


def test_the_history_names_a_new_target(home: Path) -> None:
    train("pong", "--epochs 3")
    run("resume snapshots/pong_1.pkl --epochs 2 --target examples/my_target.py:mellowmax")
    (entry,) = json.loads((home / "results" / "pong.json").read_text())["resumed"]
    assert "target standard -> examples/my_target.py:mellowmax" in entry["changed"]


def test_a_snapshot_in_a_file_with_another_epochs_name_replaces_none(home: Path) -> None:
    train("pong", "--epochs 3")
    snapshots = home / "snapshots"
    shutil.copy(snapshots / "pong_2.pkl", snapshots / "mine_02.pkl")
    shutil.copy(snapshots / "pong_3.pkl", snapshots / "mine_3.pkl")
    third = (snapshots / "mine_3.pkl").read_bytes()
    run("resume snapshots/mine_02.pkl --epochs 3")
    assert (snapshots / "mine.before_epoch_3" / "mine_3.pkl").read_bytes() == third


def test_the_error_says_how_to_resume_the_earlier_run(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = f"--checkpoint_path {home / 'mine'}"
    train("pong a")
    train("pong b", f"--epochs 2 {place}")
    for more, way in (
        ("", "./resume.sh pong_a,"),
        ("--checkpoint_minutes 0", "./resume.sh pong_a,"),
        (f"--save_weights_prefix other {place}", f"./resume.sh pong_a {place},"),
        (place, f"./resume.sh {home / 'snapshots' / 'pong_a_2.pkl'},"),
    ):
        train("pong a", f"--epochs 2 {more}", expect=2)
        assert f"resume it with {way}" in capsys.readouterr().err
    shutil.rmtree(home / "checkpoints")
    train("pong a", expect=2)
    assert f"./resume.sh {home / 'snapshots' / 'pong_a_2.pkl'}," in capsys.readouterr().err


def test_a_run_that_another_process_has_continued_meanwhile_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("pong", "--epochs 1")
    task = parse("resume", ["pong", "--epochs", "3"])
    run("resume pong --epochs 2")
    before = files(home)
    with pytest.raises(UserError, match="has continued pong meanwhile: give the command again"):
        check_earlier(task)
    assert files(home) == before


def test_a_film_is_not_removed_by_a_command_that_fails(home: Path) -> None:
    train("pong", "--epochs 1")
    for name, more in (("notes.txt", ""), ("film.mov", "--network_width 0.5")):
        (home / name).write_text("mine")
        run(f"record snapshots/pong_1.pkl --video_file {name} --overwrite {more}", expect=2)
        assert (home / name).read_text() == "mine"


def test_what_came_after_a_resumed_snapshot_is_set_aside(home: Path) -> None:
    train("pong", "--epochs 4")
    before = files(home)
    run("resume snapshots/pong_1.pkl --epochs 3 --keep_snapshots 1")
    after = files(home)
    for epoch in (2, 3, 4):
        aside = after[f"snapshots/pong.before_epoch_2/pong_{epoch}.pkl"]
        assert aside == before[f"snapshots/pong_{epoch}.pkl"]
    assert "snapshots/pong_3.pkl" in after
    assert "snapshots/pong_4.pkl" not in after
    assert after["results/pong.csv.before_epoch_2"] == before["results/pong.csv"]
    assert "checkpoints/pong.before_epoch_2/000009.json" in after


def test_a_csv_that_cannot_be_continued_leaves_the_checkpoint(home: Path) -> None:
    train("pong")
    with (home / "results" / "pong.csv").open("a") as file:
        file.write("not a row\n")
    before = files(home)
    run("resume snapshots/pong_1.pkl --epochs 3", expect=2)
    assert files(home) == before


def test_a_snapshot_from_elsewhere_does_not_take_over_a_run(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("pong")
    (home / "downloads").mkdir()
    shutil.copy(home / "snapshots" / "pong_1.pkl", home / "downloads" / "pong_1.pkl")
    before = files(home)
    run("resume downloads/pong_1.pkl --epochs 3", expect=2)
    assert "A run pong already exists, and downloads/pong_1.pkl is not" in capsys.readouterr().err
    assert files(home) == before


def test_a_run_elsewhere_is_resumed_from_its_own_snapshots(home: Path) -> None:
    (home / "disk").mkdir()
    train("pong", "--epochs 2 --save_weights_prefix disk/pong")
    run("resume disk/pong_1.pkl --epochs 3")
    assert (home / "disk" / "pong_3.pkl").exists()


def test_a_snapshot_is_found_through_a_link_to_its_folder(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train("pong")
    (home / "link").symlink_to(home / "snapshots")
    run("resume link/pong_2.pkl --epochs 3")
    assert "Resuming pong at epoch 3, train, step 0" in caplog.text


@pytest.mark.parametrize("name", ["package.csv", "package.json"])
def test_a_description_does_not_replace_a_file_of_another_kind(home: Path, name: str) -> None:
    (home / "package.json").write_text('{"name": "mine"}')
    train("pong", f"--epochs 1 --csv_file {name}", expect=2)
    assert json.loads((home / "package.json").read_text()) == {"name": "mine"}


def test_files_that_are_no_checkpoints_stay(home: Path) -> None:
    (home / "data").mkdir()
    (home / "data" / "20240101.npz").write_text("mine")
    train("pong", "--epochs 1 --checkpoint_path data")
    assert (home / "data" / "20240101.npz").read_text() == "mine"
    (home / "data" / "999999.json").write_text("{}")
    run("resume pong --checkpoint_path data --epochs 2")
    run("resume pong --checkpoint_path data --epochs 3")
    assert not (home / "data" / "999999.json").exists()


def test_files_with_names_of_checkpoints_are_not_replaced_unasked(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "data").mkdir()
    (home / "data" / "000000.npz").write_text("mine")
    train("pong", "--epochs 1 --checkpoint_path data", expect=2)
    assert (home / "data" / "000000.npz").read_text() == "mine"
    assert "--overwrite" in capsys.readouterr().err
    train("pong", "--epochs 1 --checkpoint_path data --overwrite")


def test_a_csv_of_another_run_is_not_replaced_unasked(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("pong a", "--epochs 1 --train_steps 0 --test_steps 0 --csv_file shared.csv")
    before = (home / "shared.csv").read_bytes()
    train("pong b", "--epochs 1 --csv_file shared.csv", expect=2)
    assert (home / "shared.csv").read_bytes() == before
    assert "give another --csv_file" in capsys.readouterr().err


def test_a_description_of_any_form_beside_a_csv_is_refused(home: Path) -> None:
    (home / "results").mkdir()
    (home / "results" / "pong.csv").write_text("epoch,phase\n")
    about: dict[str, Any] = {"command": "train", "versions": {}, "flags": []}
    (home / "results" / "pong.json").write_text(json.dumps(about))
    train("pong", "--epochs 1", expect=2)


def test_a_rom_that_is_removed_during_a_run_is_not_needed_any_more(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rom = tmp_path / "pong.bin"
    shutil.copy(find_rom("pong"), rom)
    play = Agent.train

    def removed(self: Agent, steps: int, *, start: int = 0) -> None:
        play(self, steps, start=start)
        rom.unlink()

    monkeypatch.setattr(Agent, "train", removed)
    train(str(rom), "--epochs 1")
    assert read_snapshot(home / "snapshots" / "pong_1.pkl").info["rom_md5"]


def test_the_permission_to_overwrite_ends_with_the_command(home: Path) -> None:
    train("pong", "--epochs 1 --overwrite")
    (home / "mine.mov").write_text("mine")
    run("resume pong --epochs 2 --video_file mine.mov", expect=2)
    assert (home / "mine.mov").read_text() == "mine"
    assert "overwrite" not in json.loads((home / "results" / "pong.json").read_text())["flags"]


def test_a_preset_runs_no_code_unasked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "code.py").write_text("raise SystemExit('this must not run')")
    (home / "mine.toml").write_text(f'environment = "{home / "code.py"}:World"')
    train("world", "--epochs 1 --preset mine.toml", expect=2)
    assert "mine.toml names code in a file, which runs only if you agree" in capsys.readouterr().err
