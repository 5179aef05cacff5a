"""Simple DQN: parse the command line, construct the parts, run the phases."""

from __future__ import annotations

from commands.prepare import prepare

if __name__ == "__main__":
    prepare()

import logging
import sys
from collections.abc import Sequence

from agent import Agent, Phase
from checkpoint.checkpointer import Checkpointer
from checkpoint.lock import run_locked
from commands.catalog import VERBS
from commands.exit_codes import Ending, exit_code, settled
from commands.verbs import Task, parse
from engine.make import make_network
from envs.parallel import make_games
from observers.divergence import check_row
from observers.json_log import begin_log
from observers.make import make_checks, make_observers
from observers.profiling import profile
from replay.make import choose_storage, make_sampler, make_screens
from replay_memory import ReplayMemory
from runs.earlier import check_earlier, check_removable, make_room
from runs.files import restore, save_snapshot, write_description
from runs.forecast import forecast
from runs.keep import remove_snapshots
from runs.outputs import check_outputs
from runs.owed import Owed
from runs.plan import Planned, plan, position_after
from runs.position import Position
from runs.preflight import check_files, check_memory, check_snapshot_size, check_weights
from runs.run import Run
from runs.scores import print_summary, write_scores
from runs.signals import stop_in_order
from runs.unseen import warn_of_unseen
from seeds import random_stream
from stats import Statistics
from sweeps.evaluate import evaluate, evaluates_many
from variants.repeated_actions import make_repeated
from watch.session import play, plays_alone, showing

logger = logging.getLogger("simple_dqn")


def main(arguments: list[str]) -> int:
    """Do what the command line says. Returns an exit code, see errors.py."""
    verb = arguments[0] if arguments and arguments[0] in VERBS else "run"
    with exit_code(verb) as ending:
        if verb == "test" and evaluates_many(arguments[1:]):
            ending.code = evaluate(arguments[1:])
        else:
            run(parse(verb, arguments[verb != "run" :]), ending)
    return ending.code


def run(task: Task, ending: Ending) -> None:
    """Construct the parts and run the phases of `task`."""
    config, todo = task.config, plan(task)
    begin_log(config)
    remembers = any(each.phase.name in ("random", "train") for each in todo) or task.checkpoint
    storage = choose_storage(config) if remembers else None
    with run_locked(task), settled(ending):
        if storage:
            check_memory(config)
        check_files(task)
        replaced = check_removable(check_earlier(task))
        check_removable(check_outputs(config))
        pace = forecast(task, todo, storage, construct)
        parts = ending.run = construct(task, storage)
        if parts.network:
            if config.save_weights_prefix:
                check_snapshot_size(parts.network)
            warn_of_unseen(config, parts.network.layers())
        restore(parts)
        parts.agent.callbacks += make_observers(task, parts.stats, todo, pace)
        logger.info("Random seed: %d", config.random_seed)
        with stop_in_order(parts.agent), showing(task, parts.agent):
            make_room(parts, replaced)
            run_phases(parts, todo)


def construct(task: Task, storage: str | None) -> Run:
    """Construct and connect the five parts. Without a replay `storage` nothing is remembered."""
    config, seed = task.config, task.config.random_seed
    assert seed is not None
    games = make_games(config, task.rom)
    num_actions = len(games[0].environment.action_names)
    memory = network = None
    if storage:
        sampler = make_sampler(config, random_stream(seed, "replay"))
        memory = ReplayMemory(config, screens=make_screens(storage, config), sampler=sampler)
    if not plays_alone(task):
        check_weights(task, num_actions)
        network = make_network(config, num_actions, random_stream(seed, "weights"))
    rng = random_stream(seed, "exploration")
    agent = Agent(
        config,
        games=games,
        memory=memory,
        network=network,
        num_actions=num_actions,
        rng=rng,
        repeated=make_repeated(config, num_actions, rng),
    )
    agent.total_train_steps = config.start_epoch * config.train_steps
    stats = Statistics(agent, network, memory, config.csv_file, owed := Owed())
    agent.callbacks += [stats, *make_checks(config, agent, stats)]
    parts = Run(task, games[0].environment, memory, network, agent, stats, owed)
    if storage and config.checkpoint_path:
        parts.checkpointer = Checkpointer(parts)
        stats.resumable = parts.resumable
        agent.callbacks.append(parts.checkpointer)
    return parts


def run_phases(parts: Run, todo: Sequence[Planned]) -> None:
    """Run all phases of the plan, and print what the verb adds: a profile or a summary."""
    task = parts.task
    if task.verb.startswith("profile"):
        profile(parts, lambda: play_and_learn(parts, todo))
    else:
        play_and_learn(parts, todo)
    if task.config.test_games and task.config.log == "text":
        print_summary(task.game, parts.stats.scores, task.config.test_games, is_ale=bool(task.rom))
    if task.verb == "test":
        write_scores(parts)


def play_and_learn(parts: Run, todo: Sequence[Planned]) -> None:
    """Run the phases; save a snapshot after each training phase, a checkpoint after each phase."""
    write_description(parts)
    if parts.task.checkpoint and not todo:  # it lacks its last snapshot
        save_snapshot(parts, parts.task.config.epochs)
    for n, (phase, start) in enumerate(todo):
        if parts.agent.stopped:
            return
        run_phase(parts, phase, start)
        interrupted = parts.agent.interrupted
        if phase.name == "train" and not (interrupted and parts.resumable):
            save_snapshot(parts, phase.epoch)
        if interrupted:
            return
        if parts.checkpointer:
            parts.checkpointer.save(position_after(todo, n))
        remove_snapshots(parts.task.config, parts.stats.rows)
    parts.finished = True


def run_phase(parts: Run, phase: Phase, start: int = 0) -> None:
    """Run a phase, `start` steps of which are already done, and notify the callbacks."""
    agent = parts.agent
    for callback in agent.callbacks:
        callback.on_phase_start(phase)
    if phase.name == "play":
        play(parts.task, agent)
    elif phase.name == "train":
        agent.train(phase.steps, start=start)
    elif phase.games:
        agent.play(phase.games)
    elif phase.name == "test":
        agent.test(phase.steps, start=start)
    else:
        rates = agent.exploration_rates() if phase.refills else 1.0
        agent.fill_memory(phase.steps, start=start, exploration=rates)
    if agent.interrupted and parts.checkpointer:  # before the sums of half a phase are reset
        parts.checkpointer.save(Position(phase.epoch, phase.name, agent.phase_step))
    for callback in agent.callbacks:
        callback.on_phase_end(phase)
    check_row(parts.stats.rows[-1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
