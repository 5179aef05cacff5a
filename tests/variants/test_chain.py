"""Every target and every head on a Markov decision process whose values are known exactly.

A chain of four places: one action goes right and from the last place out, for a reward of 1; the
other stays, for a fiftieth. A place is a screen of its own, so a network can hold the whole table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent import Agent
from config import Config
from deepqnetwork import DeepQNetwork
from game import Game
from replay.array import ScreenArray
from replay.make import make_sampler
from replay_memory import Minibatch, ReplayMemory
from tests.variants.small import make

PLACES, GAMMA, STAY = 4, 0.8, 0.02
SIZE = 36
SCREENS = np.zeros((PLACES + 1, SIZE, SIZE), np.uint8)
for place in range(PLACES):
    SCREENS[place, :, 9 * place : 9 * place + 9] = 255
Array = NDArray[np.float64]


def step(place: int, action: int) -> tuple[float, int, bool]:
    """Reward, next place, whether that was the end."""
    if action:
        return STAY, place, False
    return float(place == PLACES - 1), place + 1, place == PLACES - 1


def all_transitions() -> Minibatch:
    """Each of them once."""
    pairs = [(place, action) for place in range(PLACES) for action in range(2)]
    made = [step(*pair) for pair in pairs]
    ends = np.array([terminal for *_, terminal in made])
    return Minibatch(
        screens=np.stack([SCREENS[[p, q]] for (p, _), (_, q, _) in zip(pairs, made, strict=True)]),
        actions=np.array([action for _, action in pairs], np.uint8),
        returns=np.array([reward for reward, *_ in made], np.float32),
        discounts=GAMMA * ~ends,
        indices=np.arange(len(pairs)),
        weights=np.ones(len(pairs), np.float32),
        history=1,
    )


def q_star(epsilon: float = 0.0) -> Array:
    """Value iteration, for an agent whose actions are random with probability `epsilon`."""
    q = np.zeros((PLACES + 1, 2))
    for _ in range(200):
        for place in range(PLACES):
            for action in range(2):
                r, following, terminal = step(place, action)
                value = (1 - epsilon) * q[following].max() + epsilon * q[following].mean()
                q[place, action] = r + GAMMA * value * (not terminal)
    return q[:PLACES]


def munchausen_q(alpha: float = 0.9, tau: float = 0.03, lowest: float = -1.0) -> Array:
    """The fixed point of Munchausen value iteration (Vieillard et al. 2020, equation 2)."""
    q = np.zeros((PLACES + 1, 2))
    for _ in range(500):
        shifted = (q - q.max(axis=1, keepdims=True)) / tau
        log_pi = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        soft = (np.exp(log_pi) * (q - tau * log_pi)).sum(axis=1)
        new = q.copy()
        for place in range(PLACES):
            for action in range(2):
                r, following, terminal = step(place, action)
                bonus = alpha * np.clip(tau * log_pi[place, action], lowest, 0)
                new[place, action] = r + bonus + GAMMA * soft[following] * (not terminal)
        q = new
    return q[:PLACES]


# What makes a small network learn a table quickly.
WELL_MADE: dict[str, Any] = dict(network_width=1.0, bias=True, init="torch", learning_rate=0.002)


def learned(updates: int = 250, every: int = 10, **settings: Any) -> DeepQNetwork:
    """A network after updates with all transitions at once."""
    batch = all_transitions()
    network = make(
        num_actions=2,
        history_length=1,
        batch_size=len(batch.actions),
        network="nips",
        learning_rate_decay_updates=updates,
        **WELL_MADE | settings,
    )
    for t in range(updates):
        if t % every == 0:
            network.update_target_network()
        network.train(batch)
    return network


CASES: dict[str, dict[str, Any]] = {
    "q-learning": dict(),
    "mse": dict(loss="mse"),
    "double": dict(double_q=True),
    "dueling": dict(dueling=True, double_q=True),
    "noisy": dict(noisy=True),
    "c51": dict(distribution="c51", value_min=-0.5, value_max=2.5, atoms=31),
    "quantile": dict(distribution="quantile", atoms=8, clip_error=0.1),
    "iqn": dict(distribution="iqn", atoms=8, clip_error=0.1, double_q=True),
    "layer": dict(normalization="layer"),
    "spectral": dict(normalization="spectral"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_optimal_values_are_learned(case: str) -> None:
    q = learned(**CASES[case]).predict(SCREENS[:PLACES, None])
    assert np.abs(q - q_star()).max() < 0.05
    assert q.argmax(axis=1).tolist() == q_star().argmax(axis=1).tolist()


@pytest.mark.parametrize("case", ["q-learning", "dueling", "c51", "quantile", "iqn"])
def test_values_for_an_agent_that_explores_are_learned(case: str) -> None:
    q = learned(**CASES[case], target_exploration=1.0).predict(SCREENS[:PLACES, None])
    wanted = q_star(1.0)
    assert np.abs(wanted - q_star()).max() > 0.12  # so the next line tells the two apart
    assert np.abs(q - wanted).max() < 0.05


@pytest.mark.parametrize("distribution", ["none", "quantile"])
def test_munchausens_fixed_point_is_learned(distribution: str) -> None:
    network = learned(400, munchausen=True, distribution=distribution, atoms=8, clip_error=0.3)
    q = network.predict(SCREENS[:PLACES, None])
    assert np.abs(q - munchausen_q()).max() < 0.08


@pytest.mark.parametrize("distribution", ["c51", "quantile", "iqn"])
def test_the_distribution_of_a_random_return_is_learned(distribution: str) -> None:
    """A coin decides between a return of 0 and of 1."""
    batch = all_transitions()
    n = len(batch.actions)
    network = make(
        num_actions=2, history_length=1, batch_size=n, network="nips", **WELL_MADE,
        distribution=distribution, atoms={"c51": 11, "quantile": 10, "iqn": 16}[distribution],
        value_min=-0.5, value_max=1.5, clip_error=0.02,
    )  # fmt: skip
    coins = np.random.default_rng(4)
    for _ in range(500):
        returns = coins.integers(2, size=n).astype(np.float32)
        network.train(batch._replace(returns=returns, discounts=np.zeros(n)))
    found = network.returns(SCREENS[:1])
    assert found
    for values, probabilities in zip(*found, strict=True):
        low = probabilities[np.abs(values) < 0.25].sum()
        high = probabilities[np.abs(values - 1) < 0.25].sum()
        assert low == pytest.approx(0.5, abs=0.15)
        assert high == pytest.approx(0.5, abs=0.15)


class Chain:
    """The chain as a game; a walk that does not end is cut short."""

    action_names: Sequence[str] = ("RIGHT", "STAY")
    frames_per_second = 60.0

    def __init__(self) -> None:
        self.place = self.steps = 0

    def set_mode(self, mode: str) -> None: ...

    def restart(self) -> None:
        self.place = self.steps = 0

    def act(self, action: int) -> float:
        reward, self.place, _ = step(self.place, action)
        self.steps += 1
        return reward

    def skip_frames(self, count: int) -> None: ...

    def screen(self) -> NDArray[np.uint8]:
        screen: NDArray[np.uint8] = SCREENS[self.place]
        return screen

    def is_terminal(self) -> bool:
        return self.place == PLACES or self.is_truncated()

    def is_truncated(self) -> bool:
        return self.steps >= 12 and self.place < PLACES


@pytest.mark.parametrize("overlap", [False, True])
def test_rainbow_learns_the_chain_by_playing_it(overlap: bool) -> None:
    """All of it together, from the noise that explores to the priorities, two games at once."""
    config = Config(
        dueling=True, noisy=True, double_q=True, distribution="c51", n_step=3, prioritized=True,
        priority_exponent=0.5, importance_steps=300, value_min=-0.5, value_max=2.5, atoms=31,
        optimizer="adam_corrected", discount_rate=GAMMA, **WELL_MADE,
        history_length=1, screen_height=SIZE, screen_width=SIZE, zero_history=True,
        random_starts=0, num_envs=2, network="nips", batch_size=16,
        replay_size=1200, target_steps=40, target_clock="run", train_frequency=2,
        backend="cpu", threads=1, overlap=overlap,
    )  # fmt: skip
    games = [
        Game(config, environment=Chain(), rng=np.random.default_rng(i))
        for i in range(config.num_envs)
    ]
    screens = ScreenArray(config.replay_size, SIZE, SIZE)
    sampler = make_sampler(config, np.random.default_rng(1))
    memory = ReplayMemory(config, screens=screens, sampler=sampler)
    network = DeepQNetwork(config, num_actions=2, rng=np.random.default_rng(2))
    agent = Agent(
        config,
        games=games,
        memory=memory,
        network=network,
        num_actions=2,
        rng=np.random.default_rng(3),
    )
    agent.fill_memory(150)
    agent.train(700)
    q = network.predict(SCREENS[:PLACES, None])
    wanted = q_star()
    assert q.argmax(axis=1).tolist() == wanted.argmax(axis=1).tolist()
    # Three steps are those of the policy that explored, so values of other actions are only near.
    assert np.abs(q.max(axis=1) - wanted.max(axis=1)).max() < 0.1
