"""The parts of a run: made as the flags say, and connected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agent import Agent
from config import Config
from engine.hardware import random_stream
from engine.make import make_network
from envs.parallel import make_games
from replay_memory import ReplayMemory
from runs.checkpoint import Checkpointer
from runs.divergence import Health
from runs.preflight import about_run
from runs.progress import Progress
from runs.verbs import Task
from shared_replay import SharedReplay, make_replay_memory
from stats import Statistics
from watch.session import plays_alone


@dataclass
class Parts:
    """The five parts of a run."""

    environment: Any  # the first game's; of one in another process only its action_names are here
    replay_memory: ReplayMemory | SharedReplay | None
    network: Any
    agent: Agent
    stats: Statistics
    checkpointer: Checkpointer | None


def wire(task: Task, *, storage: str | None) -> Parts:
    """Make the five parts and connect them; without a replay `storage` nothing is remembered."""
    config, seed = task.config, task.config.random_seed
    assert seed is not None
    games = make_games(config, task.rom)
    environment = games[0].environment
    num_actions = len(environment.action_names)
    network = None
    if not plays_alone(task):
        network = network_of(config, num_actions, random_stream(seed, "weights"))
    memory = None
    if storage:
        memory = make_replay_memory(
            num_games=config.num_envs,
            storage=storage,
            device=f"cuda:{config.device_id}",
            size=config.replay_size,
            history_length=config.history_length,
            screen_height=config.screen_height,
            screen_width=config.screen_width,
            batch_size=config.batch_size,
            zero_history=config.zero_history,
            rng=random_stream(seed, "replay"),
        )
    agent = Agent(
        games=games,
        replay_memory=memory,
        network=network,
        num_actions=num_actions,
        rng=random_stream(seed, "exploration"),
        exploration_rate_start=config.exploration_rate_start,
        exploration_rate_end=config.exploration_rate_end,
        exploration_decay_steps=config.exploration_decay_steps,
        exploration_rate_test=config.exploration_rate_test,
        train_frequency=config.train_frequency,
        train_repeat=config.train_repeat,
        target_steps=config.target_steps,
        target_clock=config.target_clock,
        random_ties=config.random_ties,
        remember_all=config.remember_all,
        training_policy=network.predict_target if config.overlap and network else None,
    )
    resumable = bool(storage and config.checkpoint_path and config.checkpoint_minutes)
    stats = Statistics(agent, network, memory, config.csv_file, resumable=resumable)
    checkpointer = None
    if storage and config.checkpoint_path:
        checkpointer = Checkpointer(
            folder=config.checkpoint_path,
            minutes=config.checkpoint_minutes,
            about=about_run(task),
            agent=agent,
            stats=stats,
        )
        agent.callbacks.append(checkpointer)
    agent.callbacks += [stats, Health(agent, stats)]
    if not (config.display_screen or config.video_file):  # these tell of themselves
        agent.callbacks.append(Progress(stats))
    agent.total_train_steps = config.start_epoch * config.train_steps
    return Parts(environment, memory, network, agent, stats, checkpointer)


def network_of(config: Config, num_actions: int, rng: np.random.Generator) -> Any:
    """A new network as the flags say, its weights drawn from `rng`."""
    return make_network(
        engine=config.engine,
        num_actions=num_actions,
        history_length=config.history_length,
        screen_height=config.screen_height,
        screen_width=config.screen_width,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        discount_rate=config.discount_rate,
        optimizer=config.optimizer,
        decay_rate=config.decay_rate,
        clip_error=config.clip_error,
        min_reward=config.min_reward,
        max_reward=config.max_reward,
        batch_norm=config.batch_norm,
        bias=config.bias,
        padding=config.padding,
        init=config.init,
        sum_gradient=config.sum_gradient,
        target_network=config.target_steps > 0,
        backend=config.backend,
        device_id=config.device_id,
        datatype=config.datatype,
        threads=config.threads,
        stochastic_round=config.stochastic_round,
        overlap=config.overlap,
        rng=rng,
    )
