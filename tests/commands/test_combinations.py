"""Flags that do not go together, and those of them that may seem so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from commands.combinations import warn_without_effect
from commands.presets import resolve
from commands.verbs import parse
from errors import UserError
from runs.preflight import check_files


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (dict(history_length=100, replay_size=100, random_starts=100), "at least 202 steps"),
        (dict(random_starts=3), "--random_starts 3 is too small"),
        (dict(min_reward=2.0), "--min_reward is above --max_reward"),
        (dict(exploration_rate_start=0.05), "--exploration_rate_end is above"),
        (dict(exploration_spread=7.0), "needs several games"),
        (dict(exploration_spread=7.0, num_envs=4, noisy=True), "needs several games"),
        (dict(exploration_zeta=1.0), "use an exponent from 1.01 on"),
        (dict(exploration_zeta=2.0, noisy=True), "of which --noisy true has none"),
        (dict(frame_maximum=True), "--frame_maximum true needs --color_averaging false"),
        (dict(stochastic_round=True), "--stochastic_round works with Neon only"),
        (dict(remember_all=True, zero_history=True), "--remember_all true remembers no-op"),
        (dict(overlap=True, target_steps=0), "--overlap needs"),
        (dict(num_envs=3, replay_size=14), "at least 30 steps, 10 for each"),
        (dict(learning_rate_end=0.1), "no effect without --learning_rate_decay_updates"),
        (dict(optimizer="adadelta", learning_rate_decay_updates=9), "no learning rate"),
        (dict(batch_norm=True, datatype="float16"), "use bfloat16 or float32"),
        (dict(num_envs=8, test_steps=7), "--num_envs 8 makes 8 steps at a time"),
        *(
            (dict(num_envs=2, **{flag: value}), "Only one game can be watched or recorded")
            for flag, value in {
                **dict(play_games=1, display_screen=True, video_file=Path("a.mov")),
                **dict(record_screen_path=Path("a"), record_sound_filename=Path("a.wav")),
                **dict(visualization_file=Path("a.html")),
            }.items()
        ),
    ],
    ids=str,
)
def test_flags_that_do_not_go_together_are_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as error:
        resolve(given, {})
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("--importance_steps 9", "--prioritized true"),
        ("--atoms 9", "--distribution"),
        ("--value_max 9 --distribution quantile", "--distribution c51"),
        ("--clip_error 2 --loss mse", "--loss clipped"),
        ("--adam_epsilon 1e-4", "--optimizer adam"),
        ("--decay_rate 0.9 --optimizer adam", "--optimizer rmsprop"),
        ("--overlay mind", "--video_file"),
        ("--learning_rate 0.1 --optimizer adadelta", "another --optimizer"),
        ("--exploration_rate_end 0.01 --noisy true", "--noisy false"),
        ("--device_id 3 --backend cpu", "--backend gpu or auto"),
        ("--volume 1", "--display_screen true"),
        ("--visualization_file x.html", "./nvis.sh"),
    ],
)
def test_flags_without_effect_are_named(
    caplog: pytest.LogCaptureFixture, line: str, needed: str
) -> None:
    task = parse("train", ["pong", "mine", *line.split()])
    warn_without_effect(task.given, task.config, learns=task.learns)
    (warning,) = caplog.messages
    assert warning.startswith(f"{line.split()[0]} has no effect: it needs {needed}")


def test_flags_with_an_effect_are_not(caplog: pytest.LogCaptureFixture) -> None:
    for line in (
        "pong --prioritized true --importance_steps 9 --clip_error 2",
        "pong --distribution c51 --atoms 9 --optimizer adam --adam_beta_1 0.5",
        "pong --preset rainbow",  # a preset may name them
        "ALE/Pong-v5 --environment gym --minimal_action_set false",
    ):
        task = parse("train", line.split())
        warn_without_effect(task.given, task.config, learns=task.learns)
    assert not caplog.messages


@pytest.fixture
def snapshot(home: Path) -> Path:
    golden = Path(__file__).parents[1] / "golden" / "rmsprop_end.pkl"
    (home / "pong_3.pkl").write_bytes(golden.read_bytes())
    return home / "pong_3.pkl"


@pytest.mark.parametrize(
    ("line", "flag"),
    [
        ("test PKL --test_games 1 --save_weights_prefix new/a", "save_weights_prefix"),
        ("test PKL --checkpoint_path new/a", "checkpoint_path"),
        ("test PKL --epochs 3", "epochs"),
        ("test PKL --train_steps 3", "train_steps"),
        ("test PKL --learning_rate 0.1", "learning_rate"),
        ("test PKL --exploration_rate_end 0.1 --noisy true", "exploration_rate_end"),
        ("play PKL --keep_snapshots 3", "keep_snapshots"),
        ("record PKL --target_steps 5", "target_steps"),
        ("nvis PKL --random_steps 5", "random_steps"),
        ("nvis PKL --test_steps 5", "test_steps"),
        ("test PKL --test_games 2 --test_steps 5", "test_steps"),
        ("run pong --play_games 1 --checkpoint_path new/a", "checkpoint_path"),
    ],
)
def test_flags_of_training_do_nothing_in_a_test_and_are_named(
    home: Path, snapshot: Path, caplog: pytest.LogCaptureFixture, line: str, flag: str
) -> None:
    verb, *words = line.replace("PKL", str(snapshot)).split()
    check_files(parse(verb, words))
    (warning,) = caplog.messages
    assert warning.startswith(f"--{flag} has no effect: it needs ")
    assert not (home / "new").exists()


def test_what_a_snapshot_was_trained_with_is_not_warned_of(
    snapshot: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for verb in ("test", "record", "nvis"):
        check_files(parse(verb, [str(snapshot)]))
    check_files(parse("test", [str(snapshot), "--test_steps", "9", "--csv_file", "a.csv"]))
    assert not caplog.messages


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("test PKL --test_games 2 --play_games 1", "--play_games is for ./play.sh and ./record.sh"),
        ("test PKL --play_games 1", "--play_games is for ./play.sh and ./record.sh"),
        ("record PKL --test_games 3", "./record.sh plays --play_games"),
        ("nvis PKL --test_games 2", "./nvis.sh plays --play_games"),
        ("play PKL --test_games 2", "./play.sh plays --play_games"),
        ("play pong --alone --test_games 2", "./play.sh plays --play_games"),
        ("run pong --test_games 2 --play_games 1", "give one of them"),
    ],
)
def test_testing_and_playing_are_told_apart(snapshot: Path, line: str, sentence: str) -> None:
    verb, *words = line.replace("PKL", str(snapshot)).split()
    with pytest.raises(UserError) as error:
        parse(verb, words)
    assert sentence in str(error.value)


def test_stochastic_rounding_is_neons() -> None:
    assert resolve(dict(stochastic_round=True, engine="neon"), {}).stochastic_round
