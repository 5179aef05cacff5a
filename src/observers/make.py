"""The callbacks that check a run, and those that the flags ask for. They only observe the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent import Agent, Callback
from commands.verbs import Task
from config import Config
from engine.make import inspect_updates
from observers.dead_network import DeadNetwork
from observers.divergence import Divergence
from observers.json_log import JsonLog
from observers.meter import Meter
from observers.progress import Progress
from observers.tensorboard import TensorBoard
from observers.value_range import ValueRange
from runs.plan import Planned, plays_for_somebody
from stats import Statistics


def make_checks(config: Config, agent: Agent, stats: Statistics) -> list[Callback]:
    """The callbacks that stop a run which has diverged, or warn of one that cannot learn."""
    found: list[Callback] = [Divergence(agent)]
    if stats.network:
        found.append(DeadNetwork(stats.network, stats))
    if config.distribution == "c51":
        found.append(ValueRange(config))
    return found


def make_observers(
    task: Task, stats: Statistics, todo: Sequence[Planned], pace: Mapping[str, float]
) -> list[Callback]:
    """The callbacks that show a run, to come after `stats`. For `todo` and `pace` see Progress.

    Raises UserError if something that they need is missing.
    """
    config = task.config
    found: list[Callback] = []
    if config.tensorboard or config.log == "json":
        meter = Meter(stats, inspect_updates(stats.network))
        found.append(meter)
        if config.tensorboard:
            # Tests of a snapshot have a folder of their own: TensorBoard discards what a folder has
            # from later steps.
            name = f"{task.name}_test" if task.verb == "test" else task.name
            folder = config.tensorboard / name
            found.append(TensorBoard(folder, stats=stats, meter=meter))
        if config.log == "json":
            found.append(JsonLog(stats=stats, meter=meter))
    # A window has a display of its own, and so have games that are played to be recorded.
    films = plays_for_somebody(task) and config.records
    if not (config.display_screen or films or config.log == "json"):
        found.append(Progress(stats, todo, pace))
    return found
