"""Snapshots: the network after an epoch, in the file format of Neon.

All forms of the original's files are read: Neon 1.2 to 2.6 (`model.config.layers`) and Neon 1.0 and
1.1 (`layer_params_states`). The form of Neon 2.6 is written, so that Neon's `Model.load_params` can
load what is trained here, with an additional key that Neon ignores: `simple_dqn` says what the
snapshot plays and how it was trained. (Source: neon/models/model.py.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomic import read_whole, write_atomically
from errors import UserError, shown
from paths import name_and_epoch
from schema import COUNT, FINITE, MAX_ACTIONS, MAX_EPOCHS, Value, record, sequence, texts
from snapshot.layers import SavedLayer, described, from_neon, from_neon_1_0, get, to_neon
from snapshot.pickle_writer import dumps
from snapshot.safe_pickle import MAX_BYTES, loads

TENSORS = "simple_dqn_tensors"  # the key of Snapshot.tensors, which Neon ignores


def _neon_cpu() -> dict[str, Any]:
    return {"type": "NervanaCPU", "compat_mode": "neon", "rng_seed": None}


def _sum_squared() -> dict[str, Any]:
    costfunc = described("transforms.cost.SumSquared")
    return described("layers.layer.GeneralizedCost", name="GeneralizedCost_0", costfunc=costfunc)


@dataclass
class Snapshot:
    """A network and how it was trained.

    `epoch` is the number of epochs trained. `info` contains plain values by name: str, numbers,
    None, lists and dicts of them. `train_input_shape` is (history, height, width), or () if the
    file does not say. `backend` and `cost` are Neon's descriptions of its backend and cost.
    """

    layers: list[SavedLayer]
    epoch: int
    info: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, NDArray[Any]] = field(default_factory=dict)
    train_input_shape: tuple[int, ...] = ()
    neon_version: str = "2.6.0"
    backend: dict[str, Any] = field(default_factory=_neon_cpu)
    cost: dict[str, Any] = field(default_factory=_sum_squared)

    @property
    def flags(self) -> dict[str, Any]:
        """The flags of its training, whose values are not checked; {} if the file has none."""
        flags = self.info.get("flags")
        return flags if isinstance(flags, dict) else {}

    @property
    def has_states(self) -> bool:
        """Whether the optimizer's states are in it; in `tensors` their names end in a number."""
        by_name = any(" " in name for name in self.tensors)
        return by_name or any(layer.states for layer in self.layers)


