"""Simple DQN: parse the command line, construct the parts, run the phases."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

from agent import Agent, Phase
from config import ROOT, Config
from engine.make import make_network
from envs.parallel import make_games
from replay.make import choose_storage, make_sampler, make_screens
from replay_memory import ReplayMemory
from runs.checkpoint import Checkpointer
from runs.lock import locked
from runs.divergence import Divergence, check_row
from runs.exit_codes import Ending, exit_code
from runs.files import load, save_snapshot, write_description
from runs.position import Position, position
from runs.preflight import check_files, check_memory, check_snapshot
from runs.profiling import profile
from runs.progress import Progress
from runs.run import Run
from runs.scores import print_summary
from runs.signals import stop_in_order
from runs.catalog import VERBS
from runs.verbs import Task, parse
from seeds import random_stream
from stats import Statistics
from watch.session import play, plays_alone, shown

logger = logging.getLogger("simple_dqn")


def main(arguments: list[str]) -> int:
    """Do what the command line says; the exit code is one of runs/exit_codes.py."""
    sys.path.append(str(ROOT))  # nvis/ lies beside src/
    verb = arguments[0] if arguments and arguments[0] in VERBS else "run"
    with exit_code(verb) as ending:
        run(parse(verb, arguments[verb != "run" :]), ending)
    return ending.code


def run(task: Task, ending: Ending) -> None:
    """Construct the parts and run the phases of `task`."""
    config = task.config
    learns = not config.play_games and config.train_steps > 0 and config.epochs > 0
    storage = choose_storage(config) if learns or config.random_steps else None
    with locked(config.checkpoint_path if storage else None):
        if storage:
            check_memory(config)
        check_files(task)
        parts = ending.run = construct(task, storage)
        check_snapshot(parts)
        if task.checkpoint and parts.checkpointer:
            parts.checkpointer.restore(task.checkpoint)
        elif config.load_weights:
            load(parts)
        with stop_in_order(parts.agent), shown(task, parts.agent):
            run_phases(parts)


def construct(task: Task, storage: str | None) -> Run:
    """The five parts, connected; without a replay `storage` nothing is remembered."""
    config, seed = task.config, task.config.random_seed
    assert seed is not None
    games = make_games(config, task.rom)
    num_actions = len(games[0].environment.action_names)
    memory = network = None
    if storage:
        sampler = make_sampler(config, random_stream(seed, "replay"))
        memory = ReplayMemory(config, screens=make_screens(storage, config), sampler=sampler)
    if not plays_alone(task):
        network = make_network(config, num_actions, random_stream(seed, "weights"))
    agent = Agent(
        config,
        games=games,
        memory=memory,
        network=network,
        num_actions=num_actions,
        rng=random_stream(seed, "exploration"),
    )
    agent.total_train_steps = config.start_epoch * config.train_steps
    stats = Statistics(agent, network, memory, config.csv_file)
    agent.callbacks += [stats, Divergence(agent)]
    if not (config.display_screen or config.video_file):  # these report for themselves
        agent.callbacks.append(Progress(stats))
    parts = Run(task, games[0].environment, memory, network, agent, stats)
    if storage and config.checkpoint_path:
        parts.checkpointer = Checkpointer(parts)
        agent.callbacks.append(parts.checkpointer)
    return parts


def run_phases(parts: Run) -> None:
    """What the verb and the flags ask for."""
    task, config = parts.task, parts.task.config
    if task.verb.startswith("profile"):
        profile(parts, lambda: train_and_test(parts))
    elif task.verb in ("play", "record", "nvis") or config.play_games:
        run_phase(parts, Phase("play", 0, 0))
    elif config.test_games:
        run_phase(parts, Phase("test", config.start_epoch, 0))
        print_summary(task.game, parts.stats.scores)
    else:
        train_and_test(parts)


def train_and_test(parts: Run) -> None:
    """All phases, from where the checkpoint was if the run is resumed from one."""
    task, checkpointer = parts.task, parts.checkpointer
    write_description(parts)
    begin = position(task.checkpoint) if task.checkpoint else Position(0, "random", 0)
    for phase in phases(task.config):
        start = begin.steps_done(phase)
        if start is None:
            continue
        run_phase(parts, phase, start)
        interrupted = parts.agent.interrupted
        if phase.name == "train" and not (interrupted and parts.resumable):
            save_snapshot(parts, phase.epoch)
        if interrupted:
            return
        if checkpointer:
            tests_next = phase.name == "train" and task.config.test_steps
            next_epoch = max(phase.epoch, task.config.start_epoch) + 1
            after = Position(next_epoch, "train", 0)
            checkpointer.save(Position(phase.epoch, "test", 0) if tests_next else after)


def phases(config: Config) -> Iterator[Phase]:
    """A random phase, then epochs of training and testing."""
    if config.random_steps:
        # A resumed run without its replay memory fills it again, which has no row of its own.
        refills = config.start_epoch > 0 and config.train_steps > 0
        yield Phase("random", 0, config.random_steps, counted=not refills)
    for epoch in range(config.start_epoch + 1, config.epochs + 1):
        if config.train_steps:
            yield Phase("train", epoch, config.train_steps)
        if config.test_steps:
            yield Phase("test", epoch, config.test_steps)


def run_phase(parts: Run, phase: Phase, start: int = 0) -> None:
    """Run a phase of which `start` steps are done, and tell the callbacks."""
    agent, config = parts.agent, parts.task.config
    if phase.counted:
        epoch = f"Epoch {phase.epoch}: " if phase.epoch else ""
        steps = f"{phase.steps} steps" if phase.steps else "whole games"
        logger.info("%s%s, %s", epoch, phase.name, steps)
    for callback in agent.callbacks:
        callback.on_phase_start(phase)
    if phase.name == "play":
        play(parts.task, agent)
    elif phase.name == "train":
        agent.train(phase.steps, start=start)
    elif phase.name == "test" and not phase.steps:
        agent.play(config.test_games)
    elif phase.name == "test":
        agent.test(phase.steps, start=start)
    elif phase.counted:
        agent.play_random(phase.steps, start=start)
    else:
        logger.info("Filling the replay memory with %d steps of the loaded policy", phase.steps)
        rate = agent.exploration_rate()
        agent.play_random(phase.steps, start=start, exploration_rate=rate)
    if agent.interrupted and parts.checkpointer:  # before the callbacks sum up half a phase
        parts.checkpointer.save(Position(phase.epoch, phase.name, agent.phase_step))
    parts.stats.resumable = parts.resumable
    for callback in agent.callbacks:
        callback.on_phase_end(phase)
    check_row(parts.stats.rows[-1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
