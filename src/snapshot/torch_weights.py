"""Converts a network's weights and its optimizer's states to and from the layers of a snapshot."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from config import NetworkSettings
from engine.layer import Layer
from errors import UserError, shown
from network import Network
from optimizers import Optimizer
from snapshot.compatibility import check_fit
from snapshot.format import Snapshot
from snapshot.layers import SavedLayer, batch_norm, bias, convolution, linear, relu

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]


def to_snapshot(
    network: Network, optimizer: Optimizer, state_shape: Sequence[int], epoch: int, info: Any
) -> Snapshot:
    """The network after `epoch`, with the optimizer's states if there were updates.

    Those of an earlier run, whose states this one has loaded, count as well.
    """
    done = optimizer if optimizer.updates or optimizer.reset_at else None
    tensors = {} if is_chain(network) else tensors_of(network, done)
    layers = layers_of(network, done)
    if optimizer.reset_at or optimizer.drawn_at:
        info = info | {
            "updates_since_reset": optimizer.updates - optimizer.reset_at,
            "updates_since_drawn": optimizer.updates - optimizer.drawn_at,
        }
    return Snapshot(layers, epoch, info, tensors, tuple(state_shape))


def is_chain(network: Network) -> bool:
    """Whether Neon's form can hold the network: a plain sequence of layers that it knows."""
    layers = network.layers()
    head = [name for name in layers if name.startswith("head.")]
    in_order = network.features.in_order and head == ["head.stream.hidden", "head.stream.output"]
    known = not any(x.layer_normalized or x.spectral for x in layers.values())
    complete = all(name.rpartition(".")[0] in layers for name in network.masters)
    return in_order and known and complete


def tensors_of(network: Network, optimizer: Optimizer | None = None) -> dict[str, Array]:
    """Weights, running statistics and the states of `optimizer` by name: `head.hidden.weight`, and
    `head.hidden.weight 0` for its first state. Layers' tensors are arranged as in a snapshot."""
    layers, found = network.layers(), {}
    for n, (name, master) in enumerate(network.masters.items()):
        prefix, _, part = name.rpartition(".")
        states = optimizer.states[n] if optimizer else []
        for key, tensor in [(name, master), *((f"{name} {k}", s) for k, s in enumerate(states))]:
            if prefix in layers:
                found[key] = layers[prefix].unpack(part, tensor)
            else:
                found[key] = tensor.detach().to("cpu", torch.float32).numpy().copy()
    for name, buffer in network.statistics().items():
        found[name] = buffer.to("cpu", torch.float32).numpy().copy()
    return found


def load_tensors(path: Path, snapshot: Snapshot, network: Network, optimizer: Optimizer) -> bool:
    """Load `snapshot.tensors`. Returns whether the optimizer's states were among them.

    Raises UserError if they do not fit.
    """
    given, own = snapshot.tensors, tensors_of(network, optimizer)
    states = {name for name in own if " " in name}
    missing = [name for name in own if name not in states and name not in given]
    surplus = [name for name in given if name not in own and " " not in name]
    if missing or surplus:
        difference = (
            f"has no {missing[0]}, which this network has"
            if missing
            else f"has {shown(surplus[0])}, which this network does not have"
        )
        raise UserError(
            f"{path} {difference}: check --network, --dueling, --noisy, --distribution, "
            "--normalization, --batch_norm and --bias."
        )
    for name, array in own.items():
        if name in given and given[name].shape != array.shape:
            raise UserError(
                f"{name} in {path} has the shape {given[name].shape}, this network's "
                f"{array.shape}: check the game, --network, --atoms and the screen's size."
            )
        if name in given and name not in states and not np.isfinite(given[name]).all():
            raise UserError(f"The weights in {path} are not all finite: use an earlier snapshot.")
    fits = states <= given.keys() and states == {name for name in given if " " in name}
    fits = fits and _are_finite(path, (given[name] for name in states))
    layers = network.layers()
    for n, (name, master) in enumerate(network.masters.items()):
        prefix, _, part = name.rpartition(".")
        mine = [(name, master)]
        if fits:
            mine += [(f"{name} {k}", state) for k, state in enumerate(optimizer.states[n])]
        for key, tensor in mine:
            packed = layers[prefix].pack(part, given[key]) if prefix in layers else given[key]
            tensor.copy_(torch.as_tensor(packed))
    for name, buffer in network.statistics().items():
        buffer.copy_(torch.as_tensor(given[name]))
    return fits


