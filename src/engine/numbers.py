"""Numbers that vary between weight updates, like the step size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Numbers:
    """Plain numbers on a CPU. On a GPU tensors, which a CUDA graph reads anew in each update."""

    def __init__(self, like: Sequence[Tensor]) -> None:
        """For computing with tensors `like` these, on their device and in their precision."""
        self.like = like
        self.values: Sequence[Any] = ()
        self.tensor: Tensor | None = None  # (n,); `values` are its elements

    def set(self, *numbers: float) -> None:
        """The numbers of the next update; always as many."""
        if not self.like or self.like[0].device.type == "cpu":
            self.values = numbers
            return
        given = torch.tensor(numbers, dtype=self.like[0].dtype)
        if self.tensor is None:
            self.tensor = given.to(self.like[0].device)
            self.values = self.tensor.unbind()
        self.tensor.copy_(given, non_blocking=True)
