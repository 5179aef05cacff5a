"""Loads an agent and its game from a snapshot."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from api.agent import LoadedAgent
from api.environment import PlayedEnvironment
from commands.combinations import OF_TRAINING
from commands.flags import text_of
from commands.verbs import parse
from config import FIELDS, WatchSettings, unknown_flag
from engine.make import make_network
from errors import UserError
from runs.preflight import check_weights
from seeds import random_stream
from snapshot.compatibility import check_actions, check_q_values

# Flags of runs, films and windows, which mean nothing to an agent and its game.
UNUSED = {
    *OF_TRAINING,
    *(field.name for field in fields(WatchSettings)),
    *"test_steps test_games play_games load_weights num_envs threads".split(),
    *"csv_file overwrite log".split(),
}


def load(snapshot: str | Path, **flags: Any) -> tuple[LoadedAgent, PlayedEnvironment]:
    """The agent in a snapshot, and its game, preprocessed as in training.

    `snapshot` is the path of a .pkl file, or the name of a game for which an agent comes with the
    project. `flags` are those that concern the agent and its game, for example random_seed=1 or
    max_episode_frames=18000.

    Raises UserError if the file or a flag cannot be used.
    """
    for name in flags:
        if name not in FIELDS:  # a word for people, such as help
            raise unknown_flag(name)
        if name in UNUSED:
            raise UserError(f"{name} has no effect on a loaded agent and its game: leave it out.")
    words = [f"--{name}={text_of(value)}" for name, value in flags.items()]
    subject = str(snapshot)
    if subject.startswith("-"):  # not a flag, whatever its name
        subject = f"./{subject}"
    task = parse("test", [subject, *words])
    config, path = task.config, task.config.load_weights
    assert path
    assert config.random_seed is not None
    environment = PlayedEnvironment(config, task.rom)
    names = environment.action_names
    check_weights(task, len(names))
    network = make_network(config, len(names), random_stream(config.random_seed, "weights"))
    loaded = network.load_weights(path)
    check_actions(path, loaded, names)
    check_q_values(path, network.predict, config)
    rng = random_stream(config.random_seed, "exploration")
    agent = LoadedAgent(network, path=path, snapshot=loaded, action_names=names, rng=rng)
    return agent, environment
