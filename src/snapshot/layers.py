"""The layers of a network in a snapshot, converted to and from Neon's form.

Neon 1.2 to 2.6 writes a dict for each layer: its class (`type`), the class's arguments (`config`),
and for layers with weights `params` and the optimizer's `states`. Neon 1.0 and 1.1 wrote only
`params` and `states` of layers with weights. (Source: neon/layers/layer.py, Model.serialize.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errors import shown

Array = NDArray[np.float32]

# Filter size and stride of each convolution in the original's only network under Neon 1.0 and 1.1,
# whose files do not contain them; two linear layers follow.
NEON_1_0_CONVOLUTIONS = ((8, 4), (4, 2), (3, 1))
BATCH_NORM = {"rho": 0.9, "eps": 1e-3}  # Neon's defaults, which its files omit
MAX_SIZE = 256  # pixels of a filter, its stride or its padding: as many as a screen has
MAX_LAYERS = 1000


@dataclass
class SavedLayer:
    """One layer; its arrays are float32 and arranged as in Neon.

    kind         params                                 config
    Convolution  W (channels * size * size, filters)    size, channels, filters, stride, padding
    Linear       W (outputs, inputs)                    inputs, outputs
    Bias         W (outputs, 1)
    BatchNorm    beta, gamma, gmean, gvar (outputs, 1)  rho, eps
    Activation   (a ReLU)

    `states` are the optimizer's arrays, each with its parameter's shape: RMSProp's mean square;
    Adam's mean and mean square; Adadelta's mean square, mean squared step and last step. There are
    none before the first weight update. A BatchNorm has those of beta, then those of gamma.
    """

    kind: str
    name: str
    params: dict[str, Array] = field(default_factory=dict)
    states: list[Array] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)


def convolution(
    name: str, W: Array, *, size: int, stride: int, padding: int = 0, states: Sequence[Array] = ()
) -> SavedLayer:
    """A convolution of square filters, W (channels * size * size, filters)."""
    _check(name, [W], states)
    fits = 1 <= size <= MAX_SIZE and 1 <= stride <= MAX_SIZE and 0 <= padding <= MAX_SIZE
    if not fits or W.shape[0] % size**2:
        raise ValueError(
            f"its layer {name} has weights {W.shape} for {shown(size)}x{shown(size)} filters"
        )
    config = {"size": size, "channels": W.shape[0] // size**2, "filters": W.shape[1]}
    config |= {"stride": stride, "padding": padding}
    return SavedLayer("Convolution", name, {"W": W}, list(states), config)


def linear(name: str, W: Array, *, states: Sequence[Array] = ()) -> SavedLayer:
    """A fully connected layer, W (outputs, inputs)."""
    _check(name, [W], states)
    config = {"inputs": W.shape[1], "outputs": W.shape[0]}
    return SavedLayer("Linear", name, {"W": W}, list(states), config)


def bias(name: str, W: Array, *, states: Sequence[Array] = ()) -> SavedLayer:
    """Values that are added to the outputs of the previous layer, W (outputs, 1)."""
    _check(name, [W], states, columns=1)
    return SavedLayer("Bias", name, {"W": W}, list(states))


def batch_norm(
    name: str,
    *,
    beta: Array,
    gamma: Array,
    gmean: Array,
    gvar: Array,
    rho: float = BATCH_NORM["rho"],
    eps: float = BATCH_NORM["eps"],
    states: Sequence[Array] = (),
) -> SavedLayer:
    """(x - gmean) / sqrt(gvar + eps) * gamma + beta, each array (outputs, 1); at each weight update
    the running mean and variance keep a share of `rho`."""
    _check(name, [beta, gamma], states, columns=1)
    _check(name, [beta, gamma], [gmean, gvar])
    params = {"beta": beta, "gamma": gamma, "gmean": gmean, "gvar": gvar}
    return SavedLayer("BatchNorm", name, params, list(states), {"rho": rho, "eps": eps})


def relu(name: str) -> SavedLayer:
    """max(x, 0)."""
    return SavedLayer("Activation", name)


def to_neon(layers: Sequence[SavedLayer]) -> list[dict[str, Any]]:
    """The layers as Neon 2.6 writes them, with a bias after a convolution as part of that layer.

    Neon needs an initializer for each layer, although it then loads the weights: it is the
    original's.
    """
    xavier = "initializers.initializer.Xavier"
    zero = described("initializers.initializer.Constant")
    found: list[dict[str, Any]] = []
    for layer, following in zip_longest(layers, layers[1:]):
        entry = described(f"layers.layer.{layer.kind}", name=layer.name)
        config = entry["config"]
        if layer.params:
            entry |= {"params": layer.params, "states": layer.states}
        if following is not None and following.kind == "BatchNorm":
            config["bsum"] = True
        match layer.kind:
            case "Convolution":
                size, filters = layer.config["size"], layer.config["filters"]
                config |= {"fshape": (size, size, filters), "strides": layer.config["stride"]}
                config |= {"init": described(xavier), "parallelism": "Disabled"}
                if layer.config["padding"]:
                    config["padding"] = layer.config["padding"]
            case "Linear":
                config |= {"nout": layer.config["outputs"], "init": described(xavier, local=False)}
            case "Bias" if found and found[-1]["type"].endswith(".Convolution"):
                entry = found.pop()
                entry["type"] += "_bias"
                entry["config"]["bias"] = zero
                entry["params"] = {**entry["params"], "weight_bias": layer.params["W"]}
                entry["states"] = [entry["states"], layer.states]
            case "Bias":
                config["init"] = zero
            case "BatchNorm":
                half = len(layer.states) // 2
                entry["states"] = [layer.states[:half], layer.states[half:]]
                config |= {k: v for k, v in layer.config.items() if v != BATCH_NORM[k]}
            case "Activation":
                count = sum("transform" in before["config"] for before in found)
                name = f"Rectlin_{count}"
                config["transform"] = described("transforms.activation.Rectlin", name=name)
        found.append(entry)
    return found


def from_neon(entries: Sequence[Any]) -> list[SavedLayer]:
    """The layers that Neon 1.2 to 2.6 wrote. Raises ValueError if one is unknown."""
    _check_count(entries)
    found: list[SavedLayer] = []
    for entry in entries:
        kind = get(entry, "type", str).rpartition(".")[2]
        config = get(entry, "config", dict)
        name = get(config, "name", str)
        params = get({"params": {}} | entry, "params", dict)
        states = get({"states": []} | entry, "states", list)
        match kind:
            case "Convolution":
                found.append(convolution(name, params.get("W"), states=states, **_filters(config)))
            case "Convolution_bias":
                of_weights, of_bias = states if len(states) == 2 else ([], [])
                W, b = params.get("W"), params.get("weight_bias")
                found.append(convolution(name, W, states=of_weights, **_filters(config)))
                found.append(bias(f"{name}_bias", b, states=of_bias))
            case "Linear":
                found.append(linear(name, params.get("W"), states=states))
            case "Bias":
                found.append(bias(name, params.get("W"), states=states))
            case "BatchNorm":
                arrays = [params.get(key) for key in ("beta", "gamma", "gmean", "gvar")]
                found.append(_batch_norm(name, arrays, states, config))
            case "Activation":
                transform = get(config, "transform", dict)
                slope = get({"slope": 0} | get(transform, "config", dict), "slope", (int, float))
                if not get(transform, "type", str).endswith(".Rectlin") or slope != 0:
                    raise ValueError(f"its layer {name} is not a ReLU")
                found.append(relu(name))
            case _:
                raise ValueError(f"its layer {name} is of the unknown type {kind}")
    return found


def from_neon_1_0(entries: Sequence[Any]) -> list[SavedLayer]:
    """The layers of the original's network as Neon 1.0 and 1.1 wrote them, plus the ReLUs, which
    those files omit. Raises ValueError if it is another network."""
    _check_count(entries)
    found: list[SavedLayer] = []
    names: list[str] = []
    for entry in entries:
        params = get(entry, "params", (np.ndarray, dict, list))
        states = get({"states": []} | entry, "states", list)
        if isinstance(params, list) and names:
            found.append(_batch_norm(f"{names[-1]}_bnorm", params, states, {}))
            continue
        if names:
            found.append(relu(f"{names[-1]}_Rectlin"))
        W = get(params, "W", np.ndarray) if isinstance(params, dict) else params
        if len(names) < len(NEON_1_0_CONVOLUTIONS):
            size, stride = NEON_1_0_CONVOLUTIONS[len(names)]
            names.append(f"Convolution_{len(names)}")
            found.append(convolution(names[-1], W, size=size, stride=stride, states=states))
        else:
            names.append(f"Linear_{len(names) - len(NEON_1_0_CONVOLUTIONS)}")
            found.append(linear(names[-1], W, states=states))
    if len(names) != len(NEON_1_0_CONVOLUTIONS) + 2:
        raise ValueError(f"it has {len(names)} layers with weights where Neon 1.0's files have 5")
    return found


def _check_count(entries: Sequence[Any]) -> None:
    if len(entries) > MAX_LAYERS:
        raise ValueError(f"it has {len(entries)} layers")


def described(kind: str, **config: Any) -> dict[str, Any]:
    """An object as Neon describes it: its class and its arguments."""
    return {"type": f"neon.{kind}", "config": config}


def get(holder: Any, key: str, kind: type[Any] | tuple[type[Any], ...]) -> Any:
    """The value of a key in one of Neon's files. Raises ValueError if it is missing, of another
    kind, or a text that cannot be shown in one line."""
    value = holder.get(key) if isinstance(holder, dict) else None
    is_long = isinstance(value, str) and (len(value) > 100 or not value.isprintable())
    if not isinstance(value, kind) or is_long:
        raise ValueError(f"it has no {key} where Neon's files have one")
    return value


def _batch_norm(
    name: str, arrays: list[Any], states: list[Any], config: dict[str, Any]
) -> SavedLayer:
    if len(arrays) != 4 or not all(isinstance(part, list) for part in states):
        raise ValueError(f"its layer {name} has no beta, gamma, gmean and gvar with their states")
    beta, gamma, gmean, gvar = arrays
    flat = [state for part in states for state in part]
    numbers = {key: get(config, key, (float, int)) for key in BATCH_NORM.keys() & config.keys()}
    if not all(0 <= number <= 1 for number in numbers.values()):
        raise ValueError(f"its layer {name} has a rho or an eps that is not between 0 and 1")
    return batch_norm(name, beta=beta, gamma=gamma, gmean=gmean, gvar=gvar, states=flat, **numbers)


def _filters(config: dict[str, Any]) -> dict[str, int]:
    shape = get(config, "fshape", (tuple, list))
    if len(shape) != 3:
        raise ValueError("its convolutions are not of height, width and filters")
    if _both_ways("dilation", config.get("dilation", 1), default=1) != 1:
        raise ValueError("its convolutions are dilated")
    return {
        "size": _both_ways("fshape", {"R": shape[0], "S": shape[1]}, default=1),
        "stride": _both_ways("strides", config.get("strides", 1), default=1),
        "padding": _both_ways("padding", config.get("padding", 0), default=0),
    }


def _both_ways(key: str, value: object, *, default: int) -> int:
    """A value that Neon writes as one number, or as a dict with one number for each direction that
    differs from the default."""
    found = list(value.values()) if isinstance(value, dict) else [value]
    found += [default] if len(found) < 2 and isinstance(value, dict) else []
    numbers = {number for number in found if type(number) is int}
    if len(numbers) != 1 or not all(type(number) is int for number in found):
        raise ValueError(f"its {key} is not one number for height and width")
    return numbers.pop()


def _check(name: str, params: list[Array], others: Sequence[Any], columns: int = 0) -> None:
    """Raise ValueError unless all arrays of a layer are float32 matrices of the same shape."""
    for array in [*params, *others]:
        if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.ndim != 2:
            raise ValueError(f"its layer {name} has weights that are no float32 matrix")
        if array.size == 0 or array.shape != params[0].shape or len(others) % len(params):
            raise ValueError(f"its layer {name} has arrays that do not fit each other")
    if columns not in (0, params[0].shape[1]):
        raise ValueError(f"its layer {name} has weights of shape {params[0].shape}")
