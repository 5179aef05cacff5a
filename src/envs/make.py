"""The worlds there are to choose from, each imported only when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from config import Config
from environment import ALEEnvironment, Environment
from errors import UserError


def make_environment(config: Config, rom: Path | None, rng: np.random.Generator) -> Environment:
    """The environment that `config` names; `rng` draws its seed."""
    common: dict[str, Any] = dict(
        resize=config.resize,
        screen_width=config.screen_width,
        screen_height=config.screen_height,
        life_loss_terminal=config.life_loss_terminal,
        max_episode_frames=config.max_episode_frames,
        random_seed=int(rng.integers(2**31)),
    )
    if config.environment == "gym":
        from envs.gym import make_gym_environment

        return make_gym_environment(
            name=config.game,
            frame_skip=config.frame_skip,
            repeat_action_probability=config.repeat_action_probability,
            minimal_action_set=config.minimal_action_set,
            **common,
        )
    if config.environment != "ale":
        from envs.custom import make_own_environment

        if config.repeat_action_probability:
            raise UserError(
                f"--repeat_action_probability is Atari's: {config.environment} has no sticky "
                "actions but those it makes itself."
            )
        return make_own_environment(
            name=config.environment, game=config.game, frame_skip=config.frame_skip, **common
        )
    assert rom
    assert config.frame_skip is not None
    assert config.repeat_action_probability is not None
    return ALEEnvironment(
        rom=rom,
        frame_skip=config.frame_skip,
        repeat_action_probability=config.repeat_action_probability,
        minimal_action_set=config.minimal_action_set,
        color_averaging=config.color_averaging,
        frame_maximum=config.frame_maximum,
        sound=bool(config.display_screen or config.video_file or config.record_sound_filename),
        **common,
    )
