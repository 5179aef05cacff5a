"""Flags: their defaults, what they refuse, presets, and who wins."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from commands.catalog import VERBS
from commands.flags import Parser, help_parser
from config import (
    FIELDS,
    FROM_SNAPSHOT,
    PRESETS,
    Config,
    parse_value,
    read_preset,
    resolve,
    to_plain,
    trained_with,
)
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


def parse(line: str) -> tuple[list[str], dict[str, Any]]:
    return Parser(VERBS["train"]).parse(line.split(" "))


def test_defaults_are_the_ancestors() -> None:
    values = dataclasses.asdict(Config())
    assert {name: values[name] for name in ANCESTOR} == ANCESTOR
    assert values["backend"] == "auto"


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
    given = parse("pong --preset nature --padding 2 --epochs 3")[1]
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
    assert trained.keys() == set(FROM_SNAPSHOT)
    assert (trained["screen_width"], trained["history_length"]) == (44, 2)
    assert trained_with(None) == trained_with(["screen_width"]) == {}
    assert trained_with({"frame_skip": 2, "unknown": 1}) == {"frame_skip": 2}
    with pytest.raises(UserError, match="screen_width"):
        trained_with({"screen_width": "wide"})


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


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (dict(history_length=100, replay_size=100, random_starts=100), "does not fit"),
        (dict(random_starts=3), "--random_starts 3 is too small"),
        (dict(min_reward=2.0), "--min_reward is above --max_reward"),
        (dict(exploration_rate_start=0.05), "--exploration_rate_end is above"),
        (dict(frame_maximum=True), "--frame_maximum true needs --color_averaging false"),
        (dict(stochastic_round=True), "--stochastic_round works with Neon only"),
        (dict(remember_all=True, zero_history=True), "--remember_all true remembers no-op"),
        (dict(overlap=True, target_steps=0), "--overlap needs"),
        (dict(num_envs=3, replay_size=14), "With --num_envs 3 each game has 4 of"),
        (dict(num_envs=8, test_steps=7), "--num_envs 8 makes 8 steps at a time"),
    ],
    ids=str,
)
def test_flags_that_do_not_go_together_are_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as error:
        resolve(given, {})
    assert sentence in str(error.value)


def test_stochastic_rounding_is_neons() -> None:
    assert resolve(dict(stochastic_round=True, engine="neon"), {}).stochastic_round


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"epochs = ", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"epoch = 3", "no flag --epoch. Did you mean --epochs"),
        (b'epochs = "3"', "epochs takes a value of type int, not '3'"),
        (b"epochs = true", "epochs takes a value of type int, not True"),
        (b"batch_norm = 1", "batch_norm takes a value of type bool, not 1"),
        (b"epochs = 1.5", "epochs takes a value of type int"),
        (b"batch_size = 0", "--batch_size must be at least 1"),
        (b"learning_rate = nan", "--learning_rate must be a finite number"),
        (b'optimizer = "sgd"', "--optimizer is one of"),
        (b'game = "pong"', "cannot contain game"),
        (b'preset = "nature"', "cannot contain preset"),
        (b"[agent]\nepochs = 3", "no flag --agent"),
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


@pytest.mark.parametrize("name", ["natur", "", "/", "presets"])
def test_an_unknown_preset_names_those_there_are(name: str) -> None:
    with pytest.raises(
        UserError, match=r"There is no preset .*nature, .*simple_dqn, simple_dqn_2015"
    ):
        read_preset(name)


def test_help_explains_every_flag_with_its_default() -> None:
    parser = help_parser(VERBS["test"], everything=True)
    text = " ".join(parser.format_help().split())
    for name in FIELDS.keys() - {"game"}:
        assert f"--{name} " in text
    assert "the last epoch of the run [1]" in text
    assert "discount" in text
    assert "[0.99]" in text


def test_every_flag_says_what_it_means() -> None:
    for name, field in FIELDS.items():
        assert field.metadata["help"], name
        if field.metadata["choices"]:
            assert field.default in field.metadata["choices"], name
