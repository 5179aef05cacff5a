"""Flags: their defaults, the values that they accept, and their help."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from commands.catalog import VERBS
from commands.flags import Parser, help_parser
from commands.presets import resolve
from config import FIELDS, Config, parse_value, to_plain
from errors import UserError

# Names and defaults of the ancestor's flags.
ANCESTOR = dict(
    environment="ale",
    display_screen=False,
    frame_skip=4,
    repeat_action_probability=0.0,
    minimal_action_set=True,
    color_averaging=True,
    screen_width=84,
    screen_height=84,
    record_screen_path=None,
    record_sound_filename=None,
    replay_size=1_000_000,
    history_length=4,
    learning_rate=0.00025,
    discount_rate=0.99,
    batch_size=32,
    optimizer="rmsprop",
    decay_rate=0.95,
    clip_error=1.0,
    min_reward=-1.0,
    max_reward=1.0,
    batch_norm=False,
    device_id=0,
    datatype="float32",
    stochastic_round=False,
    exploration_rate_start=1.0,
    exploration_rate_end=0.1,
    exploration_decay_steps=1_000_000.0,
    exploration_rate_test=0.05,
    train_frequency=4,
    train_repeat=1,
    target_steps=10_000,
    random_starts=30,
    visualization_filters=4,
    visualization_file=None,
    random_steps=50_000,
    train_steps=250_000,
    test_steps=125_000,
    epochs=200,
    start_epoch=0,
    play_games=0,
    load_weights=None,
    save_weights_prefix=None,
    csv_file=None,
    random_seed=None,
    log_level="INFO",
)


def parse(line: str) -> tuple[list[str], dict[str, Any]]:
    return Parser(VERBS["train"]).parse(line.split(" "))


def test_defaults_are_the_ancestors() -> None:
    values = dataclasses.asdict(Config())
    assert {name: values[name] for name in ANCESTOR} == ANCESTOR
    assert values["backend"] == "auto"


def test_values_survive_json() -> None:
    config = Config(csv_file=Path("a/b.csv"), random_seed=3, game="pong")
    plain = json.loads(json.dumps(to_plain(config)))
    assert plain["csv_file"] == "a/b.csv"
    assert resolve(plain, {}) == config


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("epochs", "3", 3),
        ("replay_size", "1e6", 1_000_000),
        ("learning_rate", "1e-4", 1e-4),
        ("clip_error", "1", 1.0),
        ("random_seed", "0", 0),
        ("csv_file", "a b/c.csv", Path("a b/c.csv")),
        ("optimizer", "adam", "adam"),
        *(("batch_norm", text, True) for text in ("true", "True", "yes", "1")),
        *(("batch_norm", text, False) for text in ("false", "FALSE", "no", "0")),
    ],
)
def test_values_are_read_from_text(name: str, text: str, value: Any) -> None:
    parsed = parse_value(name, text)
    assert parsed == value
    assert type(parsed) is type(value)


def test_flags_may_stand_anywhere_and_with_an_equals_sign() -> None:
    words, given = parse("--epochs=3 pong --batch_norm --random_seed 5")
    assert (words, given) == (["pong"], {"epochs": 3, "batch_norm": True, "random_seed": 5})
    words, given = parse("pong label --batch_norm false --learning_rate 1e-3")
    assert (words, given) == (["pong", "label"], {"batch_norm": False, "learning_rate": 1e-3})
    assert parse("pong --min_reward -0.5")[1] == {"min_reward": -0.5}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--test_game 3", "no flag --test_game. Did you mean --test_games"),
        ("--epoch=3", "no flag --epoch. Did you mean --epochs"),
        ("--learning-rate 1", "Did you mean --learning_rate"),
        ("--qqq", "no flag --qqq. See --help"),
        ("--game pong", "no flag --game."),
        ("-x", "no flag --x"),
        ("--epochs", "expected one argument"),
        ("--epochs three", "--epochs takes a whole number, not 'three'"),
        ("--epochs 1.5", "--epochs takes a whole number, not '1.5'"),
        ("--epochs 1.5e0", "--epochs takes a whole number"),
        ("--epochs 1e999", "--epochs must be at most 1e+06, not a number of 3319 bits"),
        ("--epochs 1_000", "--epochs takes a whole number, not '1_000'"),
        ("--epochs ٣", "--epochs takes a whole number, not '٣'"),
        ("--learning_rate ²", "--learning_rate takes a number"),
        ("--batch_size 1e9", "--batch_size must be at most 16384"),
        ("--threads 2147483648", "--threads must be at most 1024"),
        ("--max_episode_frames 2147483648", "--max_episode_frames must be at most 1e+09"),
        ("--clip_error 1e99", "--clip_error must be at most 1e+09"),
        ("--random_starts 9223372036854775808", "--random_starts must be at most 10000"),
        ("--play_games 1e99", "--play_games must be at most 1e+06"),
        ("--csv_file a\x00b", "--csv_file has characters that cannot be shown: 'a\\x00b'"),
        (f"--csv_file {'a' * 60_000}", "--csv_file takes at most 4000 characters, not 60000"),
        (f"--csv_file {'a' * 300}", "--csv_file has a name of more than 200 bytes"),
        ("--csv_file /", "--csv_file takes a path that ends in a name, not '/'"),
        ("--checkpoint_path ..", "--checkpoint_path takes a path that ends in a name"),
        ("--epochs -1", "--epochs must be at least 0, not -1"),
        ("--learning_rate much", "--learning_rate takes a number, not 'much'"),
        ("--learning_rate nan", "--learning_rate takes a number, not 'nan'"),
        ("--learning_rate inf", "--learning_rate takes a number, not 'inf'"),
        ("--learning_rate 1e999", "--learning_rate must be a finite number"),
        ("--learning_rate -1", "--learning_rate must be at least 0"),
        ("--batch_norm maybe", "--batch_norm takes true or false, not 'maybe'"),
        ("--optimizer sgd", "--optimizer is one of rmsprop, adam, adam_corrected, adadelta"),
        ("--datatype float8", "--datatype is one of float16"),
        ("--log_level LOUD", "--log_level is one of"),
        ("--discount_rate 1.01", "--discount_rate must be at most 1"),
        ("--exploration_rate_test -0.1", "--exploration_rate_test must be at least 0"),
        ("--random_seed -1", "--random_seed must be at least 0"),
        *(
            (f"--{name} 0", f"--{name} must be at least 1, not 0")
            for name in (
                *("frame_skip", "screen_width", "screen_height", "replay_size", "history_length"),
                *("batch_size", "train_frequency", "exploration_decay_steps"),
            )
        ),
    ],
)
def test_mistyped_flags_get_a_sentence(line: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        parse(f"pong {line}")
    assert sentence in str(error.value)


def test_help_explains_every_flag_with_its_default() -> None:
    parser = help_parser(VERBS["test"], everything=True)
    text = " ".join(parser.format_help().split())
    for name in FIELDS.keys() - {"game"}:
        assert f"--{name} " in text
    assert "which is the number of epochs of a new run [1]" in text
    assert "discount" in text
    assert "[0.99]" in text


def test_every_flag_says_what_it_means() -> None:
    for name, field in FIELDS.items():
        assert field.metadata["help"], name
        if field.metadata["choices"]:
            assert field.default in field.metadata["choices"], name
