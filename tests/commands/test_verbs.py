"""What each script makes of its command line."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands.catalog import VERBS
from commands.verbs import Task, parse
from config import ROOT, Config, to_plain
from deepqnetwork import DeepQNetwork
from envs.roms import find_rom
from errors import UserError

NEON_SNAPSHOT = ROOT / "tests" / "golden" / "rmsprop_end.pkl"


def command(verb: str, line: str) -> Task:
    return parse(verb, line.split())


def save_snapshot(path: Path, epoch: int = 3, **info: Any) -> None:
    """Of an agent that plays Pong on screens of 36x36 pixels."""
    config = Config(
        game="roms/pong.rom", screen_width=36, screen_height=36, epochs=9, learning_rate=0.5
    )
    network = DeepQNetwork(config, num_actions=6, rng=np.random.default_rng(0))
    path.parent.mkdir(exist_ok=True)
    flags = to_plain(config)
    network.save_weights(path, epoch=epoch, info={"game": "pong", "flags": flags} | info)


@pytest.mark.parametrize("game", ["breakout", "Breakout", "roms/breakout.bin"])
def test_train_writes_files_of_the_games_name(home: Path, game: str) -> None:
    task = command("train", f"{game} --epochs 7")
    assert (task.name, task.game, task.config.game) == ("breakout", "breakout", game)
    assert task.rom == find_rom("breakout")
    assert task.config.csv_file == home / "results" / "breakout.csv"
    assert task.config.save_weights_prefix == home / "snapshots" / "breakout"
    assert task.config.checkpoint_path == home / "checkpoints" / "breakout"
    assert (task.config.epochs, task.config.train_steps) == (7, 250_000)


def test_a_label_tells_runs_apart(home: Path) -> None:
    task = command("train", "breakout lr-0.1 --csv_file here.csv --checkpoint_path there")
    assert (task.name, task.game) == ("breakout_lr-0.1", "breakout")
    assert task.config.csv_file == Path("here.csv")
    assert task.config.checkpoint_path == Path("there")
    assert task.config.save_weights_prefix == home / "snapshots" / "breakout_lr-0.1"


@pytest.mark.parametrize("label", ["a/b", "a:b", "'"])
def test_a_label_that_is_no_file_name_is_refused(label: str) -> None:
    with pytest.raises(UserError, match="becomes part of file names"):
        command("train", f"pong {label}")


@pytest.mark.parametrize("verb", VERBS)
def test_too_many_words_get_the_usage(verb: str) -> None:
    with pytest.raises(UserError) as error:
        command(verb, "one two three")
    assert VERBS[verb].usage in str(error.value)


@pytest.mark.parametrize("verb", ["train", "resume", "run"])
def test_no_word_gets_the_usage(verb: str) -> None:
    with pytest.raises(UserError) as error:
        command(verb, "--epochs 3")
    assert VERBS[verb].usage in str(error.value)


def test_profiles_do_what_they_are_for() -> None:
    tasks = {verb: command(verb, "") for verb in VERBS if verb.startswith("profile")}
    assert {task.game for task in tasks.values()} == {"pong"}
    steps = {
        verb: [getattr(task.config, name) for name in ("random_steps", "train_steps", "test_steps")]
        for verb, task in tasks.items()
    }
    assert steps == {
        "profile_random": [10_000, 0, 0],
        "profile_test": [0, 0, 5_000],
        "profile_train": [500, 1_000, 0],
    }
    assert tasks["profile_test"].config.exploration_rate_test == 0
    assert tasks["profile_train"].config.train_frequency == 1
    assert command("profile_test", "breakout --test_steps 7").config.test_steps == 7


def test_a_snapshot_is_tested_as_it_was_trained(home: Path) -> None:
    save_snapshot(home / "pong_3.pkl")
    config = command("test", "pong_3.pkl").config
    assert (config.screen_width, config.screen_height) == (36, 36)
    assert (config.random_steps, config.train_steps, config.epochs) == (0, 0, 1)
    assert config.learning_rate == 0.00025  # that of training is of no matter
    assert (config.load_weights, config.csv_file) == (Path("pong_3.pkl"), None)
    assert config.save_weights_prefix is None
    assert config.checkpoint_path is None
    assert command("test", "pong_3.pkl --frame_skip 2 --test_games 5").config.frame_skip == 2


def test_play_plays_a_game_of_a_snapshot_or_a_game_alone(home: Path) -> None:
    save_snapshot(home / "pong_3.pkl")
    task = command("play", "pong_3.pkl")
    assert (task.game, task.config.play_games, task.config.display_screen) == ("pong", 1, True)
    task = command("play", "breakout --alone")
    assert (task.game, task.config.load_weights) == ("breakout", None)
    assert task.config.csv_file is None


@pytest.mark.parametrize("verb", ["resume", "profile_train"])
def test_whole_games_are_for_tests(home: Path, verb: str) -> None:
    save_snapshot(home / "pong_3.pkl")
    subject = "pong_3.pkl" if verb == "resume" else "pong"
    with pytest.raises(UserError, match=r"--test_games is for \./test\.sh"):
        command(verb, f"{subject} --test_games 5 --epochs 300")
    assert command("profile_test", "pong --test_games 5").config.test_games == 5


def test_a_flag_that_is_not_valid_any_more_can_be_replaced(home: Path) -> None:
    config = Config(game="roms/pong.rom", screen_width=36, screen_height=36, adam_epsilon=0.0)
    save_snapshot(home / "pong_3.pkl", flags=to_plain(config))
    with pytest.raises(UserError, match="--adam_epsilon must be at least"):
        command("resume", "pong_3.pkl --epochs 9")
    assert command("resume", "pong_3.pkl --epochs 9 --adam_epsilon 1e-8").config.epochs == 9


def test_a_second_snapshot_does_not_replace_the_one_that_is_named(home: Path) -> None:
    save_snapshot(home / "pong_3.pkl")
    for verb in ("test", "play", "record", "nvis", "resume"):
        with pytest.raises(UserError, match=r"--load_weights would replace pong_3\.pkl"):
            command(verb, "pong_3.pkl --load_weights other_1.pkl")


@pytest.mark.parametrize("verb", ["test", "play", "record", "nvis", "resume"])
@pytest.mark.parametrize("name", ["space_invaders_200", "space_invaders_my_run_200"])
def test_an_old_snapshots_game_is_in_its_name(home: Path, verb: str, name: str) -> None:
    shutil.copy(NEON_SNAPSHOT, home / f"{name}.pkl")
    task = command(verb, f"{name}.pkl --epochs 300")
    assert task.game == "space_invaders"
    assert task.snapshot
    assert task.snapshot.epoch == 200


def test_the_game_a_snapshot_tells_wins_over_its_name(home: Path) -> None:
    save_snapshot(home / "breakout_3.pkl")
    assert command("test", "breakout_3.pkl").game == "pong"


def test_the_users_own_rom_comes_first(home: Path) -> None:
    save_snapshot(home / "pong_3.pkl")
    assert command("test", "pong_3.pkl").rom == find_rom("pong")
    (home / "roms").mkdir()
    shutil.copy(find_rom("pong"), home / "roms" / "pong.rom")
    assert command("test", "pong_3.pkl").rom == home / "roms" / "pong.rom"


def test_a_snapshot_without_a_game_is_refused(home: Path) -> None:
    shutil.copy(NEON_SNAPSHOT, home / "weights.pkl")
    with pytest.raises(UserError, match=r"name the snapshot <game>_<epoch>\.pkl"):
        command("test", "weights.pkl")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("none.pkl", "There is no snapshot"), ("seaquest", "No agent of seaquest comes with")],
)
def test_a_snapshot_that_is_not_there_is_refused(home: Path, name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        command("test", name)


def test_a_snapshot_resumes_its_run(home: Path) -> None:
    save_snapshot(home / "elsewhere" / "pong_my_3.pkl")
    task = command("resume", "elsewhere/pong_my_3.pkl --train_steps 5")
    config = task.config
    assert (task.name, task.game, task.checkpoint) == ("pong_my", "pong", None)
    assert (config.start_epoch, config.epochs) == (3, 9)
    assert (config.learning_rate, config.train_steps) == (0.5, 5)
    assert config.save_weights_prefix == Path("elsewhere/pong_my")
    assert config.csv_file == home / "results" / "pong_my.csv"
    assert config.checkpoint_path == home / "checkpoints" / "pong_my"


def test_a_finished_run_wants_more_epochs(home: Path) -> None:
    save_snapshot(home / "pong_9.pkl", epoch=9)
    with pytest.raises(UserError, match=r"is of epoch 9 .* more --epochs"):
        command("resume", "pong_9.pkl")
    assert command("resume", "pong_9.pkl --epochs 10").config.start_epoch == 9


def test_a_resumed_run_keeps_its_preset(home: Path) -> None:
    save_snapshot(home / "pong_3.pkl", game="pong")
    with pytest.raises(UserError, match="keeps its preset"):
        command("resume", f"{home}/pong_3.pkl --preset nature")


def test_a_film_has_no_frames_beside_it_unless_asked_for(home: Path) -> None:
    save_snapshot(home / "pong_3.pkl", game="pong")
    config = command("record", f"{home}/pong_3.pkl").config
    assert (config.record_screen_path, config.video_file) == (None, home / "videos/pong_3.mov")
    own = f"{home}/pong_3.pkl --record_screen_path {home}/own"
    assert command("record", own).config.record_screen_path == home / "own"


def test_flags_of_other_versions_are_left_out(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    save_snapshot(home / "pong_3.pkl", flags={"learning_rate": 0.5, "warp": 9})
    assert command("resume", "pong_3.pkl").config.learning_rate == 0.5
    assert caplog.messages == ["pong_3.pkl was trained with --warp, which is ignored."]
    for flags in (None, [1], "text"):
        save_snapshot(home / "pong_3.pkl", flags=flags)
        assert command("resume", "pong_3.pkl").config.screen_width == 84


def test_weights_to_begin_with_bring_their_flags(home: Path) -> None:
    save_snapshot(home / "pong_3.pkl")
    task = command("run", "pong --load_weights pong_3.pkl --train_steps 0")
    assert (task.config.screen_width, task.config.train_steps) == (36, 0)
    assert task.config.csv_file is None
