"""Checks that a snapshot fits a network, in the same way for every engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config import NetworkSettings
from errors import UserError, shown
from snapshot.format import Snapshot
from snapshot.layers import SavedLayer

# Flags that describe the network, and when they apply.
DESCRIBING: dict[str, Callable[[NetworkSettings], bool]] = {
    "network": lambda s: ":" not in s.network,  # a file may have another name now
    "network_width": lambda s: True,
    "dueling": lambda s: True,
    "noisy": lambda s: True,
    "distribution": lambda s: True,
    "atoms": lambda s: s.atoms > 0 and s.distribution != "iqn",  # whose network has no atoms
    "value_min": lambda s: s.distribution == "c51",
    "value_max": lambda s: s.distribution == "c51",
    "normalization": lambda s: True,
    "padding": lambda s: True,
    "pixel_max": lambda s: True,
}


def check_same_network(path: Path, snapshot: Snapshot, settings: NetworkSettings) -> None:
    """Raise UserError if the flags in `snapshot`, the file `path`, describe another network."""
    for name, counts in DESCRIBING.items():
        theirs = snapshot.flags.get(name)
        ours = getattr(settings, name)
        if not isinstance(theirs, bool | int | float | str) or not counts(settings):
            continue
        if theirs != ours and (name, theirs) != ("atoms", 0):
            raise UserError(
                f"{path} was trained with --{name} {shown(theirs).strip(chr(39)).lower()}, not "
                f"{str(ours).lower()}: to use the snapshot as it is, remove --{name} or the "
                "--preset that sets it."
            )


def check_fit(path: Path, given: Sequence[SavedLayer], wanted: Sequence[SavedLayer]) -> None:
    """Raise UserError unless the layers `given` in `path` fit those `wanted` by the network.

    Both are without ReLUs, because not all forms of snapshots list them.
    """
    kinds = [layer.kind for layer in given], [layer.kind for layer in wanted]
    if kinds[0] != kinds[1]:
        raise UserError(
            f"{path} contains the layers {', '.join(kinds[0])} but this network has "
            f"{', '.join(kinds[1])}: check --batch_norm and --preset."
        )
    outputs = [layers[-1].params["W"].shape[0] for layers in (given, wanted)]
    if outputs[0] != outputs[1]:
        raise UserError(
            f"{path} has {outputs[0]} outputs for its game's actions but this game needs "
            f"{outputs[1]}: check the game and --minimal_action_set."
        )
    for theirs, mine in zip(given, wanted, strict=True):
        for name, array in theirs.params.items():
            if array.shape != mine.params[name].shape:
                raise UserError(
                    f"{theirs.name} in {path} has {name} of shape {array.shape}, this network "
                    f"{mine.params[name].shape}: check --screen_width, --screen_height and "
                    "--history_length."
                )
            if not np.isfinite(array).all():
                raise UserError(
                    f"The weights in {path} are not all finite: use an earlier snapshot."
                )
        # NB! A snapshot of 2015 says it here only; see DESCRIBING for others.
        if theirs.config.get("padding") != mine.config.get("padding"):
            raise UserError(f"{path} was trained with another padding: check --preset.")


def check_actions(path: Path, snapshot: Snapshot, names: Sequence[str]) -> None:
    """Raise UserError unless the snapshot was trained with the actions `names`, if it says so."""
    actions = snapshot.info.get("actions", names)
    if tuple(actions) != tuple(names):
        raise UserError(
            f"{path} was trained with the actions {', '.join(actions)} but the game has "
            f"{', '.join(names)}: check the game and --minimal_action_set."
        )


def check_q_values(
    path: Path, predict: Callable[[NDArray[np.uint8]], NDArray[np.float32]], s: NetworkSettings
) -> None:
    """Raise UserError if weights are so large that Q-values of white screens are not finite."""
    white = np.full((1, s.history_length, s.screen_height, s.screen_width), 255, np.uint8)
    if not np.isfinite(predict(white)).all():
        raise UserError(f"The Q-values of {path} are not finite: use an earlier snapshot.")
