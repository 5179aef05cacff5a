"""How many hours and gigabytes a run will take, measured for a few seconds before it starts.

The measurement uses parts like the run's with their own random streams and deletes them afterwards.
The run itself stays the same, bit for bit.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from commands.verbs import Task
from config import Config
from replay.make import storage_bytes
from runs.plan import Planned
from runs.preflight import check_snapshot_size
from runs.run import Run

logger = logging.getLogger(__name__)

FEWEST_STEPS = 20_000  # of a run that is measured: a shorter one is soon over
WARM_UP = 40  # steps at least before measuring: the first ones compile and fill caches
MEASURED_SECONDS = {"random": 0.3, "train": 2.0, "test": 0.7}  # about, of each kind of phase
CHUNK = 20  # steps at least between looks at the clock
REPLAY_SIZE = 5_000  # steps; more of them cost memory, not time
CHECKPOINTS = 2  # that are kept


class Forecast(NamedTuple):
    """The result of the measurement."""

    pace: dict[str, float]  # seconds per step, by the name of the phase
    network_bytes: int  # of the network in a checkpoint, with the optimizer's states
    snapshot_bytes: int


class Needs(NamedTuple):
    """What a run takes."""

    seconds: float
    snapshots: int  # bytes of those that it keeps
    checkpoints: int  # bytes, at most


def forecast(
    task: Task, todo: Sequence[Planned], storage: str | None, construct: Callable[..., Run]
) -> dict[str, float]:
    """Report what the run will take, and return the seconds per step by the phase's name.

    `construct` makes the parts of a run. Short runs are neither measured nor reported.
    """
    total = sum(planned.phase.steps - planned.start for planned in todo)
    if not storage or total < FEWEST_STEPS or "train" not in _names(todo):
        return {}
    found = measured(task, todo, storage, construct)
    report(found, task.config, todo)
    return found.pace


def measured(
    task: Task, todo: Sequence[Planned], storage: str, construct: Callable[..., Run]
) -> Forecast:
    """The result of measuring parts like those of the run, in the phases of `todo`."""
    logging.disable(logging.INFO)  # what is said of the parts will be said of the run's
    try:
        return measure(construct(_as_measured(task), storage), _names(todo))
    finally:
        logging.disable(logging.NOTSET)
        gc.collect()  # ends the threads and processes of the parts, and frees the GPU


def _names(todo: Sequence[Planned]) -> set[str]:
    return {planned.phase.name for planned in todo}


def measure(parts: Run, names: Container[str]) -> Forecast:
    """Play and learn with `parts` for a few seconds, in each of the phases called `names`.

    Raises UserError if their snapshots would be too large.
    """
    agent, network, memory = parts.agent, parts.network, parts.memory
    assert network and memory
    size = check_snapshot_size(network)
    agent.callbacks.clear()
    count = len(agent.games)
    pace = {"random": _seconds_a_step(agent.fill_memory, count, "random", 4 * memory.batch_size)}
    if "train" in names:
        pace["train"] = _seconds_a_step(agent.train, count, "train")
    if "test" in names:
        pace["test"] = _seconds_a_step(agent.test, count, "test")
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory() as folder:  # or of that size
        snapshot = Path(folder) / "snapshot.pkl"
        network.save_weights(snapshot, info={})
        size = snapshot.stat().st_size
    return Forecast(pace, sum(a.nbytes for a in network.get_state().values()), size)


def _as_measured(task: Task) -> Task:
    """The task for the measurement: with the run's average exploration, and no files."""
    c = task.config
    trained = c.train_steps * (c.epochs - c.start_epoch)
    share = c.exploration_decay_steps / trained if trained else 1.0  # of the run that decays
    mean = 1 - 1 / (2 * share) if share > 1 else share / 2  # of the fall, still to come
    rate = c.exploration_rate_end + (c.exploration_rate_start - c.exploration_rate_end) * mean
    config = replace(
        c,
        exploration_rate_start=rate,
        exploration_rate_end=rate,
        replay_size=min(
            c.replay_size,
            max(
                REPLAY_SIZE,
                10 * (c.history_length + c.n_step) * c.num_envs,
                4 * c.batch_size,  # so that there are weight updates
            ),
        ),
        csv_file=None,
        save_weights_prefix=None,
        checkpoint_path=None,
        display_screen=False,
        video_file=None,
    )
    return replace(task, config=config)


def _seconds_a_step(play: Callable[..., None], games: int, name: str, warm_up: int = 0) -> float:
    done = first = _whole_rounds(max(WARM_UP, warm_up), games)
    play(done)
    begun, seconds = time.perf_counter(), 0.0
    while seconds < MEASURED_SECONDS[name]:
        play(done + _whole_rounds(CHUNK, games), start=done)
        done += _whole_rounds(CHUNK, games)
        seconds = time.perf_counter() - begun
    return seconds / (done - first)


def _whole_rounds(steps: int, games: int) -> int:
    return -(-steps // games) * games


def needs(found: Forecast, config: Config, todo: Sequence[Planned]) -> Needs:
    """What a run with the phases `todo` takes, by what was `found`."""
    seconds = sum(found.pace[p.phase.name] * (p.phase.steps - p.start) for p in todo)
    snapshots = checkpoints = 0
    if config.save_weights_prefix:
        snapshots = _kept_snapshots(config, todo) * found.snapshot_bytes
    if config.checkpoint_path and config.checkpoint_minutes:
        remembered = sum(p.phase.steps for p in todo if p.phase.name != "test")
        screens = storage_bytes("compressed", config, min(config.replay_size, remembered))
        checkpoints = CHECKPOINTS * found.network_bytes + screens
    return Needs(seconds, snapshots, checkpoints)


def report(found: Forecast, config: Config, todo: Sequence[Planned]) -> None:
    """Report what the run will take, and warn if the disk has too little room."""
    run = needs(found, config, todo)
    rates = ", ".join(f"{name} {1 / pace:.0f}" for name, pace in found.pace.items())
    logger.info("This run will take about %s (steps/s: %s).", duration(run.seconds), rates)
    prefix = config.save_weights_prefix
    if prefix:
        kept, hint = _kept_snapshots(config, todo), ""
        if kept > 10 and not config.keep_snapshots:
            hint = f"; --keep_snapshots 5 keeps {gigabytes(6 * found.snapshot_bytes)}"
        logger.info(
            "It will write %s of snapshots, %d of %s%s.",
            gigabytes(run.snapshots),
            kept,
            gigabytes(found.snapshot_bytes),
            hint,
        )
    if run.checkpoints:
        logger.info("Its checkpoints will take up to %s.", gigabytes(run.checkpoints))
    folder: Path | None = prefix.parent if prefix else config.checkpoint_path
    needed = run.snapshots + run.checkpoints
    if folder and needed > shutil.disk_usage(folder).free:
        logger.warning(
            "The disk of %s has %s free, the run needs %s: make room, or use fewer "
            "--keep_snapshots.",
            folder,
            gigabytes(shutil.disk_usage(folder).free),
            gigabytes(needed),
        )


def _kept_snapshots(config: Config, todo: Sequence[Planned]) -> int:
    """How many snapshots a run keeps: all, or the newest ones and the best one."""
    epochs = sum(planned.phase.name == "train" for planned in todo)
    return min(config.keep_snapshots + 1, epochs) if config.keep_snapshots else epochs


def duration(seconds: float) -> str:
    """A duration in its two largest units: 5 days 3 h."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if hours >= 24:
        return f"{hours // 24} day{'s' * (hours >= 48)} {hours % 24} h"
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"


def gigabytes(size: float) -> str:
    """3.7 GB, 18 MB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
