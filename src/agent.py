"""The agent: epsilon-greedy play and the loop of each phase."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from config import AgentSettings
from game import Step

if TYPE_CHECKING:
    from engine.make import LearningNetwork
    from envs.parallel import Playable
    from replay_memory import ReplayMemory
    from variants.repeated_actions import RepeatedActions

Rates = NDArray[np.float64]  # (games,)


class Phase(NamedTuple):
    """A part of a run."""

    name: str  # random, train, test or play
    epoch: int
    steps: int = 0
    games: int = 0  # whole games instead of steps
    refills: bool = False  # the replay memory of a resumed run, by its policy; it has no row


class GameStep(NamedTuple):
    """A step that was made in a game."""

    game: int  # number of the game
    action: int
    exploration_rate: float
    step: Step


class Callback:
    """Listens to the agent, and may stop it. Override the methods that you need."""

    def on_phase_start(self, phase: Phase) -> None:
        """A phase begins, or continues in a resumed run."""

    def on_action(self, game: int, action: int) -> None:
        """An action was chosen for the state in the game's buffer and will now be carried out."""

    def on_step(self, made: GameStep) -> None:
        """A step was made in a game."""

    def on_round(self, step: int) -> None:
        """All games have made a step and the network has learned; `step` steps are done."""

    def on_phase_end(self, phase: Phase) -> None:
        """The phase has ended or was stopped."""


