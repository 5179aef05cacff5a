"""The phases of a run, and those that remain to be done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from agent import Phase
from commands.combinations import PLAYING
from commands.verbs import Task
from runs.position import Position, position


class Planned(NamedTuple):
    """A phase to come."""

    phase: Phase
    start: int  # steps of it that are already done, in a resumed run


def plays_for_somebody(task: Task) -> bool:
    """Whether games are played to be seen, filmed or looked into, and nothing else is done."""
    return task.verb in PLAYING or task.config.play_games > 0


def plan(task: Task) -> list[Planned]:
    """The phases of `task` that remain, in order."""
    config = task.config
    if plays_for_somebody(task):
        return [Planned(Phase("play", 0, games=config.play_games), 0)]
    if task.verb == "test" or config.test_games:  # of a snapshot, after the epoch it was trained to
        epoch = task.snapshot.epoch if task.snapshot else config.start_epoch
        steps = 0 if config.test_games else config.test_steps
        return [Planned(Phase("test", epoch, steps, config.test_games), 0)]
    begin = position(task.checkpoint) if task.checkpoint else Position(0, "random", 0)
    every = phases(
        random_steps=config.random_steps,
        train_steps=config.train_steps,
        test_steps=config.test_steps,
        epochs=config.epochs,
        start_epoch=config.start_epoch,
    )
    steps_done = [(phase, begin.steps_done(phase)) for phase in every]
    return [Planned(phase, start) for phase, start in steps_done if start is not None]


def phases(
    *, random_steps: int, train_steps: int, test_steps: int, epochs: int, start_epoch: int = 0
) -> Iterator[Phase]:
    """A random phase, then epochs of training and testing."""
    if random_steps:
        # A run that is resumed without its replay memory fills it again.
        refills = start_epoch > 0 and train_steps > 0
        yield Phase("random", 0, random_steps, refills=refills)
    for epoch in range(start_epoch + 1, epochs + 1):
        if train_steps:
            yield Phase("train", epoch, train_steps)
        if test_steps:
            yield Phase("test", epoch, test_steps)


def position_after(todo: Sequence[Planned], n: int) -> Position:
    """The position of the run after phase `n` of `todo`."""
    if n + 1 < len(todo):
        following = todo[n + 1].phase
        return Position(following.epoch, following.name, 0)
    return Position(todo[n].phase.epoch + 1, "train", 0)
