"""Makes the environment that the flags name, and imports only that kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from config import Config
from environment import ALEEnvironment, Environment
from errors import UserError


def make_environment(config: Config, rom: Path | None, rng: np.random.Generator) -> Environment:
    """The environment that `config` names; `rng` draws its seed."""
    seed = int(rng.integers(2**31))
    if config.environment == "gym":
        from envs.gym import make_gym_environment

        return make_gym_environment(config, name=config.game, random_seed=seed)
    if config.environment != "ale":
        from envs.custom import make_own_environment

        if config.repeat_action_probability:
            raise UserError(
                "--repeat_action_probability is for Atari games: remove it, because only "
                f"{config.environment} itself could repeat actions."
            )
        return make_own_environment(
            config, name=config.environment, game=config.game, random_seed=seed
        )
    assert rom
    sound = bool(config.display_screen or config.video_file or config.record_sound_filename)
    return ALEEnvironment(config, rom=rom, random_seed=seed, sound=sound)
