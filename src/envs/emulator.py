"""The Atari emulator: opening it with a ROM, and its complete state as bytes."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import ale_py
import numpy as np

from config import EnvironmentSettings
from errors import UserError

if TYPE_CHECKING:
    from environment import ALEEnvironment


def open_rom(
    rom: Path, settings: EnvironmentSettings, random_seed: int, sound: bool
) -> ale_py.ALEInterface:
    """An emulator that plays single frames and does not process them. Raises UserError."""
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setInt("random_seed", random_seed)
    ale.setInt("frame_skip", 1)
    ale.setInt("max_num_frames_per_episode", settings.max_episode_frames)
    ale.setFloat("repeat_action_probability", 0.0)
    ale.setBool("color_averaging", False)  # palette.py does it
    ale.setBool("sound_obs", sound)
    if not ale_py.ALEInterface.isSupportedROM(str(rom)):  # loadROM would end the process
        raise UserError(f"ALE does not know the game in {rom}: give another ROM.")
    ale.loadROM(str(rom))
    return ale


def save_emulator(game: ALEEnvironment) -> bytes:
    """Everything that the game's future depends on, including its random stream."""
    emulator = game.ale.cloneSystemState().serialize()
    rest = {
        "mode": game.mode,
        "life_lost": game.life_lost,
        "held": game.held.value,
        "random": game.rng.bit_generator.state,
    }
    text = json.dumps(rest).encode()
    sizes = struct.pack("<II", len(emulator), len(text))
    return sizes + emulator + text + game.newest.tobytes() + game.previous.tobytes()


def load_emulator(game: ALEEnvironment, state: bytes) -> None:
    """Continue from a saved state. Raises ValueError if it is not one of this game."""
    try:
        emulator, text = struct.unpack_from("<II", state)
        start, end = 8 + emulator, 8 + emulator + text
        rest = json.loads(state[start:end])
        frames = np.frombuffer(state, np.uint8, offset=end).reshape(2, *game.newest.shape)
        game.ale.restoreSystemState(ale_py.ALEState(state[8:start]))
    except (ValueError, struct.error, SystemError) as error:  # SystemError: ALE refuses it
        raise ValueError("the emulator's state is damaged, or of another game") from error
    game.newest[:], game.previous[:] = frames
    game.mode, game.life_lost = rest["mode"], rest["life_lost"]
    game.held = ale_py.Action(rest["held"])
    game.rng.bit_generator.state = rest["random"]
