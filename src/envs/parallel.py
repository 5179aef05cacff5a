"""Games side by side, emulated in worker processes, about one per core.

ale-py's AtariVectorEnv does something similar with threads, but preprocesses frames differently: no
color averaging, no bilinear resizing, other no-op rules. Here the workers run the same classes Game
and Environment as a run of one game. A game gives the same screens, bit for bit, wherever it is
played, and Gymnasium's environments and your own can be played side by side as well.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, Protocol

from config import Config
from engine.hardware import cores, free_memory
from envs.remote_game import RemoteGame, Worker
from envs.worker import make_game, map_screens, screens_shape
from errors import UserError
from game import Step
from state_buffer import StateBuffer

logger = logging.getLogger(__name__)

WORKER_BYTES = 40 * 2**20  # of a worker process, measured: 30 MB
GAME_BYTES = 2 * 2**20  # of an Atari game, measured: 1 MB


class Playable(Protocol):
    """What the agent needs of a game, wherever it is played; see game.py."""

    @property
    def buffer(self) -> StateBuffer:
        """The state the agent acts on."""

    @property
    def environment(self) -> Any:
        """The environment; for a game in another process, only its action_names."""

    def set_mode(self, mode: str) -> None:
        """`train` or `test`."""

    def start(self) -> Sequence[Step]:
        """Begin an episode and return its no-op steps."""

    def send(self, action: int) -> None:
        """Begin a step."""

    def receive(self) -> Step:
        """Finish the step and return its result; if the episode is over, the next one has begun."""

    def get_state(self) -> dict[str, Any]:
        """All that the game depends on."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from a saved state. Raises ValueError."""


def make_games(config: Config, rom: Path | None) -> Sequence[Playable]:
    """The games of a run: in worker processes, or one alone in this process.

    Raises UserError if a game cannot be made.
    """
    count = min(config.num_envs, cores())
    if config.num_envs > 1:
        _check_memory(config)
    if count > 1:
        try:
            games = start_workers(config, rom, count)
            logger.info("%d games side by side in %d processes", len(games), count)
            return games
        except OSError as error:
            logger.warning(
                "Cannot start %d processes for the games (%s): all games are played in this "
                "process, which is slower.",
                count,
                error.strerror,
            )
    return [make_game(config, rom, number) for number in range(config.num_envs)]


def games_bytes(config: Config, count: int) -> int:
    """Bytes that `count` games side by side take in addition to what a run of one game takes."""
    if count == 1:
        return 0
    return cores() * WORKER_BYTES + count * (GAME_BYTES + prod(screens_shape(config)))


def _check_memory(config: Config) -> None:
    free, count = free_memory(), config.num_envs
    needed = games_bytes(config, count)
    if needed > free:
        raise UserError(
            f"--num_envs {count} needs {needed / 1e9:.1f} GB but {free / 1e9:.1f} GB are free: "
            f"use at most --num_envs {max(count * free // needed, 1)}."
        )


def start_workers(config: Config, rom: Path | None, count: int) -> list[RemoteGame]:
    """The games of a run in `count` worker processes, which end when the games are deleted.

    Raises OSError if the system refuses processes or memory, UserError if a game cannot be made.
    """
    memory = _shared_memory(config.num_envs * prod(screens_shape(config)))
    try:
        screens = map_screens(config, memory)
        groups = [range(config.num_envs)[n::count] for n in range(count)]
        workers = [Worker(config, rom, numbers, memory) for numbers in groups]
    finally:
        os.close(memory)
    for worker in workers:
        for number in worker.numbers:
            worker.take(number)  # wait until the game is made
    return [
        RemoteGame(n, workers[n % count], workers, config.history_length, screens[n])
        for n in range(config.num_envs)
    ]


def _shared_memory(size: int) -> int:
    """The descriptor of a new unnamed file, in memory where the system can do that."""
    if hasattr(os, "memfd_create"):
        memory = os.memfd_create("simple_dqn_screens")
    else:
        with tempfile.TemporaryFile() as file:
            memory = os.dup(file.fileno())
    os.ftruncate(memory, size)
    return memory
