"""Q-values of states, as arrays."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from engine.cuda_graph import Captured
from engine.device import to_device
from network import Network


class Predictor:
    """Computes Q-values with a network. On a GPU those of up to `count` states are a CUDA graph,
    which starts a prediction's many small kernels at once.
    """

    def __init__(self, network: Network, state_shape: tuple[int, ...], count: int) -> None:
        """States are (n, *state_shape); `count` is how many the agent asks for at most."""
        self.network, self.state_shape = network, state_shape
        self.device = network.weights.whole.device
        self.padded = np.zeros((count, *state_shape), np.uint8)
        self.captured = Captured(network.q_values) if self.device.type == "cuda" else None

    def __call__(self, states: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Q-values (n, num_actions) of `states`, uint8. Raises ValueError."""
        if states.shape[1:] != self.state_shape or states.dtype != np.uint8:
            shape = ", ".join(map(str, self.state_shape))
            raise ValueError(f"states are (N, {shape}) uint8, not {states.shape} {states.dtype}")
        n = len(states)
        with torch.inference_mode():
            if self.captured and n <= len(self.padded):
                self.padded[:n] = states  # NB! A graph's tensors always have the same shape.
                q = self.captured(to_device(self.padded, self.device))[:n]
            else:
                q = self.network.q_values(to_device(np.ascontiguousarray(states), self.device))
            values: NDArray[np.float32] = q.to("cpu", torch.float32).numpy()
            return values
