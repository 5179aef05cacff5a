"""Presets, and which of several values of a flag is taken."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from commands.catalog import FROM_SNAPSHOT
from commands.presets import PRESETS, read_preset, resolve, trained_with
from config import ROOT, Config, to_plain
from errors import UserError

# What the other published agents have instead.
DIFFERENCES: dict[str, dict[str, Any]] = {
    "simple_dqn": {},
    "simple_dqn_2015": dict(
        init="gaussian",
        target_steps=40_000,  # 10,000 weight updates
        target_clock="run",
        life_loss_terminal=False,
        remember_all=True,
    ),
    "nature": dict(
        color_averaging=False,
        frame_maximum=True,
        resize="area",
        life_loss_ends_step=True,
        zero_history=True,
        optimizer="centered_rmsprop",
        sum_gradient=True,
        bias=True,
        padding=1,
        init="torch",
        random_ties=True,
        target_clock="run",
    ),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_presets_are_the_published_agents(name: str) -> None:
    config = resolve({"preset": name}, {})
    different = {k: v for k, v in vars(config).items() if v != getattr(Config(), k)}
    different.pop("preset", None)
    assert different == DIFFERENCES[name]
    assert config.preset == name


@pytest.mark.parametrize("path", sorted(PRESETS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_preset_can_be_taken_by_name_or_as_a_file(path: Path) -> None:
    by_name = resolve({"preset": path.stem}, {})
    by_file = resolve({"preset": str(path)}, {})
    assert dataclasses.replace(by_file, preset=path.stem) == by_name


def test_the_command_line_wins_over_all() -> None:
    given = {"preset": "nature", "padding": 2, "epochs": 3}
    config = resolve(given, {"epochs": 1}, {"padding": 3})
    assert (config.padding, config.epochs, config.bias) == (2, 3, True)


def test_the_verb_wins_over_snapshot_and_preset() -> None:
    defaults = {"train_steps": 0, "epochs": 1}
    for given in ({}, {"preset": "nature"}):
        config = resolve(given, defaults, {"screen_width": 44, "epochs": 7})
        assert (config.train_steps, config.epochs) == (0, 1)


def test_a_preset_given_wins_over_the_snapshot_and_that_over_the_default_one() -> None:
    trained = {"frame_skip": 2, "padding": 3, "screen_width": 44}
    config = resolve({}, {}, trained)
    assert (config.frame_skip, config.padding, config.screen_width) == (2, 3, 44)
    config = resolve({"preset": "nature"}, {}, trained)
    assert (config.frame_skip, config.padding, config.screen_width) == (4, 1, 44)


def test_of_a_snapshots_flags_those_its_network_needs_are_taken() -> None:
    flags = to_plain(Config(epochs=7, screen_width=44, history_length=2, game="pong"))
    trained = trained_with(flags)
    assert trained.keys() == set(FROM_SNAPSHOT.split())
    assert (trained["screen_width"], trained["history_length"]) == (44, 2)
    assert trained_with({"frame_skip": 2, "unknown": 1}) == {"frame_skip": 2}
    with pytest.raises(UserError, match="screen_width"):
        trained_with({"screen_width": "wide"})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"epochs = ", "is not a TOML file"),
        (b"\xff\xfe", "is not a TOML file"),
        (b"epoch = 3", "no flag --epoch. Did you mean --epochs"),
        (b'epochs = "3"', "epochs takes a whole number, not '3'"),
        (b"epochs = true", "epochs takes a whole number, not True"),
        (b"batch_norm = 1", "batch_norm takes true or false, not 1"),
        (b"epochs = 1.5", "epochs takes a whole number"),
        (b"batch_size = 0", "--batch_size must be at least 1"),
        (b"learning_rate = nan", "--learning_rate must be a finite number"),
        (b'optimizer = "sgd"', "--optimizer is one of"),
        (b'game = "pong"', "game is for the command line only"),
        (b'preset = "nature"', "preset is for the command line only"),
        (b'csv_file = "notes.txt"', "csv_file is for the command line only"),
        (b"overwrite = true", "overwrite is for the command line only"),
        (b"[agent]\nepochs = 3", "no flag --agent"),
        (b"a" + b".a" * 40_000 + b" = 1", "cannot be read: it is too large"),
    ],
)
def test_a_broken_preset_gets_a_sentence(content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_preset(str(path))
    assert str(path) in str(error.value)
    assert sentence in str(error.value)


def test_a_preset_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("learning_rate = 1 # a whole number where any will do\nepochs = 3\n")
    config = resolve({"preset": str(path)}, {})
    assert (config.learning_rate, config.epochs, config.preset) == (1.0, 3, str(path))


@pytest.mark.parametrize(
    ("name", "run", "stopped"),
    [
        ("fast_seaquest", "docs/experiments/seaquest_bytes_seed1", {"epochs"}),  # after 12 of 20
        (  # extended afterwards
            "fast_space_invaders",
            "agents/space_invaders_far_seed1",
            {"epochs", "keep_snapshots"},
        ),
    ],
)
def test_the_preset_of_a_game_is_what_the_run_of_its_scores_was_trained_with(
    name: str, run: str, stopped: set[str]
) -> None:
    flags = json.loads((ROOT / f"{run}.json").read_text())["flags"]
    ours = to_plain(resolve(read_preset(name), {}))
    unlike = {flag for flag, value in flags.items() if ours[flag] != value}
    of_the_run = "game preset random_seed csv_file save_weights_prefix checkpoint_path".split()
    assert unlike == {*of_the_run, "threads", "update_parts", *stopped}


@pytest.mark.parametrize("name", ["natur", "", "/", "presets"])
def test_an_unknown_preset_names_those_there_are(name: str) -> None:
    with pytest.raises(
        UserError, match=r"There is no preset .*nature, .*simple_dqn, simple_dqn_2015"
    ):
        read_preset(name)
