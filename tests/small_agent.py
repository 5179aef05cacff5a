"""An agent that plays a real game with a network too small to know anything."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent import Agent
from config import Config
from environment import ALEEnvironment
from envs.roms import find_rom
from game import Game
from nvis.saliency import Saliency
from replay_memory import Minibatch
from snapshot.layers import SavedLayer, convolution, linear, relu


class SmallNetwork:
    """A convolution and two linear layers, drawn at random; NumPy computes them."""

    def __init__(self, num_actions: int) -> None:
        draw = np.random.default_rng(3).normal
        w = [draw(0, s, n).astype(np.float32) for s, n in self.shapes(num_actions)]
        self.w = w
        self.found = [
            convolution("Convolution_0", w[0], size=8, stride=8),
            relu("Convolution_0_Rectlin"),
            linear("Linear_0", w[1]),
            relu("Linear_0_Rectlin"),
            linear("Linear_1", w[2]),
        ]

    @staticmethod
    def shapes(num_actions: int) -> list[tuple[float, tuple[int, int]]]:
        return [(0.1, (4 * 64, 5)), (0.1, (16, 500)), (0.3, (num_actions, 16))]

    def predict(self, states: NDArray[np.uint8], training: bool = False) -> NDArray[np.float32]:
        x = states[:, :, :80, :80].astype(np.float32) / 255  # (n, 4, 80, 80)
        blocks = x.reshape(-1, 4, 10, 8, 10, 8).transpose(0, 2, 4, 1, 3, 5)
        h = np.maximum(blocks.reshape(-1, 10, 10, 4 * 64) @ self.w[0], 0)
        h = np.maximum(h.transpose(0, 3, 1, 2).reshape(len(x), -1) @ self.w[1].T, 0)
        q: NDArray[np.float32] = h @ self.w[2].T
        return q

    def returns(self, state: NDArray[np.uint8]) -> None:
        """It predicts no distributions."""

    def saliency(self, state: NDArray[np.uint8], action: int) -> NDArray[np.float32]:
        found: NDArray[np.float32] = Saliency(self.found)(state, action)
        return found

    def layers(self) -> list[SavedLayer]:
        return self.found

    def train(self, minibatch: Minibatch) -> None:
        raise AssertionError("who plays does not learn")

    def update_target_network(self) -> None:
        raise AssertionError("who plays does not learn")


def make_agent(
    name: str = "breakout", *, network: bool = True, frames: int = 300, **settings: Any
) -> Agent:
    """An agent whose games of `name` are cut short after `frames` frames."""
    config = Config(max_episode_frames=frames, random_starts=6, **settings)
    environment = ALEEnvironment(config, rom=find_rom(name), sound=True)
    num_actions = len(environment.action_names)
    player: Any = SmallNetwork(num_actions) if network else None
    return Agent(
        config,
        games=[Game(config, environment=environment, rng=np.random.default_rng(1))],
        memory=None,
        network=player,
        num_actions=num_actions,
        rng=np.random.default_rng(1),
    )
