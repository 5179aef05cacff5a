"""The distribution of returns that a network expects, for the agent's view."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from network import Network

Array = NDArray[np.float32]


@torch.inference_mode()
def returns_of(network: Network, states: Tensor) -> tuple[Array, Array] | None:
    """states (1, history, height, width) uint8 -> (returns, probabilities), each (num_actions, n).

    None if the network's head has no distribution.
    """
    found = network.head.returns(network(states))
    if found is None:
        return None
    values, probabilities = (x[0].to("cpu", torch.float32).numpy() for x in found)
    return values, probabilities