class Agent:
    """Acts in one game or several, remembers the steps, and trains the network."""

    def __init__(
        self,
        settings: AgentSettings,
        *,
        games: Sequence[Playable],
        memory: ReplayMemory | None,
        network: LearningNetwork | None,
        num_actions: int,
        rng: np.random.Generator,
        repeated: RepeatedActions | None = None,
    ) -> None:
        """Without `memory` nothing is remembered; without `network` all actions are random."""
        self.settings = settings
        self.games = games
        self.memory = memory
        self.network = network
        self.num_actions = num_actions
        self.rng = rng
        self.repeated = repeated  # random actions in training; None: they last one step
        self.total_train_steps = 0
        self.phase_step = 0  # steps done in this phase, or in the one that was stopped
        self.callbacks: list[Callback] = []
        self.qvalues: NDArray[np.float32] | None = None  # newest, (num_actions,), for observers
        self.stopped = False
        self.interrupted = False  # whether a phase was left before its end

    def stop(self) -> None:
        """End the phase after the current step."""
        self.stopped = True

    def exploration_rate(self) -> float:
        """The rate in training, which falls linearly. It is 0 if noisy layers explore instead."""
        s = self.settings
        if s.noisy:
            return 0.0
        rates = [s.exploration_rate_start, s.exploration_rate_end]
        return float(np.interp(self.total_train_steps, [0, s.exploration_decay_steps], rates))

    def exploration_rates(self) -> Rates:
        """Each game's rate in training, (games,): see --exploration_spread."""
        powers = 1 + self.settings.exploration_spread * np.linspace(0, 1, len(self.games))
        return np.asarray(self.exploration_rate() ** powers)

    def choose(self, games: Sequence[int], exploration: float | Rates, training: bool) -> list[int]:
        """An epsilon-greedy action for each of the games, by their rate or rates of exploration.

        In `training` random actions may last, noisy layers explore, and in the overlapped loop the
        target network chooses.
        """
        explores = self.rng.random(len(games)) < exploration
        drawn = self.rng.integers(self.num_actions, size=len(games))
        if training and self.repeated:
            explores, drawn = self.repeated.extend(games, explores, drawn)
        actions: list[int] = drawn.tolist()
        greedy = np.flatnonzero(~explores).tolist()
        if greedy and self.network:
            states = np.stack([self.games[games[n]].buffer.state() for n in greedy])
            q = self.network.predict(states, training=training)  # (N, num_actions)
            for n, values in zip(greedy, q, strict=True):
                actions[n] = self._best(values)
            self.qvalues = q[0]
        return actions

    def _best(self, values: NDArray[np.float32]) -> int:
        if self.settings.random_ties and not np.isnan(values.max()):
            return int(self.rng.choice(np.flatnonzero(values == values.max())))
        return int(values.argmax())

    def step(
        self,
        games: Sequence[int],
        exploration: float | Rates,
        *,
        remember: bool,
        training: bool = False,
        meanwhile: Callable[[], None] | None = None,
    ) -> list[GameStep]:
        """Make a step in each of the games, remembered or not; call `meanwhile` as they play."""
        actions = self.choose(games, exploration, training)
        rates = np.broadcast_to(exploration, len(games)).tolist()
        for i, action in zip(games, actions, strict=True):
            for callback in self.callbacks:
                callback.on_action(i, action)
            self.games[i].send(action)
        if meanwhile:
            meanwhile()
        made = []
        for i, action, rate in zip(games, actions, rates, strict=True):
            step = self.games[i].receive()
            if remember and self.memory:
                self.memory.add(i, action, step.reward, step.screen, step.terminal)
                if step.ended:
                    self._remember_opening(i, step.opening)
            made.append(GameStep(i, action, rate, step))
            for callback in self.callbacks:
                callback.on_step(made[-1])
        return made

    def _remember_opening(self, game: int, opening: Sequence[Step]) -> None:
        """A new episode has begun: its states contain no earlier screens."""
        assert self.memory
        self.memory.begin_episode(game, opening[-1].screen if opening else None)
        if self.settings.remember_all:
            for step in opening:
                if step.terminal or not step.ended:  # NB! A cut one has the next game's screen.
                    self.memory.add(game, 0, step.reward, step.screen, step.terminal)
                if step.ended:
                    self.memory.begin_episode(game)

    def fill_memory(self, steps: int, *, start: int = 0, exploration: float | Rates = 1.0) -> None:
        """Fill the replay memory with `steps` steps, random by default, and learn nothing.

        `start`, in every phase, is the number of steps done before the run was interrupted.
        """
        self._set_mode("train")
        games = range(len(self.games))
        for step in self._rounds(start, steps):
            if step == 0:
                self.restart(games, remember=True)
            self.step(games, exploration, remember=True, training=True)
            self._round_done(step + len(games))

    def train(self, steps: int, *, start: int = 0) -> None:
        """The training phase: act, remember, learn."""
        # NB! As in the original, training continues the game that testing was in. The replay memory
        # knows since testing began that its next screen does not follow the last one.
        self._set_mode("train")
        games = range(len(self.games))
        for step in self._rounds(start, steps):
            rates, learn = self.exploration_rates(), partial(self._learn, step)
            if len(games) > 1:  # they play while the network learns from the steps before
                self.step(games, rates, remember=True, training=True, meanwhile=learn)
            else:
                self.step(games, rates, remember=True, training=True)
                learn()
            self.total_train_steps += len(games)
            self._round_done(step + len(games))

    def _learn(self, first: int) -> None:
        """What the steps of this round require; `first` is the first of them, in the epoch."""
        assert self.memory and self.network
        s = self.settings
        for i in range(len(self.games)):
            epoch_step, run_step = first + i, self.total_train_steps + i
            clock = run_step if s.target_clock == "run" else epoch_step
            if s.reset_steps and run_step and run_step % s.reset_steps == 0:
                self.network.reset_last_layers()
            if s.target_steps and clock % s.target_steps == 0:
                self.network.update_target_network()
            if epoch_step % s.train_frequency == 0 and self.memory.ready:
                for _ in range(s.train_repeat):
                    if learned := self.network.train(self.memory.sample()):
                        self.memory.sampler.update(*learned)

    def test(self, steps: int, *, start: int = 0) -> None:
        """The testing phase: play with little exploration and learn nothing."""
        rate, remember = self.settings.exploration_rate_test, self.settings.remember_all
        self._set_mode("test")
        games = range(len(self.games))
        for step in self._rounds(start, steps):
            if step == 0:
                self.restart(games, remember)
            self.step(games, rate, remember=remember)
            self._round_done(step + len(games))

    def play(self, num_games: int) -> None:
        """Play `num_games` whole games, divided among the environments."""
        self._set_mode("test")
        self.restart(range(len(self.games)), remember=False)
        left = [len(range(i, num_games, len(self.games))) for i in range(len(self.games))]
        self.phase_step = 0
        while (playing := [i for i, games in enumerate(left) if games]) and not self.stopped:
            rate = self.settings.exploration_rate_test
            for made in self.step(playing, rate, remember=False):
                left[made.game] -= made.step.ended
            self._round_done(self.phase_step + len(playing))
        self.interrupted = self.stopped and any(left)

    def restart(self, games: Iterable[int], remember: bool) -> None:
        """Begin a new episode in each of the games."""
        for i in games:
            opening = self.games[i].start()
            if self.memory and remember:
                self._remember_opening(i, opening)
            elif self.memory:
                self.memory.begin_episode(i)

    def _rounds(self, start: int, steps: int) -> Iterator[int]:
        self.phase_step = start
        for step in range(start, steps, len(self.games)):
            if self.stopped:
                self.interrupted = True
                return
            yield step

    def _round_done(self, steps: int) -> None:
        self.phase_step = steps
        for callback in self.callbacks:
            callback.on_round(self.phase_step)

    def _set_mode(self, mode: str) -> None:
        for game in self.games:
            game.set_mode(mode)
