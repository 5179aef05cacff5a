"""An agent as an ONNX model, compared with the original network before it is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from api.agent import LoadedAgent
from api.environment import PlayedEnvironment
from atomic import write_atomically
from engine.export import onnx_model
from errors import UserError
from exchange.description import KEY, describe

CHECKED_STATES = 32  # of a game, and as many of random noise
TOLERANCE = 1e-5  # of the largest Q-value, or of 1 if that is smaller


def write_onnx(path: Path, agent: LoadedAgent, environment: PlayedEnvironment) -> float:
    """Write an agent; returns the largest difference between the Q-values of the two networks.

    Raises OSError, and UserError if the Q-values differ too much.
    """
    network: Any = agent.network
    model = onnx_model(network)
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(describe(agent, environment))
    data = model.SerializeToString()
    states = some_states(environment)
    ours, theirs = agent.network.predict(states), onnx_q_values(data, states)
    difference = float(np.abs(ours - theirs).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(ours).max())):
        raise UserError(
            f"The Q-values of the ONNX model differ by up to {difference:g} from the original "
            "ones, so it was not written: use --format safetensors."
        )
    write_atomically(path, data)
    return difference


def some_states(environment: PlayedEnvironment) -> NDArray[np.uint8]:
    """States of a game with random actions, and random noise."""
    rng = np.random.default_rng(1)
    played, over = [environment.reset(seed=1)[0]], False
    while len(played) < CHECKED_STATES:
        if over:
            played.append(environment.reset()[0])
        action = int(rng.integers(len(environment.action_names)))
        state, _, terminated, truncated, _ = environment.step(action)
        over = terminated or truncated
        played.append(state)
    noise = rng.integers(0, 256, (CHECKED_STATES, *played[0].shape), dtype=np.uint8)
    return np.concatenate([played[:CHECKED_STATES], noise])


def onnx_q_values(model: bytes, states: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The Q-values (N, num_actions) of states, computed by ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(["q_values"], {"states": states})[0]
    return found
