"""The agent: epsilon-greedy play and the loop of each phase."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from game import Screen, Step
from replay_memory import Minibatch
from state_buffer import StateBuffer


class Playable(Protocol):
    """What the agent needs of a game, wherever it is played."""

    @property
    def buffer(self) -> StateBuffer:
        """The state the agent acts on."""

    def set_mode(self, mode: str) -> None:
        """`train` or `test`."""

    def start(self) -> Sequence[Step]:
        """Begin an episode; the no-op steps that were made."""

    def send(self, action: int) -> None:
        """Begin a step."""

    def receive(self) -> Step:
        """The end of the step begun last; after an episode's end the next one has begun."""


class QFunction(Protocol):
    """What the agent needs of a network."""

    def predict(self, states: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Q-values (N, num_actions) of states (N, history, height, width)."""

    def train(self, minibatch: Minibatch) -> None:
        """One weight update."""

    def update_target_network(self) -> None:
        """Copy the network to the target network."""


class Memory(Protocol):
    """What the agent needs of one game's replay memory."""

    def begin_episode(self, screen: Screen | None = None) -> None:
        """What comes next does not follow from what came last."""

    def add(self, action: int, reward: float, screen: Screen, terminal: bool) -> None:
        """Remember a step."""


class Memories(Protocol):
    """The replay memory: a part for each game, sampled as one."""

    batch_size: int

    @property
    def count(self) -> int:
        """Steps that it holds."""

    @property
    def games(self) -> Sequence[Memory]:
        """The part of each game."""

    def sample(self) -> Minibatch:
        """Draw a minibatch."""


class Callback:
    """Listens to the agent. Override what you want to hear."""

    def on_phase_start(self, phase: str, epoch: int, steps: int) -> None:
        """A phase of `steps` steps (0: unknown) begins."""

    def on_step(
        self,
        action: int,
        reward: float,
        terminal: bool,
        screen: Screen,
        exploration_rate: float,
        game: int,
    ) -> None:
        """A step of game number `game` is done; `terminal`: its episode is over."""

    def on_round(self, step: int) -> None:
        """Every game has made a step and the network has learned; `step` of the phase are done."""

    def on_phase_end(self, phase: str, epoch: int) -> None:
        """The phase is over, or was stopped."""


class Agent:
    """Acts in one game, or in several side by side, remembers, and lets the network learn."""

    def __init__(
        self,
        *,
        games: Sequence[Playable],
        replay_memory: Memories | None,
        network: QFunction | None,
        num_actions: int,
        rng: np.random.Generator,
        exploration_rate_start: float = 1.0,
        exploration_rate_end: float = 0.1,
        exploration_decay_steps: float = 1_000_000,
        exploration_rate_test: float = 0.05,
        train_frequency: int = 4,
        train_repeat: int = 1,
        target_steps: int = 10_000,
        target_clock: str = "epoch",
        random_ties: bool = False,
        remember_all: bool = False,
        training_policy: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None,
    ) -> None:
        """Without `replay_memory` nothing is remembered; without `network` the agent does nothing.

        `target_clock`: whether target_steps counts the steps of the `epoch` or of the whole `run`.
        `remember_all`: no-op steps and test steps are remembered too (the version of 2015).
        `training_policy`: Q-values that training acts by instead of the network's.
        """
        self.games = games
        self.memory = replay_memory
        self.network = network
        self.num_actions = num_actions
        self.rng = rng
        self.exploration_rate_start = exploration_rate_start
        self.exploration_rate_end = exploration_rate_end
        self.exploration_decay_steps = exploration_decay_steps
        self.exploration_rate_test = exploration_rate_test
        self.train_frequency = train_frequency
        self.train_repeat = train_repeat
        self.target_steps = target_steps
        self.target_clock = target_clock
        self.random_ties = random_ties
        self.remember_all = remember_all
        self.training_policy = training_policy
        self.learning = False  # in a training phase
        self.total_train_steps = 0
        self.phase_step = 0  # steps done in this phase, or in the one that was stopped
        self.callbacks: list[Callback] = []
        self.pilot: Callable[[int], int] | None = None  # the joystick: what is done instead
        self.qvalues: NDArray[np.float32] | None = None  # (num_actions,) last predicted, game 0
        self.stopped = False
        self.interrupted = False  # whether a phase was left before its end

    def stop(self) -> None:
        """End the phase after the step in progress."""
        self.stopped = True

    def exploration_rate(self) -> float:
        """The training phase's rate: falls linearly with the training steps done."""
        done = min(self.total_train_steps / self.exploration_decay_steps, 1.0)
        fall = self.exploration_rate_start - self.exploration_rate_end
        return self.exploration_rate_start - fall * done

    def choose(self, games: Sequence[int], exploration_rate: float) -> list[int]:
        """An epsilon-greedy action for each of the games."""
        explores = self.rng.random(len(games)) < exploration_rate
        actions: list[int] = self.rng.integers(self.num_actions, size=len(games)).tolist()
        greedy = np.flatnonzero(~explores).tolist()
        if greedy and self.network:
            states = np.stack([self.games[games[n]].buffer.state() for n in greedy])
            q = self.predict(states)  # (N, num_actions)
            for n, values in zip(greedy, q, strict=True):
                actions[n] = self._best(values)
            self.qvalues = q[0]
        return actions

    def predict(self, states: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Q-values to act by, (N, num_actions)."""
        assert self.network
        if self.training_policy and self.learning:
            return self.training_policy(states)
        return self.network.predict(states)

    def _best(self, values: NDArray[np.float32]) -> int:
        if self.random_ties:
            return int(self.rng.choice(np.flatnonzero(values == values.max())))
        return int(values.argmax())

    def step(self, games: Sequence[int], exploration_rate: float, remember: bool) -> None:
        """A step in each of the games, remembered or not, then told to the callbacks."""
        actions = self.choose(games, exploration_rate)
        if self.pilot:
            actions = [self.pilot(action) for action in actions]
        for i, action in zip(games, actions, strict=True):
            self.games[i].send(action)
        for i, action in zip(games, actions, strict=True):
            step = self.games[i].receive()
            if remember and self.memory:
                memory = self.memory.games[i]
                memory.add(action, step.reward, step.screen, step.terminal)
                if step.over:
                    self._remember_opening(memory, step.opening)
            for callback in self.callbacks:
                callback.on_step(action, step.reward, step.over, step.screen, exploration_rate, i)

    def _remember_opening(self, memory: Memory, opening: Sequence[Step]) -> None:
        """An episode has begun: nothing before it belongs to its states."""
        memory.begin_episode(opening[-1].screen if opening else None)
        if self.remember_all:
            for step in opening:
                memory.add(0, step.reward, step.screen, step.terminal)

    def play_random(self, steps: int, *, start: int = 0, exploration_rate: float = 1.0) -> None:
        """The random phase: fill the replay memory with `steps` steps, nothing learned.

        `start`, in every phase: the steps done before the run was interrupted.
        """
        self._set_mode("train")
        for step in self._rounds(start, steps):
            if step == 0:
                self.restart(range(len(self.games)), remember=True)
            self.step(range(len(self.games)), exploration_rate, remember=True)
            self._round_done(step)

    def train(self, steps: int, *, start: int = 0) -> None:
        """The training phase: act, remember, learn."""
        # NB! Training goes on in the game that testing left, as the ancestor's did; the replay
        # memory was told of the seam when testing began.
        self._set_mode("train")
        self.learning = True
        for step in self._rounds(start, steps):
            self.step(range(len(self.games)), self.exploration_rate(), remember=True)
            self._learn(step)
            self.total_train_steps += len(self.games)
            self._round_done(step)
        self.learning = False

    def _learn(self, step: int) -> None:
        """What falls due with the steps of this round; `step` is its first one in the epoch."""
        assert self.memory and self.network
        for n in range(len(self.games)):
            clock = (self.total_train_steps if self.target_clock == "run" else step) + n
            if self.target_steps and clock % self.target_steps == 0:
                self.network.update_target_network()
            if (
                step + n
            ) % self.train_frequency == 0 and self.memory.count > self.memory.batch_size:
                for _ in range(self.train_repeat):
                    self.network.train(self.memory.sample())

    def test(self, steps: int, *, start: int = 0) -> None:
        """The testing phase: play with little exploration, learn nothing."""
        self._set_mode("test")
        for step in self._rounds(start, steps):
            if step == 0:
                self.restart(range(len(self.games)), remember=self.remember_all)
            self.step(range(len(self.games)), self.exploration_rate_test, self.remember_all)
            self._round_done(step)

    def play(self, num_games: int) -> None:
        """Play `num_games` whole games, divided among the games side by side."""
        self._set_mode("test")
        self.restart(range(len(self.games)), remember=False)
        left = [len(range(i, num_games, len(self.games))) for i in range(len(self.games))]
        counter = _Countdown(left)
        self.callbacks.append(counter)
        try:
            self.phase_step = 0
            while (playing := [i for i, games in enumerate(left) if games]) and not self.stopped:
                self.step(playing, self.exploration_rate_test, remember=False)
                self._round_done(self.phase_step)
        finally:
            self.callbacks.remove(counter)

    def restart(self, games: Iterable[int], remember: bool) -> None:
        """Begin a new episode in each of the games."""
        for i in games:
            opening = self.games[i].start()
            if self.memory:
                if remember:
                    self._remember_opening(self.memory.games[i], opening)
                else:
                    self.memory.games[i].begin_episode()

    def _rounds(self, start: int, steps: int) -> Iterator[int]:
        self.phase_step = start
        for step in range(start, steps, len(self.games)):
            if self.stopped:
                self.interrupted = True
                return
            yield step

    def _round_done(self, step: int) -> None:
        self.phase_step = step + len(self.games)
        for callback in self.callbacks:
            callback.on_round(self.phase_step)

    def _set_mode(self, mode: str) -> None:
        for game in self.games:
            game.set_mode(mode)


class _Countdown(Callback):
    """Counts down the games that are left to each of the games side by side."""

    def __init__(self, left: list[int]) -> None:
        self.left = left

    def on_step(
        self,
        action: int,
        reward: float,
        terminal: bool,
        screen: Screen,
        exploration_rate: float,
        game: int,
    ) -> None:
        self.left[game] -= terminal
