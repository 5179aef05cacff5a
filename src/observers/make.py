"""The callbacks that the flags ask for. They only observe the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent import Callback
from commands.verbs import Task
from engine.make import inspect_updates
from observers.json_log import JsonLog
from observers.meter import Meter
from observers.progress import Progress
from observers.tensorboard import TensorBoard
from runs.plan import Planned
from stats import Statistics


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
            folder = config.tensorboard / task.name
            found.append(TensorBoard(folder, stats=stats, meter=meter))
        if config.log == "json":
            found.append(JsonLog(stats=stats, meter=meter))
    # A window and a film have displays of their own.
    if not (config.display_screen or config.video_file or config.log == "json"):
        found.append(Progress(stats, todo, pace))
    return found
