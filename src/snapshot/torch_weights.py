"""A network's weights and its optimizer's states as the layers of a snapshot, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from network import Network
from optimizers import Optimizer
from snapshot.compatibility import check_fit
from snapshot.layers import Layer, batch_norm, bias, convolution, linear, relu

Array = NDArray[np.float32]


def layers_of(model: Network, optimizer: Optimizer, *, keep_states: bool) -> list[Layer]:
    """The network as a snapshot has it, with the optimizer's states if they are to be kept."""
    found = []
    tensors = dict(zip(model.names, model.masters, strict=True))
    states = dict(zip(model.names, optimizer.states, strict=True))
    numbers = {"convolution": 0, "linear": 0}

    def kept(i: int, *names: str) -> list[Array]:
        return [model.unpack(i, n, s) for n in names for s in states[i, n] if keep_states]

    for i, layer in enumerate(model.layers):
        name = f"{layer.kind.title()}_{numbers[layer.kind]}"
        numbers[layer.kind] += 1
        w, w_states = model.unpack(i, "W", tensors[i, "W"]), kept(i, "W")
        if layer.kind == "convolution":
            size, stride, padding = layer.size, layer.stride, layer.padding
            found.append(
                convolution(name, w, size=size, stride=stride, padding=padding, states=w_states)
            )
        else:
            found.append(linear(name, w, states=w_states))
        if model.bias:
            b = model.unpack(i, "bias", tensors[i, "bias"])
            found.append(bias(f"{name}_bias", b, states=kept(i, "bias")))
        if i in model.running:
            mean, variance = model.running[i]
            found.append(
                batch_norm(
                    f"{name}_bnorm",
                    beta=model.unpack(i, "beta", tensors[i, "beta"]),
                    gamma=model.unpack(i, "gamma", tensors[i, "gamma"]),
                    gmean=model.unpack(i, "gmean", mean),
                    gvar=model.unpack(i, "gvar", variance),
                    states=kept(i, "beta", "gamma"),
                )
            )
        if layer.relu:
            found.append(relu(f"{name}_Rectlin"))
    return found


@torch.no_grad()
def load_layers(path: Path, layers: Sequence[Layer], model: Network, optimizer: Optimizer) -> bool:
    """Take over the layers of the snapshot `path`; whether they had states of this optimizer.

    The network's lower-precision copies are not refreshed. Raises UserError if it does not fit.
    """
    given = [layer for layer in layers if layer.kind != "Activation"]
    own = layers_of(model, optimizer, keep_states=False)
    check_fit(path, given, [layer for layer in own if layer.kind != "Activation"])
    arrays: list[Array] = []
    states: list[list[Array]] = []
    for layer in given:
        names = ("beta", "gamma") if layer.kind == "BatchNorm" else ("W",)
        each = len(layer.states) // len(names)
        for n, name in enumerate(names):
            arrays.append(layer.params[name])
            states.append(layer.states[n * each : (n + 1) * each])
    fits = all(len(a) == len(b) for a, b in zip(states, optimizer.states, strict=True))
    for n, (i, name) in enumerate(model.names):
        model.masters[n].copy_(model.pack(i, name, arrays[n]))
        for m, mine in enumerate(optimizer.states[n] if fits else ()):
            mine.copy_(model.pack(i, name, states[n][m]))
    normalized = [layer for layer in given if layer.kind == "BatchNorm"]
    for i, layer in zip(model.running, normalized, strict=True):
        for statistic, name in zip(model.running[i], ("gmean", "gvar"), strict=True):
            statistic.copy_(model.pack(i, name, layer.params[name]))
    return fits
