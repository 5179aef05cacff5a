"""How many weights a network has."""

from __future__ import annotations

from typing import Any

import torch

from config import NetworkSettings
from variants.heads import make_head
from variants.networks import make_features


def count_weights(settings: NetworkSettings, num_actions: int) -> int:
    """The weights of the network that `settings` describe, counted without making it."""
    with torch.device("meta"):  # tensors with a shape and no memory
        features: Any = make_features(settings, 0)
        head: Any = make_head(settings, features, num_actions)
    return sum(each.numel() for part in (features, head) for each in part.parameters())
