"""What the verbs say and do with a snapshot, end to end."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from commands.verbs import parse
from config import Config, to_plain
from deepqnetwork import DeepQNetwork
from main import main
from watch import player, recorder
from watch.film import Film, make_film

SMALL: dict[str, Any] = dict(screen_width=36, screen_height=36)


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What is logged; `main` sets the level, which is set back."""
    level = logging.getLogger().level
    caplog.set_level(logging.INFO)
    yield caplog
    logging.getLogger().setLevel(level)


@pytest.fixture
def snapshot(home: Path) -> Path:
    """Of an agent that was trained for 3 epochs and 120 steps."""
    config = Config(game="pong", **SMALL)
    network = DeepQNetwork(config, num_actions=6, rng=np.random.default_rng(0))
    info = {"game": "pong", "flags": to_plain(config), "total_train_steps": 120}
    network.save_weights(home / "pong_3.pkl", epoch=3, info=info)
    return home / "pong_3.pkl"


def test_a_test_is_of_its_epoch_and_tells_nothing_that_was_not_measured(
    snapshot: Path, log: pytest.LogCaptureFixture
) -> None:
    assert main(["test", str(snapshot), "--test_steps", "30", "--csv_file", "test.csv"]) == 0
    assert "Epoch 3: test, 30 steps" in log.messages
    assert log.messages[-1].startswith("  no game ended, score so far 0, ")
    assert "mean Q" not in log.text
    assert "loss" not in log.text
    with Path("test.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["epoch"], row["phase"], row["total_train_steps"]) == ("3", "test", "120")


def test_a_score_can_be_repeated_with_the_seed_that_was_shown(
    snapshot: Path, log: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["test", str(snapshot), "--test_games", "2", "--max_episode_frames", "600"]
    assert main(words) == 0
    (seed,) = (line.split()[-1] for line in log.messages if line.startswith("Random seed: "))
    first = capsys.readouterr().out
    assert main([*words, "--random_seed", seed]) == 0
    assert capsys.readouterr().out == first


def test_training_counts_episodes_and_testing_games(
    home: Path, log: pytest.LogCaptureFixture
) -> None:
    """A lost life ends an episode, not a game."""
    line = """train breakout --screen_width 36 --screen_height 36 --replay_size 500
        --random_steps 150 --train_steps 150 --test_steps 150 --epochs 1 --max_episode_frames 200
        --batch_size 4 --random_starts 6 --backend cpu --threads 1 --random_seed 1"""
    assert main(line.split()) == 0
    random, train, test = (line for line in log.messages if "average score" in line)
    assert " episodes, average score " in random
    assert "mean Q" in random
    assert "loss" not in random
    assert " episodes, average score " in train
    assert ", loss 0." in train
    assert " games, average score " in test
    assert "loss" not in test


def test_a_snapshot_without_optimizer_states_says_so(
    snapshot: Path, log: pytest.LogCaptureFixture
) -> None:
    line = f"resume {snapshot} --epochs 4 --random_steps 40 --train_steps 40 --test_steps 0"
    assert main([*line.split(), "--replay_size", "500", "--backend", "cpu"]) == 0
    assert f"{snapshot} contains weights only" in log.text


@pytest.mark.parametrize("flags", ["", "--network impala --screen_width 52 --screen_height 52"])
def test_a_snapshot_with_them_does_not(
    flags: str, home: Path, log: pytest.LogCaptureFixture
) -> None:
    small = f"{flags} --random_steps 60 --train_steps 12 --test_steps 0 --replay_size 500"
    small += " --backend cpu --threads 1 --random_seed 1 --batch_size 4 --checkpoint_minutes 0"
    assert main(["train", "pong", "first", *small.split(), "--epochs", "1"]) == 0
    assert main(["resume", "snapshots/pong_first_1.pkl", "--epochs", "2"]) == 0
    assert "Loaded" in log.text
    assert "weights only" not in log.text


def test_a_network_that_misses_some_of_the_screen_says_so(
    home: Path, log: pytest.LogCaptureFixture
) -> None:
    line = "train pong --screen_width 40 --screen_height 36 --random_steps 0 --epochs 1"
    line += " --train_steps 4 --test_steps 0"
    assert main([*line.split(), "--backend", "cpu", "--replay_size", "500"]) == 0
    assert "36 of 40 pixels of --screen_width" in log.text


def test_a_game_is_filmed_once(
    snapshot: Path, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    made: list[Path] = []
    line = "record --max_episode_frames 80 --random_seed 1"

    def counted(path: Path, **settings: Any) -> Film:
        made.append(path)
        return make_film(path, **settings)

    monkeypatch.setattr(recorder, "make_film", counted)
    film = snapshot.parent / "videos" / "pong_3.mov"
    for n in range(2):
        assert main([*line.split(), str(snapshot)]) == 0
        assert made[n:] == [film if n == 0 else film.with_name("pong_3.2.mov")]
    with av.open(str(film)) as video:
        assert len(list(video.decode(video=0))) == 80
    assert [path.suffix for path in film.parent.iterdir()] == [".mov", ".mov"]  # and no frames


def test_a_game_is_shown_once(snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(player, "open_display", lambda *words, **settings: opened.append(words))
    assert main(["play", str(snapshot), "--max_episode_frames", "80"]) == 0
    assert opened == [("window", "pong")]


@pytest.mark.parametrize("verb", ["test", "play", "record", "nvis"])
def test_an_agent_plays_as_its_preset_tests(snapshot: Path, verb: str) -> None:
    """Its own exploration, which may be none."""
    config = Config(game="pong", exploration_rate_test=0.0, **SMALL)
    network = DeepQNetwork(config, num_actions=6, rng=np.random.default_rng(0))
    network.save_weights(snapshot, epoch=3, info={"game": "pong", "flags": to_plain(config)})
    assert parse(verb, [str(snapshot)]).config.exploration_rate_test == 0
    given = [str(snapshot), "--exploration_rate_test", "0.05"]
    assert parse(verb, given).config.exploration_rate_test == 0.05
    with_preset = [str(snapshot), "--preset", "nature"]
    assert parse(verb, with_preset).config.exploration_rate_test == 0.05


def test_the_newest_snapshots_and_the_best_are_kept(home: Path) -> None:
    line = """train pong --screen_width 36 --screen_height 36 --replay_size 500 --batch_size 4
        --random_steps 40 --train_steps 20 --test_steps 20 --epochs 4 --random_starts 6
        --backend cpu --threads 1 --random_seed 1 --keep_snapshots 1 --max_episode_frames 60"""
    assert main(line.split()) == 0
    kept = {path.name for path in (home / "snapshots").iterdir()}
    assert kept == {"pong_1.pkl", "pong_4.pkl"}  # all scored alike: the first was the best
