"""Small worlds and networks whose every answer is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent import Agent, Callback, GameStep
from config import AgentSettings, EnvironmentSettings, ReplaySettings
from environment import Environment
from game import Game
from replay.array import ScreenArray
from replay_memory import Minibatch, ReplayMemory, Uniform

HEIGHT, WIDTH = 1, 2


class Clock:
    """A world whose screen is the number of steps since it was made, as two bytes; skipped frames
    count as one.

    `ends` says at which of these times an episode ends, `cuts` at which it is cut short; every
    step's reward is its time.
    """

    frames_per_second = 60.0

    def __init__(
        self, *, ends: Sequence[int] = (), cuts: Sequence[int] = (), num_actions: int = 3
    ) -> None:
        self.action_names = tuple(f"A{n}" for n in range(num_actions))
        self.ends, self.cuts = set(ends), set(cuts)
        self.time = 0
        self.over = False
        self.mode = ""
        self.actions: list[int] = []
        self.ended: list[int] = []
        self.restarts: list[int] = []
        self.skipped: list[int] = []

    def set_mode(self, mode: str) -> None:
        self.mode = mode

    def restart(self) -> None:
        self.restarts.append(self.time)
        self.over = False

    def act(self, action: int) -> float:
        assert not self.over, "a step after the end of an episode"
        self.actions.append(action)
        self.time += 1
        self.over = self.time in self.ends | self.cuts
        if self.over:
            self.ended.append(self.time)
        return float(self.time)

    def skip_frames(self, count: int) -> None:
        self.skipped.append(count)
        self.time += 1

    def screen(self) -> NDArray[np.uint8]:
        return np.array([[self.time // 256, self.time % 256]], np.uint8)

    def is_terminal(self) -> bool:
        return self.over

    def is_truncated(self) -> bool:
        return self.time in self.cuts


def times(screens: NDArray[np.uint8]) -> list[int]:
    """The times that the clock's screens (n, 1, 2) show."""
    return [256 * int(high) + int(low) for high, low in screens[:, 0]]


class FakeNetwork:
    """Predicts `qvalues` whatever it sees, and notes what is asked of it."""

    def __init__(self, qvalues: Sequence[float] = (0, 0, 1), cost: float = 0.0) -> None:
        self.qvalues = np.array(qvalues, np.float32)
        self.cost = cost
        self.seen: list[NDArray[np.uint8]] = []
        self.train_iterations = 0
        self.log: Callable[[str], None] = lambda event: None

    def predict(self, states: NDArray[np.uint8], training: bool = False) -> NDArray[np.float32]:
        self.seen += list(states.copy())
        return np.tile(self.qvalues, (len(states), 1))

    def train(self, minibatch: Minibatch) -> Any:
        self.train_iterations += 1
        self.log("train")

    def update_target_network(self) -> None:
        self.log("copy")

    def read_cost(self) -> float:
        return self.cost


class Recorder(Callback):
    """Notes all that the agent reports."""

    def __init__(self) -> None:
        self.done: list[GameStep] = []
        self.chosen: list[tuple[int, int]] = []
        self.rounds: list[int] = []

    @property
    def actions(self) -> list[int]:
        return [made.action for made in self.done]

    @property
    def rewards(self) -> list[float]:
        return [made.step.reward for made in self.done]

    @property
    def ended(self) -> list[bool]:
        return [made.step.ended for made in self.done]

    @property
    def screens(self) -> NDArray[np.uint8]:
        """(n, height, width)."""
        return np.stack([made.step.screen for made in self.done])

    @property
    def rates(self) -> list[float]:
        return [made.exploration_rate for made in self.done]

    @property
    def games(self) -> list[int]:
        return [made.game for made in self.done]

    def on_action(self, game: int, action: int) -> None:
        self.chosen.append((game, action))

    def on_step(self, made: GameStep) -> None:
        self.done.append(made)

    def on_round(self, step: int) -> None:
        self.rounds.append(step)


def make_game(
    environment: Environment,
    *,
    history_length: int = 2,
    random_starts: int = 2,
    zero_history: bool = False,
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> Game:
    settings = EnvironmentSettings(
        history_length=history_length,
        screen_height=size[0],
        screen_width=size[1],
        random_starts=random_starts,
        zero_history=zero_history,
    )
    return Game(settings, environment=environment, rng=np.random.default_rng(1))


def make_memory(
    *,
    size: int = 1000,
    games: int = 1,
    history_length: int = 2,
    batch_size: int = 4,
    screen: tuple[int, int] = (HEIGHT, WIDTH),
    **settings: Any,
) -> ReplayMemory:
    """A memory that clips no reward unless `settings`, those of ReplaySettings, say so."""
    unclipped = dict(min_reward=-np.inf, max_reward=np.inf)
    replay = ReplaySettings(
        replay_size=size,
        num_envs=games,
        history_length=history_length,
        batch_size=batch_size,
        screen_height=screen[0],
        screen_width=screen[1],
        **unclipped | settings,
    )
    return ReplayMemory(
        replay, screens=ScreenArray(size, *screen), sampler=Uniform(np.random.default_rng(2))
    )


def make_agent(
    *environments: Clock,
    network: Any = None,
    memory: ReplayMemory | None = None,
    random_starts: int = 2,
    zero_history: bool = False,
    **settings: Any,
) -> tuple[Agent, Recorder]:
    """An agent in the worlds, with a history of two screens, and a listener."""
    games = [
        make_game(environment, random_starts=random_starts, zero_history=zero_history)
        for environment in environments
    ]
    learner: Any = network or FakeNetwork()
    agent = Agent(
        AgentSettings(**settings),
        games=games,
        memory=memory,
        network=learner,
        num_actions=3,
        rng=np.random.default_rng(3),
    )
    recorder = Recorder()
    agent.callbacks.append(recorder)
    return agent, recorder
