"""Where a network's weights are: one after another in one tensor and, in 16 bits, in two.

Then the optimizer changes masters in float32, and the modules' parameters, which the forward pass
reads, are copies of them in 16 bits, except those of the last layer and of normalization.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from engine.flat import Flat

# PyTorch's own, whose running statistics are in float32, too.
BATCH_NORMALIZATION = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
MASTER_DTYPES = {torch.float16: torch.float32, torch.bfloat16: torch.float32}  # others: the same


class Stored(NamedTuple):
    """The two sets of weights, in the order of the parameters."""

    weights: Flat  # the masters
    copies: Flat  # what the forward pass reads; `weights` itself unless it computes in 16 bits
    masters: dict[str, Tensor]  # the parts of `weights`, by the names of the parameters


def store(network: nn.Module, dtype: torch.dtype) -> Stored:
    """Put a network's parameters, which are in the masters' type, in their places."""
    parameters = dict(network.named_parameters())
    weights = Flat(list(parameters.values()))
    for parameter, part in zip(parameters.values(), weights.parts, strict=True):
        parameter.data = part.copy_(parameter.detach())
    masters = {name: parameter.detach() for name, parameter in parameters.items()}
    if dtype not in MASTER_DTYPES:
        return Stored(weights, weights, masters)
    copies = Flat(list(parameters.values()), dtype)
    for (name, parameter), part in zip(parameters.items(), copies.parts, strict=True):
        layer = network.get_submodule(name.rpartition(".")[0])
        exact = getattr(layer, "exact", False) or isinstance(layer, BATCH_NORMALIZATION)
        if not name.endswith(("gamma", "beta")) and not exact:
            parameter.data = part.copy_(parameter.detach())
    return Stored(weights, copies, masters)
