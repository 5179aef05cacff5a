"""Tensors that lie one after another in a single one, so that one operation changes all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

ALIGNMENT = 64  # numbers: each tensor begins where kernels read fastest


class Flat:
    """One tensor of zeros, `whole`, and its `parts`, which are views of it."""

    def __init__(self, like: Sequence[Tensor], dtype: torch.dtype | None = None) -> None:
        """Parts like the tensors: of their shapes and, if they are dense, memory orders."""
        offsets, size = [], 0
        for tensor in like:
            offsets.append(size)
            size += -(-tensor.numel() // ALIGNMENT) * ALIGNMENT
        device = like[0].device
        self.whole = torch.zeros(size, dtype=dtype or like[0].dtype, device=device)
        self.parts = [
            self.whole.as_strided(tensor.shape, torch.empty_like(tensor).stride(), offset)
            for tensor, offset in zip(like, offsets, strict=True)
        ]
