"""Numbers that vary between weight updates, like the step size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Numbers:
    """Plain numbers on a CPU. On a GPU tensors, which a CUDA graph reads anew in each update."""

    def __init__(self, like: Tensor) -> None:
        """For computing with tensors `like` this, on its device and in its precision."""
        self.like = like
        self.values: Sequence[Any] = ()
        self.tensor: Tensor | None = None  # (n,); `values` are its elements

    def set(self, *numbers: float) -> None:
        """The numbers of the next update; always as many."""
        if self.like.device.type == "cpu":
            self.values = numbers
            return
        given = torch.tensor(numbers, dtype=self.like.dtype)
        if self.tensor is None:
            self.tensor = given.to(self.like.device)
            self.values = self.tensor.unbind()
        self.tensor.copy_(given, non_blocking=True)
