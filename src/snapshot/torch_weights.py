"""A network's weights and its optimizer's states as the layers of a snapshot, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.layer import Layer as Weights
from network import Network
from optimizers import Optimizer
from snapshot.compatibility import check_fit
from snapshot.format import Snapshot
from snapshot.layers import Layer, batch_norm, bias, convolution, linear, relu

Array = NDArray[np.float32]


def to_snapshot(
    network: Network, optimizer: Optimizer, state_shape: Sequence[int], epoch: int, info: Any
) -> Snapshot:
    """The network after `epoch`, with the states of an optimizer that has done something."""
    layers = layers_of(network, optimizer if optimizer.updates else None)
    return Snapshot(layers, epoch, info, tuple(state_shape))


def layers_of(network: Network, optimizer: Optimizer | None = None) -> list[Layer]:
    """The network as a snapshot has it, with the states of `optimizer`."""
    found = []
    states: dict[str, Sequence[Tensor]] = {}
    if optimizer:
        states = dict(zip(network.masters, optimizer.states, strict=True))
    numbers = {"Convolution": 0, "Linear": 0}
    for prefix, layer in network.layers().items():
        kind = "Convolution" if layer.size else "Linear"
        name = f"{kind}_{numbers[kind]}"
        numbers[kind] += 1

        def values(part: str, prefix: str = prefix, layer: Weights = layer) -> Array:
            return layer.unpack(part, network.masters[f"{prefix}.{part}"])

        def kept(*parts: str, prefix: str = prefix, layer: Weights = layer) -> list[Array]:
            return [
                layer.unpack(part, state)
                for part in parts
                for state in states.get(f"{prefix}.{part}", ())
            ]

        w, w_states = values("weight"), kept("weight")
        if layer.size:
            shape = dict(size=layer.size, stride=layer.stride, padding=layer.padding)
            found.append(convolution(name, w, **shape, states=w_states))
        else:
            found.append(linear(name, w, states=w_states))
        if hasattr(layer, "bias"):
            found.append(bias(f"{name}_bias", values("bias"), states=kept("bias")))
        if layer.normalized:
            found.append(
                batch_norm(
                    f"{name}_bnorm",
                    beta=values("beta"),
                    gamma=values("gamma"),
                    gmean=layer.unpack("mean", layer.mean),
                    gvar=layer.unpack("variance", layer.variance),
                    states=kept("beta", "gamma"),
                )
            )
        if layer.relu:
            found.append(relu(f"{name}_Rectlin"))
    return found


@torch.no_grad()
def from_snapshot(path: Path, snapshot: Snapshot, network: Network, optimizer: Optimizer) -> None:
    """Take over the network and, if they are of the same rule, the optimizer's states of `path`.

    Raises UserError if the snapshot does not fit.
    """
    given = [layer for layer in snapshot.layers if layer.kind != "Activation"]
    own = [layer for layer in layers_of(network) if layer.kind != "Activation"]
    check_fit(path, given, own)
    arrays: list[Array] = []
    states: list[list[Array]] = []
    for layer in given:
        names = ("beta", "gamma") if layer.kind == "BatchNorm" else ("W",)
        each = len(layer.states) // len(names)
        for n, name in enumerate(names):
            arrays.append(layer.params[name])
            states.append(layer.states[n * each : (n + 1) * each])
    fits = all(len(a) == len(b) for a, b in zip(states, optimizer.states, strict=True))
    for n, (key, master) in enumerate(network.masters.items()):
        prefix, _, name = key.rpartition(".")
        module = network.layers()[prefix]
        master.copy_(module.pack(name, arrays[n]))
        for m, mine in enumerate(optimizer.states[n] if fits else ()):
            mine.copy_(module.pack(name, states[n][m]))
    modules = [layer for layer in network.layers().values() if layer.normalized]
    normalized = [layer for layer in given if layer.kind == "BatchNorm"]
    for module, layer in zip(modules, normalized, strict=True):
        module.mean.copy_(module.pack("mean", layer.params["gmean"]))
        module.variance.copy_(module.pack("variance", layer.params["gvar"]))
    network.refresh()
    updates = snapshot.info.get("weight_updates", 0)
    optimizer.updates = max(updates, 0) if fits and type(updates) is int else 0
