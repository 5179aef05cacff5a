"""Networks of your own: a class in a file of yours, named path/to/my_network.py:MyNetwork."""

from __future__ import annotations

from typing import Any, cast

import torch

from config import NetworkSettings
from envs.custom import load_class
from errors import UserError, shown_traceback
from network import Features


def custom_features(settings: NetworkSettings) -> Features:
    """The layers up to the features that `--network my_network.py:MyNetwork` names.

    The class is called with the settings. It is a torch module with `block`, `hidden`, `in_order`
    and `image` as Features (network.py) has them; its forward pass is tried once.
    """
    made: Any = load_class(settings.network)
    with shown_traceback(settings.network):
        features: Any = made(settings)
        missing = [
            name
            for name in ("block", "hidden", "in_order", "image", "parameters")
            if not hasattr(features, name)
        ]
        if missing:
            raise UserError(
                f"{settings.network} lacks {', '.join(missing)}: see docs/your_own_network.md."
            )
        if features.block not in (1, 4):
            raise UserError(f"{settings.network} has block {features.block}: take 1 or 4.")
        channels = settings.history_length * features.block**2
        size = (settings.screen_height // features.block, settings.screen_width // features.block)
        with torch.no_grad():
            shape = tuple(features(torch.zeros(1, channels, *size)).shape[1:])
        if shape != tuple(features.image):
            raise UserError(f"{settings.network} gives {shape}, not its image {features.image}.")
    return cast(Features, features)