def layers_of(network: Network, optimizer: Optimizer | None = None) -> list[SavedLayer]:
    """The layers in Neon's form, with the states of `optimizer`. Of a network that this form cannot
    hold, only the convolutions, if they are a plain sequence."""
    chain = is_chain(network)
    normalized = any(layer.layer_normalized for layer in network.layers().values())
    if not chain and (normalized or not network.features.in_order):
        return []
    found = []
    states: dict[str, Sequence[Tensor]] = {}
    if optimizer:
        states = dict(zip(network.masters, optimizer.states, strict=True))
    numbers = {"Convolution": 0, "Linear": 0}
    for prefix, layer in network.layers().items():
        if not chain and not (prefix.startswith("features") and layer.size):
            break
        kind = "Convolution" if layer.size else "Linear"
        name = f"{kind}_{numbers[kind]}"
        numbers[kind] += 1

        def values(part: str, prefix: str = prefix, layer: Layer = layer) -> Array:
            return layer.unpack(part, network.masters[f"{prefix}.{part}"])

        def kept(*parts: str, prefix: str = prefix, layer: Layer = layer) -> list[Array]:
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
        if layer.batch_normalized:
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


def layers_from_0_to_1(network: Network) -> list[SavedLayer]:
    """The layers as they are for screens from 0 to 1, whatever --pixel_max is."""
    layers = layers_of(network)
    if layers and network.pixel_max != 1:
        layers[0].params["W"] = layers[0].params["W"] * np.float32(network.pixel_max)
    return layers


@torch.no_grad()
def from_snapshot(
    path: Path,
    snapshot: Snapshot,
    network: Network,
    optimizer: Optimizer,
    settings: NetworkSettings,
    *,
    new_run: bool = False,
) -> None:
    """Load the network of `path` and, if they are of the same rule, the optimizer's states.

    A `new_run` counts updates from 0, and its average of weights begins like one of new weights.
    Raises UserError if the snapshot does not fit.
    """
    if not is_chain(network) or snapshot.tensors:
        fits = load_tensors(path, snapshot, network, optimizer)
    else:
        fits = _load_layers(path, snapshot, network, optimizer)
    network.refresh()
    rule = settings.optimizer
    theirs = snapshot.flags.get("optimizer", rule)
    updates = _count(snapshot.info, "weight_updates", 0)
    since_reset = _count(snapshot.info, "updates_since_reset", updates)
    since_drawn = _count(snapshot.info, "updates_since_drawn", since_reset)
    if not fits or not _same_states(theirs, rule):
        since_reset = 0
        for state in itertools.chain.from_iterable(optimizer.states):
            state.zero_()
    optimizer.updates = 0 if new_run else updates
    optimizer.reset_at = optimizer.updates - since_reset
    optimizer.drawn_at = 0 if new_run else updates - since_drawn


def _are_finite(path: Path, states: Iterable[Array]) -> bool:
    """Whether the optimizer's states are numbers; if not, they begin anew."""
    if all(np.isfinite(state).all() for state in states):
        return True
    logger.warning("The optimizer's averages in %s are not all finite: they begin anew.", path)
    return False


def _count(info: dict[str, Any], name: str, default: int) -> int:
    value = info.get(name, default)
    return max(value, 0) if type(value) is int else default


def _same_states(rule: object, other: str) -> bool:
    """Whether two rules have the same states; both forms of Adam do."""
    return rule == other or {rule, other} == {"adam", "adam_corrected"}


def _load_layers(path: Path, snapshot: Snapshot, network: Network, optimizer: Optimizer) -> bool:
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
    fits = fits and _are_finite(path, itertools.chain.from_iterable(states))
    for n, (key, master) in enumerate(network.masters.items()):
        prefix, _, name = key.rpartition(".")
        module = network.layers()[prefix]
        master.copy_(module.pack(name, arrays[n]))
        for m, mine in enumerate(optimizer.states[n] if fits else ()):
            mine.copy_(module.pack(name, states[n][m]))
    modules = [layer for layer in network.layers().values() if layer.batch_normalized]
    normalized = [layer for layer in given if layer.kind == "BatchNorm"]
    for module, layer in zip(modules, normalized, strict=True):
        module.mean.copy_(module.pack("mean", layer.params["gmean"]))
        module.variance.copy_(module.pack("variance", layer.params["gvar"]))
    return fits
