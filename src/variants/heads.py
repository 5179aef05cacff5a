"""Makes the head and the streams that the flags name."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from torch import nn

from config import NetworkSettings
from engine.layer import Layer
from heads import Head, QHead, Stream
from variants.c51 import ATOMS, C51Head
from variants.dueling import DuelingStreams
from variants.noisy import NoisyLayer
from variants.quantiles import IQN_SAMPLES, QUANTILES, IQNHead, QuantileHead


def make_head(settings: NetworkSettings, features: Any, num_actions: int) -> Head:
    """The head that --distribution, --dueling and --noisy name, after `features`."""
    kind = settings.distribution
    atoms = (
        settings.atoms or {"none": 1, "c51": ATOMS, "quantile": QUANTILES, "iqn": IQN_SAMPLES}[kind]
    )
    make = partial(
        Stream,
        settings,
        layer=NoisyLayer if settings.noisy else Layer,
        inputs=features.output_shape,
        hidden=features.hidden,
        size=atoms if kind in ("c51", "quantile") else 1,
    )
    stream: nn.Module = make(num_actions=num_actions)
    if settings.dueling:
        stream = DuelingStreams(lambda count: make(num_actions=count), num_actions)
    if kind == "c51":
        return C51Head(settings, stream, atoms)
    if kind == "quantile":
        return QuantileHead(settings, stream, atoms)
    if kind == "iqn":
        return IQNHead(settings, stream, math.prod(features.output_shape), atoms)
    return QHead(settings, stream)
