"""The phases of a run, and those that remain to be done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from agent import Phase
from commands.verbs import Task
from config import Config
from runs.position import Position, position


class Planned(NamedTuple):
    """A phase to come."""

    phase: Phase
    start: int  # steps of it that are already done, in a resumed run


def plays_for_somebody(task: Task) -> bool:
    """Whether games are played to be seen, filmed or looked into, and nothing else is done."""
    return task.verb in ("play", "record", "nvis") or task.config.play_games > 0


def plan(task: Task) -> list[Planned]:
    """The phases of `task` that remain, in order."""
    config = task.config
    if plays_for_somebody(task):
        return [Planned(Phase("play", 0, 0), 0)]
    if task.verb == "test" or config.test_games:  # of a snapshot, after the epoch it was trained to
        epoch = task.snapshot.epoch if task.snapshot else config.start_epoch
        return [Planned(Phase("test", epoch, 0 if config.test_games else config.test_steps), 0)]
    begin = position(task.checkpoint) if task.checkpoint else Position(0, "random", 0)
    steps_done = [(phase, begin.steps_done(phase)) for phase in _phases(config)]
    return [Planned(phase, start) for phase, start in steps_done if start is not None]


def _phases(config: Config) -> Iterator[Phase]:
    """A random phase, then epochs of training and testing."""
    if config.random_steps:
        # A run that is resumed without its replay memory refills it in a phase without a row.
        refills = config.start_epoch > 0 and config.train_steps > 0
        yield Phase("random", 0, config.random_steps, counted=not refills)
    for epoch in range(config.start_epoch + 1, config.epochs + 1):
        if config.train_steps:
            yield Phase("train", epoch, config.train_steps)
        if config.test_steps:
            yield Phase("test", epoch, config.test_steps)


def position_after(todo: Sequence[Planned], n: int) -> Position:
    """The position of the run after phase `n` of `todo`."""
    if n + 1 < len(todo):
        following = todo[n + 1].phase
        return Position(following.epoch, following.name, 0)
    return Position(todo[n].phase.epoch + 1, "train", 0)
