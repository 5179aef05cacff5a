"""A process that plays games for remote_game.py. It imports no engine and takes about 30 MB.

    python -m envs.worker CONNECTION MEMORY      (numbers of inherited files)

The first message says what to play: (config, rom, numbers of the games). Each later one is a dict
{number: (method of Host, argument)}. The answer is a dict {number: result}, or an error message if
a game cannot continue.
"""

from __future__ import annotations

import contextlib
import mmap
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config import Config
from envs.make import make_environment
from errors import UserError
from game import Game, Step
from seeds import random_stream

Opening = list[tuple[float, bool, bool]]  # reward, terminal and ended of each step


def make_game(config: Config, rom: Path | None, number: int) -> Game:
    """Game `number` of a run. Its random streams do not depend on the other games."""
    seed = config.random_seed
    assert seed is not None
    environment = make_environment(config, rom, random_stream(seed, "environment", number))
    return Game(config, environment=environment, rng=random_stream(seed, "starts", number))


def screens_shape(config: Config) -> tuple[int, int, int]:
    """Of a game's screens in shared memory: its state, the last step's, the longest opening's."""
    count = config.history_length + 1 + config.random_starts + 1
    return (count, config.screen_height, config.screen_width)


def map_screens(config: Config, memory: int) -> NDArray[np.uint8]:
    """All games' screens in the shared memory, (games, *screens_shape)."""
    return np.frombuffer(mmap.mmap(memory, 0), np.uint8).reshape(-1, *screens_shape(config))


class Host:
    """Calls a game's methods on behalf of its RemoteGame."""

    def __init__(self, game: Game, screens: NDArray[np.uint8]) -> None:
        """`screens`, of screens_shape, is shared with the main process."""
        self.game = game
        game.buffer.screens = screens[: game.history_length]
        self.screens = screens[game.history_length :]

    def action_names(self, _: None) -> Sequence[str]:
        """The environment's names for its actions."""
        return tuple(self.game.environment.action_names)

    def set_mode(self, mode: str) -> None:
        """`train` or `test`."""
        self.game.set_mode(mode)

    def start(self, _: None) -> Opening:
        """Begin an episode."""
        return self._keep(self.game.start())

    def step(self, action: int) -> tuple[float, bool, bool, Opening]:
        """Do a step, and begin the next episode if this one is over."""
        self.game.send(action)
        step = self.game.receive()
        self.screens[0] = step.screen
        return step.reward, step.terminal, step.ended, self._keep(step.opening)

    def get_state(self, _: None) -> dict[str, Any]:
        """All that the game depends on."""
        return self.game.get_state()

    def set_state(self, state: dict[str, Any]) -> str | None:
        """Continue from a saved state; returns an error message if it does not fit."""
        try:
            self.game.set_state(state)
        except ValueError as error:
            return str(error)
        return None

    def _keep(self, opening: Sequence[Step]) -> Opening:
        for screen, step in zip(self.screens[1:], opening, strict=False):
            screen[:] = step.screen
        return [(step.reward, step.terminal, step.ended) for step in opening]


def serve(connection: Connection, memory: int) -> None:
    """Play until the main process is gone or a game cannot continue."""
    # The main process handles signals: it ends the run in order, and with it this process.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    config, rom, numbers = connection.recv()
    screens = map_screens(config, memory)
    hosts: dict[int, Host] = {}

    def make(number: int) -> None:
        hosts[number] = Host(make_game(config, rom, number), screens[number])

    def do(number: int, method: str, argument: Any) -> Any:
        return getattr(hosts[number], method)(argument)

    answer = attempt(make, dict.fromkeys(numbers, ()))
    connection.send(answer)
    while not isinstance(answer, str):
        answer = attempt(do, connection.recv())
        connection.send(answer)


def attempt(do: Callable[..., Any], tasks: dict[int, tuple[Any, ...]]) -> dict[int, Any] | str:
    """What `do` returns for each game, or an error message if one cannot continue."""
    answers = {}
    for number, arguments in tasks.items():
        try:
            answers[number] = do(number, *arguments)
        except UserError as error:
            return str(error)
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            return f"Game {number} stopped with the error above, {type(error).__name__}: {error}"
    return answers


if __name__ == "__main__":
    with contextlib.suppress(EOFError, ConnectionError, KeyboardInterrupt):
        serve(Connection(int(sys.argv[1])), int(sys.argv[2]))
