"""Flags that do not go together, and those of them that may seem so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from commands.combinations import warn_without_effect
from commands.presets import resolve
from commands.verbs import parse
from errors import UserError


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
    warn_without_effect(task.given, task.config)
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
        warn_without_effect(task.given, task.config)
    assert not caplog.messages


def test_stochastic_rounding_is_neons() -> None:
    assert resolve(dict(stochastic_round=True, engine="neon"), {}).stochastic_round
