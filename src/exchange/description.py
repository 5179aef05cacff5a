"""Describes an agent for other programs: its preprocessing, its layers, its origin."""

from __future__ import annotations

from typing import Any

from api.agent import LoadedAgent
from api.environment import PlayedEnvironment
from commands.catalog import NETWORK, PREPROCESSING
from config import Config
from engine.export import described_layers
from palette import ALE_LUMA, LUA_LUMA

KEY = "simple_dqn"  # of the description in a file's metadata
VERSION = 1


def describe(agent: LoadedAgent, environment: PlayedEnvironment) -> dict[str, Any]:
    """The description of an agent, in values that JSON has."""
    config, snapshot = environment.config, agent.snapshot
    network: Any = agent.network
    return {
        "version": VERSION,
        "game": snapshot.info.get("game", config.game),
        "actions": list(agent.action_names),
        "epoch": snapshot.epoch,
        "preprocessing": {name: getattr(config, name) for name in PREPROCESSING.split()},
        "in_words": in_words(config),
        "network": {name: getattr(config, name) for name in NETWORK.split()},
        "layers": described_layers(network),
        "info": snapshot.info,
    }


def in_words(config: Config) -> list[str]:
    """From the game's frames to the network's input, step by step."""
    c = config
    steps = [f"An action is repeated for {c.frame_skip} frames."] if c.frame_skip else []
    red, green, blue = LUA_LUMA if c.frame_maximum and c.environment == "ale" else ALE_LUMA
    if c.environment == "ale":
        if c.frame_maximum:
            steps.append("Each pixel's colors are the maximum over the last two frames.")
        elif c.color_averaging:
            steps.append("The colors of the last two frames are averaged, as by ALE.")
    else:
        steps.append("The picture is what the environment observes or renders.")
    steps += [
        f"The picture is converted to gray: {red} red + {green} green + {blue} blue.",
        f"It is resized to {c.screen_width}x{c.screen_height} pixels, "
        + ("by area averaging" if c.resize == "area" else "by bilinear interpolation")
        + (" (OpenCV's INTER_AREA)." if c.resize == "area" else " (OpenCV's INTER_LINEAR)."),
        f"A state is the last {c.history_length} of these screens, oldest first, as bytes.",
    ]
    if c.zero_history:
        steps.append("Screens before the first one of an episode are black.")
    steps.append(f"The bytes are divided by {255 / c.pixel_max:g}.")
    if c.padding:
        steps.append(f"Each screen is padded with {c.padding} black pixels on every side.")
    steps.append("The agent takes the action with the largest Q-value.")
    return steps
