"""Small networks and minibatches for the tests of the pieces."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from config import NetworkSettings
from deepqnetwork import DeepQNetwork
from replay_memory import Minibatch

ACTIONS, BATCH, SHAPE = 3, 6, (2, 36, 36)

# A network of every kind, alone and together.
KINDS: dict[str, dict[str, Any]] = {
    "dueling": dict(dueling=True),
    "noisy": dict(noisy=True),
    "c51": dict(distribution="c51"),
    "quantile": dict(distribution="quantile", atoms=11),
    "iqn": dict(distribution="iqn", atoms=5),
    "munchausen": dict(munchausen=True),
    "double": dict(double_q=True),
    "expected sarsa": dict(target_exploration=0.1, double_q=True, distribution="c51"),
    "nips": dict(network="nips"),
    "impala": dict(network="impala", network_width=0.25),
    "layer": dict(normalization="layer"),
    "spectral": dict(normalization="spectral"),
    "batch_norm": dict(batch_norm=True, dueling=True),
    "bytes": dict(pixel_max=255.0, network="nips", init="torch", bias=True),
    "rainbow": dict(dueling=True, noisy=True, distribution="c51", double_q=True, bias=True),
    "munchausen iqn": dict(distribution="iqn", atoms=5, munchausen=True, dueling=True, bias=True),
    "impala iqn": dict(
        network="impala", network_width=0.25, distribution="iqn", atoms=4, noisy=True, double_q=True
    ),
}


def make(seed: int = 1, num_actions: int = ACTIONS, **changed: Any) -> DeepQNetwork:
    defaults: dict[str, Any] = dict(
        history_length=SHAPE[0],
        screen_height=SHAPE[1],
        screen_width=SHAPE[2],
        batch_size=BATCH,
        network_width=0.25,
        learning_rate=0.001,
        optimizer="adam",
        backend="cpu",
        threads=1,
    )
    settings = NetworkSettings(**defaults | changed)
    return DeepQNetwork(settings, num_actions=num_actions, rng=np.random.default_rng(seed))


def draw_states(count: int = BATCH, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


def draw_batch(seed: int = 0, **fixed: Any) -> Minibatch:
    """Of states that some are the last before, of different importance."""
    rng = np.random.default_rng(seed)
    history, *size = SHAPE
    terminal = np.arange(BATCH) % 3 == seed % 3
    batch = Minibatch(
        screens=rng.integers(0, 256, (BATCH, history + 1, *size), dtype=np.uint8),
        actions=rng.integers(0, ACTIONS, BATCH).astype(np.uint8),
        returns=rng.uniform(-2, 2, BATCH).astype(np.float32),
        discounts=rng.uniform(0.5, 1, BATCH) * ~terminal,
        indices=rng.integers(0, 1000, BATCH),
        weights=rng.uniform(0.25, 1, BATCH).astype(np.float32),
        history=history,
        wants_errors=True,
    )
    return batch._replace(**fixed)


def numbers(tensor: torch.Tensor) -> NDArray[np.float64]:
    return tensor.detach().cpu().double().numpy()
