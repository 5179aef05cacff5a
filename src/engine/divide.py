"""Divides a minibatch into parts, which threads compute side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from engine.device import to_device
from engine.layer import Layer
from replay_memory import Minibatch
from targets import Batch

if TYPE_CHECKING:
    from deepqnetwork import DeepQNetwork


def needs_whole_minibatch(network: nn.Module) -> bool:
    """Whether in training a state's outputs depend on the rest of the minibatch, or on something
    that two threads would share: a random stream, or the buffers of somebody's own layers.
    """
    return any(
        isinstance(module, _BatchNorm | _DropoutNd | nn.RReLU)
        or getattr(module, "whole_minibatch", False)
        or getattr(module, "batch_normalized", False)
        or (name.startswith("features") and type(module) is not Layer and bool(module._buffers))
        for name, module in network.named_modules()
    )


def divide(network: DeepQNetwork, minibatch: Minibatch) -> list[Batch]:
    """The parts of a minibatch on the network's device, with the random fractions that it needs."""
    device, dtype = network.device, network.online.master_dtype
    screens = to_device(minibatch.screens, device)
    if network.settings.overlap:  # NB! The replay memory's next sample overwrites this one's.
        screens = screens.clone()
    # One copy to the device instead of four; float64 holds all of them exactly.
    numbers = np.stack(
        [minibatch.actions, minibatch.returns, minibatch.discounts, minibatch.weights],
        dtype=np.float64,
    )
    on_device = to_device(numbers, device)
    returns, discounts, weights = on_device[1:].to(dtype)
    tensors: tuple[Tensor, ...] = (
        screens[:, : minibatch.history],
        on_device[0].to(torch.int64),
        returns,
        discounts,
        screens[:, -minibatch.history :],
        weights,
    )
    if draws := network.online.head.draws:
        taus = torch.rand((2, len(screens), draws), generator=network.random)
        tensors += tuple(to_device(taus.to(dtype), device))
    parts = zip(*(tensor.tensor_split(network.num_parts) for tensor in tensors), strict=True)
    return [Batch(*part) for part in parts]