def read_snapshot(path: Path) -> Snapshot:
    """Read a snapshot of this program or of Neon 1.0 to 2.6. Nothing in it is ever executed.

    Weights may not be finite: callers check that.

    Raises:
        UserError: the file does not exist, is damaged or hostile, or has unknown layers.
    """
    try:
        if not path.is_file():
            raise UserError(f"There is no snapshot {path}; give the path of a .pkl file.")
        return _snapshot(loads(read_whole(path, MAX_BYTES)), path)
    except OSError as error:
        raise UserError(f"The snapshot {path} cannot be read: {error.strerror}.") from error
    except MemoryError:
        raise UserError(f"There is too little memory to read {path}: free some.") from None
    except (ValueError, OverflowError) as reason:
        raise UserError(
            f"{path} cannot be used as a snapshot: {reason}; give a .pkl file that was written by "
            "this program or by Neon."
        ) from None


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot atomically: if that fails, an older file stays.

    The same snapshot always gives the same bytes.

    Raises:
        OSError: it could not be written; no half-written file is left.
        UserError: it would be larger than `read_snapshot` allows.
    """
    data = dumps(
        {
            "neon_version": snapshot.neon_version,
            "backend": snapshot.backend,
            "cost": snapshot.cost,
            "model": described(
                "layers.container.Sequential", name="Sequential_0", layers=to_neon(snapshot.layers)
            )
            | {"container": True},
            "epoch_index": snapshot.epoch,
            "train_input_shape": snapshot.train_input_shape,
            "simple_dqn": snapshot.info,
        }
        | ({TENSORS: snapshot.tensors} if snapshot.tensors else {})
    )
    if len(data) > MAX_BYTES:
        raise UserError(
            f"The snapshot {path} would have {len(data) >> 20} MB, more than the limit of "
            f"{MAX_BYTES >> 20} MB: train a smaller network."
        )
    write_atomically(path, data)


# The entries of a snapshot's `info` that are used; each may be missing.
INFO = {
    "game": Value(kind=str, longest=200, optional=True),
    "rom_md5": Value(kind=str, longest=64, optional=True),
    "preset": Value(kind=str, optional=True),
    "total_train_steps": replace(COUNT, optional=True),
    "weight_updates": replace(COUNT, optional=True),
    "updates_since_reset": replace(COUNT, optional=True),
    "updates_since_drawn": replace(COUNT, optional=True),
    "training_score": replace(FINITE, optional=True),
    "score": replace(FINITE, optional=True),  # the same, in snapshots of earlier versions
}
ACTION = Value(kind=str, longest=64)


def _check_info(info: dict[str, Any]) -> None:
    """Raise UserError unless a snapshot's `info` matches the schema; its flags are checked where
    they are used."""
    record("its description", info, INFO)
    if "versions" in info:
        texts("its versions", info["versions"])
    if "actions" in info and len(sequence("its actions", info["actions"], ACTION)) > MAX_ACTIONS:
        raise UserError(f"its actions are more than {MAX_ACTIONS}.")


def game_of(path: Path, snapshot: Snapshot) -> str:
    """The game that a snapshot plays, by its `info` or by its file's name (space_invaders_200.pkl
    plays space_invaders). Raises UserError if the name could be a path."""
    game = snapshot.info.get("game")
    if game is None:
        return name_and_epoch(path)[0]
    if not isinstance(game, str) or not re.fullmatch(r"[\w.-]*\w", game):
        raise UserError(f"{path} plays {shown(game)}, which is not the name of a game.")
    return game


def _snapshot(content: Any, path: Path) -> Snapshot:
    epoch = get(content, "epoch_index", int)
    if not 0 <= epoch <= MAX_EPOCHS:
        raise ValueError(f"its epoch_index is {shown(epoch)}")
    if "simple_dqn" not in content:  # Neon counted its own fits: the original's files all say 1
        named = name_and_epoch(path)[1]
        epoch = named if named > 0 else epoch
    if "layer_params_states" in content:
        layers = from_neon_1_0(get(content, "layer_params_states", list))
    else:
        model = get(get(content, "model", dict), "config", dict)
        layers = from_neon(get(model, "layers", list))
    shape = get({"train_input_shape": ()} | content, "train_input_shape", (tuple, list))
    if len(shape) > 4 or not all(type(n) is int and 0 < n <= MAX_EPOCHS for n in shape):
        raise ValueError("its train_input_shape is not a shape")
    tensors = get({TENSORS: {}} | content, TENSORS, dict)
    if not all(isinstance(t, np.ndarray) and t.dtype == np.float32 for t in tensors.values()):
        raise ValueError("its tensors are not arrays of float32")
    _check_chain(layers, complete=not tensors)
    info = get({"simple_dqn": {}} | content, "simple_dqn", dict)
    try:
        _check_info(info)
    except UserError as error:
        raise ValueError(str(error).rstrip(".")) from None
    return Snapshot(
        layers,
        epoch,
        info=info,
        tensors=tensors,
        train_input_shape=tuple(shape),
        neon_version=get({"neon_version": "1.0"} | content, "neon_version", str),
        backend=get({"backend": _neon_cpu()} | content, "backend", dict),
        cost=get({"cost": _sum_squared()} | content, "cost", dict),
    )


def _check_chain(layers: list[SavedLayer], complete: bool) -> None:
    """Raise ValueError unless each layer fits the previous one and, if these are `complete`, the
    last one outputs Q-values."""
    outputs, is_flat = 0, False
    for layer in layers:
        match layer.kind:
            case "Convolution":
                fits = not is_flat and outputs in (0, layer.config["channels"])
                outputs = layer.config["filters"]
            case "Linear":
                # Neon's files do not say how many pixels the last convolution leaves
                fits = layer.config["inputs"] % (outputs or 1) == 0
                fits &= not is_flat or layer.config["inputs"] == outputs
                outputs, is_flat = layer.config["outputs"], True
            case "Activation":
                fits = outputs > 0
            case _:
                fits = all(len(array) == outputs for array in layer.params.values())
        if not fits:
            raise ValueError(f"its layer {layer.name} does not fit the one before it")
    if complete and not is_flat:
        raise ValueError("it has no linear layer for the values of the actions")
