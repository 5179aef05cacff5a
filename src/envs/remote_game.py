"""A game in a worker process, as the agent sees it. The process itself is in worker.py.

One message carries the actions of all games of a worker, and one answer what came of them. Screens
are in shared memory.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config import ROOT, Config
from envs.worker import Opening
from errors import PartDied, UserError
from game import Step
from state_buffer import StateBuffer

logger = logging.getLogger(__name__)

PATIENCE = 2.0  # seconds in which a process must end before it is killed
SILENCE = 60.0  # seconds without an answer until a warning


class Worker:
    """The main process's connection to a worker process."""

    def __init__(
        self, config: Config, rom: Path | None, numbers: Sequence[int], memory: int
    ) -> None:
        """Start a process that plays the games `numbers`; its first answer says they are made.

        It is in its own process group, so that Ctrl-C does not reach it.
        """
        self.numbers = numbers
        self.messages: dict[int, tuple[str, Any]] = {}  # to be sent
        self.answers: dict[int, Any] = {}
        paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
        ours, theirs = socket.socketpair()
        with ours, theirs:
            files = (theirs.fileno(), memory)
            self.process = subprocess.Popen(
                # -P: no modules from the current folder, which is not part of the program.
                [sys.executable, "-P", "-m", "envs.worker", *map(str, files)],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                pass_fds=files,
                stdin=subprocess.DEVNULL,
                process_group=0,
            )
            self.connection = Connection(ours.detach())
        self.end = weakref.finalize(self, _end, self.process, self.connection)
        self._send((config, rom, numbers))

    def put(self, number: int, method: str, argument: Any) -> None:
        """Queue a call of `method` for game `number`; it is sent when all games have one."""
        self.messages[number] = (method, argument)
        if len(self.messages) == len(self.numbers):
            self.flush()

    def flush(self) -> None:
        """Send all queued messages."""
        if self.messages:
            self._send(self.messages)
            self.messages = {}

    def take(self, number: int) -> Any:
        """The answer of game `number`. Raises UserError if the game cannot continue, PartDied if
        the process is gone."""
        while number not in self.answers:
            try:
                while not self.connection.poll(SILENCE):
                    logger.warning(
                        "The process that plays %s has not answered for %g s: to stop the run, "
                        "press Ctrl-C twice.",
                        self._games(),
                        SILENCE,
                    )
                answers = self.connection.recv()
            except (EOFError, OSError):  # in the middle of a message it is a plain OSError
                raise self._dead() from None
            if isinstance(answers, str):
                raise UserError(answers)
            self.answers.update(answers)
        return self.answers.pop(number)

    def _send(self, message: Any) -> None:
        try:
            self.connection.send(message)
        except OSError:
            raise self._dead() from None

    def _dead(self) -> PartDied:
        """The error for a process that is gone."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)
        code = self.process.returncode
        how = f"ended with code {code}"
        if code is not None and code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            how += ", which is what the system does when memory runs out"
        return PartDied(
            f"The process that played {self._games()} {how}: everything saved is intact."
        )

    def _games(self) -> str:
        names = ", ".join(map(str, self.numbers))
        return f"game {names}" if len(self.numbers) == 1 else f"games {names}"


def _end(process: subprocess.Popen[bytes], connection: Connection) -> None:
    """A worker ends when its connection is closed; it is killed if it hangs, or at Ctrl-C."""
    connection.close()
    try:
        process.wait(PATIENCE)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()


@dataclass(frozen=True)
class RemoteEnvironment:
    """What the main process knows of an environment in another process."""

    action_names: Sequence[str]


class RemoteGame:
    """A Game in a worker process."""

    def __init__(
        self,
        number: int,
        worker: Worker,
        workers: Sequence[Worker],
        history_length: int,
        screens: NDArray[np.uint8],
    ) -> None:
        """Game `number`, played by `worker`, which is one of `workers`.

        `screens`, of worker.screens_shape, is the game's part of the shared memory.
        """
        self.number = number
        self.worker = worker
        self.workers = workers
        self.buffer = StateBuffer(history_length, *screens.shape[1:])
        self.buffer.screens = screens[:history_length]
        self.screens = screens[history_length:]
        self.environment = RemoteEnvironment(self._ask("action_names"))

    def set_mode(self, mode: str) -> None:
        """See Game."""
        self._ask("set_mode", mode)

    def start(self) -> list[Step]:
        """See Game."""
        return self._opening(self._ask("start"))

    def send(self, action: int) -> None:
        """See Game."""
        self.worker.put(self.number, "step", action)

    def receive(self) -> Step:
        """See Game. If only some games play, the first that is asked sends their actions."""
        for worker in self.workers:
            worker.flush()
        reward, terminal, ended, opening = self.worker.take(self.number)
        return Step(reward, self.screens[0].copy(), terminal, ended, self._opening(opening))

    def get_state(self) -> dict[str, Any]:
        """See Game."""
        state: dict[str, Any] = self._ask("get_state")
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """See Game."""
        if problem := self._ask("set_state", state):
            raise ValueError(problem)

    def _ask(self, method: str, argument: Any = None) -> Any:
        self.worker.put(self.number, method, argument)
        self.worker.flush()
        return self.worker.take(self.number)

    def _opening(self, opening: Opening) -> list[Step]:
        screens = self.screens[1 : len(opening) + 1].copy()
        return [
            Step(reward, screen, terminal, ended)
            for (reward, terminal, ended), screen in zip(opening, screens, strict=True)
        ]
