"""The worlds there are to choose from, each imported only when it is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from config import Config
from environment import ALEEnvironment, Environment


def make_environment(config: Config, rom: Path | None, rng: np.random.Generator) -> Environment:
    """The environment that `config` names; `rng` draws its seed."""
    assert rom
    return ALEEnvironment(
        rom=rom,
        frame_skip=config.frame_skip,
        repeat_action_probability=config.repeat_action_probability,
        minimal_action_set=config.minimal_action_set,
        color_averaging=config.color_averaging,
        frame_maximum=config.frame_maximum,
        resize=config.resize,
        screen_width=config.screen_width,
        screen_height=config.screen_height,
        life_loss_terminal=config.life_loss_terminal,
        max_episode_frames=config.max_episode_frames,
        random_seed=int(rng.integers(2**31)),
    )
