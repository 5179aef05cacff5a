"""Divides a minibatch into parts, which threads compute side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from replay_memory import Minibatch
from targets import Batch

if TYPE_CHECKING:
    from deepqnetwork import DeepQNetwork


def divide(network: DeepQNetwork, minibatch: Minibatch) -> list[Batch]:
    """The parts of a minibatch on the network's device, with the random fractions that it needs.

    NB! On a GPU these copies wait until it is idle.
    """
    device, dtype = network.device, network.online.master_dtype
    screens = torch.as_tensor(minibatch.screens).to(device)
    if network.settings.overlap:  # NB! The replay memory's next sample overwrites this one's.
        screens = screens.clone()
    tensors = (
        screens[:, : minibatch.history],
        torch.from_numpy(minibatch.actions).to(device, torch.int64),
        torch.from_numpy(minibatch.returns).to(device, dtype),
        torch.from_numpy(minibatch.discounts).to(device, dtype),
        screens[:, -minibatch.history :],
        torch.from_numpy(minibatch.weights).to(device, dtype),
    )
    if draws := network.online.head.draws:
        taus = torch.rand((2, len(screens), draws), generator=network.random)
        tensors += tuple(taus.to(device, dtype))
    parts = zip(*(tensor.tensor_split(network.parts) for tensor in tensors), strict=True)
    return [Batch(*part) for part in parts]
