"""The network of the paper as anybody would write it: the twin of what is made fast."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def naive_forward(
    arrays: dict[tuple[int, str], Tensor],
    screens: Tensor,
    padding: int = 0,
    running: dict[int, list[Tensor]] | None = None,
) -> Tensor:
    """Q-values as the paper describes them; with `running` (mean, variance) normalized by these,
    where it is empty by the batch's own, which are put into it."""
    x = screens.double() / 255
    for i, (size, stride) in enumerate(((8, 4), (4, 2), (3, 1), (0, 0), (0, 0))):
        w = arrays[i, "W"]
        if size:
            filters = w.t().reshape(w.shape[1], -1, size, size)
            x = F.conv2d(x, filters, stride=stride, padding=0 if i else padding)
        else:
            x = x.flatten(1) @ w.t()
        columns = (1, -1, 1, 1) if x.dim() == 4 else (1, -1)
        if (i, "bias") in arrays:
            x = x + arrays[i, "bias"].reshape(columns)
        if (i, "gamma") in arrays:
            assert running is not None
            axes = (0, 2, 3) if x.dim() == 4 else (0,)
            if i not in running:
                running[i] = [x.mean(axes), x.var(axes, correction=0)]
            mean, variance = (statistic.reshape(columns) for statistic in running[i])
            x = (x - mean) / torch.sqrt(variance + 1e-3)
            x = x * arrays[i, "gamma"].reshape(columns) + arrays[i, "beta"].reshape(columns)
        if i < 4:
            x = torch.clamp(x, min=0)
    return x


def relative_error(ours: Any, theirs: Any) -> float:
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())
