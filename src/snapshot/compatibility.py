"""Does a snapshot fit a network? The same answer for every engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from errors import UserError
from snapshot.layers import Layer


def check_fit(path: Path, given: Sequence[Layer], wanted: Sequence[Layer]) -> None:
    """Raise UserError unless the layers `given` in `path` can replace a network's, `wanted`.

    Both are without their ReLUs, as not every form of snapshot names them.
    """
    kinds = [layer.kind for layer in given], [layer.kind for layer in wanted]
    if kinds[0] != kinds[1]:
        raise UserError(
            f"{path} holds the layers {', '.join(kinds[0])} but this network has "
            f"{', '.join(kinds[1])}: check --batch_norm and --preset."
        )
    actions = [layers[-1].params["W"].shape[0] for layers in (given, wanted)]
    if actions[0] != actions[1]:
        raise UserError(
            f"{path} was trained with {actions[0]} actions but this game has {actions[1]}: "
            "check the game and --minimal_action_set."
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
                    f"The weights in {path} are not all finite: take an earlier snapshot."
                )
        if theirs.config.get("padding") != mine.config.get("padding"):
            raise UserError(f"{path} was trained with another padding: check --preset.")
