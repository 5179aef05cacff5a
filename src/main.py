"""Simple DQN: parse the command line, wire the parts, run the phases."""

from __future__ import annotations

import contextlib
import logging
import secrets
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace

from agent import Agent
from config import ROOT, Config
from engine.threads import choose_threads
from errors import Diverged, UserError
from parts import Parts, wire
from runs.checkpoint import Position, position
from runs.checkpoint_files import locked
from runs.preflight import (
    check_files,
    choose_storage,
    how_to_go_on,
    load,
    save_snapshot,
    write_description,
)
from runs.verbs import VERBS, Task, parse
from stats import Statistics
from watch.session import play, shown

logger = logging.getLogger("simple_dqn")


def main(arguments: list[str]) -> int:
    """Do what the command line says.

    Exit codes: 0 done, 1 training diverged, 2 unusable input, 130 stopped.
    """
    sys.path.append(str(ROOT))  # nvis/ lies beside src/
    verb = arguments[0] if arguments and arguments[0] in VERBS else "run"
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    for number in stop_signals():  # as Ctrl-C, until a run handles them
        signal.signal(number, signal.default_int_handler)
    try:
        task = parse(verb, arguments[verb != "run" :])
        logging.getLogger().setLevel(task.config.log_level)
        if task.config.random_seed is None:
            task = replace(task, config=replace(task.config, random_seed=secrets.randbits(31)))
        return run(task)
    except UserError as error:
        print(f"{verb}: {error}", file=sys.stderr)
        return 2
    except Diverged as error:
        print(f"{verb}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{verb}: stopped.", file=sys.stderr)
        return 130


def run(task: Task) -> int:
    """Wire the parts and run the phases of `task`."""
    config = task.config
    learns = not config.play_games and config.train_steps > 0 and config.epochs > 0
    storage = choose_storage(config) if learns or config.random_steps else None
    with locked(config.checkpoint_path if storage else None):
        check_files(task)
        if learns:
            threads = choose_threads(config)
            task = replace(task, config=replace(config, threads=threads))
        parts = wire(task, storage=storage)
        if task.checkpoint and parts.checkpointer:
            parts.checkpointer.restore(task.checkpoint)
        elif config.load_weights:
            load(task, parts)
        try:
            with stopping(parts.agent):
                run_phases(task, parts)
        except Diverged as error:
            raise Diverged(f"{error} {how_to_go_on(task, parts.checkpointer)}") from None
    if parts.agent.interrupted and storage:
        logger.info(how_to_go_on(task, parts.checkpointer))
    return 130 if parts.agent.stopped else 0


def run_phases(task: Task, parts: Parts) -> None:
    """What the verb and the flags ask for."""
    config = task.config
    if task.verb.startswith("profile"):
        from runs.profiling import profile

        profile(parts, lambda: train_and_test(task, parts))
    elif task.verb in ("play", "record", "nvis") or config.play_games:
        with phase(parts, "play", 0, 0):
            play(task, parts.agent, parts.network)
    else:
        with shown(task, parts.agent):
            if config.test_games:
                test_games(task, parts)
            else:
                train_and_test(task, parts)


def train_and_test(task: Task, parts: Parts) -> None:
    """All phases, from where the checkpoint was if the run goes on from one."""
    config, agent, checkpointer = task.config, parts.agent, parts.checkpointer
    write_description(task)
    begin = position(task.checkpoint) if task.checkpoint else Position(0, "random", 0)
    for epoch, name, steps in phases(config):
        start = begin.steps_done(epoch, name)
        if start is None:
            continue
        refill = name == "random" and config.start_epoch > 0 and config.train_steps > 0
        with phase(parts, name, epoch, steps, row=not refill):
            if name == "train":
                agent.train(steps, start=start)
            elif name == "test":
                agent.test(steps, start=start)
            elif refill:
                rate = agent.exploration_rate()
                logger.info("Refilling the replay memory: %d steps of the loaded policy", steps)
                agent.play_random(steps, start=start, exploration_rate=rate)
            else:
                agent.play_random(steps, start=start)
        if name == "train" and not (agent.interrupted and parts.stats.resumable):
            save_snapshot(task, parts, epoch)
        if agent.interrupted:
            return
        if checkpointer:
            next_epoch = Position(max(epoch, config.start_epoch) + 1, "train", 0)
            tests_next = name == "train" and config.test_steps
            checkpointer.save(Position(epoch, "test", 0) if tests_next else next_epoch)


def phases(config: Config) -> Iterator[tuple[int, str, int]]:
    """Epoch, name and steps of each phase: a random one, then epochs of training and testing."""
    if config.random_steps:
        yield 0, "random", config.random_steps
    for epoch in range(config.start_epoch + 1, config.epochs + 1):
        if config.train_steps:
            yield epoch, "train", config.train_steps
        if config.test_steps:
            yield epoch, "test", config.test_steps


@contextlib.contextmanager
def phase(parts: Parts, name: str, epoch: int, steps: int, row: bool = True) -> Iterator[None]:
    """Tell the callbacks where a phase begins and ends; without `row` statistics keep silent."""
    if row:
        epochs = f"Epoch {epoch}: " if epoch else ""
        logger.info("%s%s, %s", epochs, name, f"{steps} steps" if steps else "whole games")
    listeners = [c for c in parts.agent.callbacks if row or not isinstance(c, Statistics)]
    for callback in listeners:
        callback.on_phase_start(name, epoch, steps)
    yield
    for callback in listeners:
        callback.on_phase_end(name, epoch)


def test_games(task: Task, parts: Parts) -> None:
    """Play whole games and print the scores' summary."""
    from runs.scores import print_summary

    with phase(parts, "test", task.config.start_epoch, 0):
        parts.agent.play(task.config.test_games)
    print_summary(task.game, parts.stats.scores)


@contextlib.contextmanager
def stopping(agent: Agent) -> Iterator[None]:
    """The first Ctrl-C, SIGTERM or SIGHUP ends the run in order; a second Ctrl-C at once."""

    def stop(number: int, frame: object) -> None:
        if agent.stopped:
            raise KeyboardInterrupt
        print("\nStopping after this step; Ctrl-C again stops at once.", file=sys.stderr)
        agent.stop()

    before = {number: signal.signal(number, stop) for number in stop_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_signals() -> list[signal.Signals]:
    """The signals that end a run in order, but for those that nohup or a shell had us ignore."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
