"""Dueling networks (Wang et al. 2016, arXiv:1511.06581)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class DuelingStreams(nn.Module):
    """Q(s, a) = V(s) + A(s, a) - mean over a' of A(s, a')   (equation 9).

    One stream for the value and one for the advantages, each with a hidden layer. For a
    distribution of returns the equation applies to each of its numbers (Hessel et al. 2018).
    """

    def __init__(self, stream: Callable[[int], nn.Module], num_actions: int) -> None:
        """`stream` makes a stream for the given number of actions."""
        super().__init__()
        self.value = stream(1)
        self.advantages = stream(num_actions)

    def forward(self, features: Tensor) -> Tensor:
        """(N, num_actions, size)."""
        value: Tensor = self.value(features)  # (N, 1, size)
        advantages: Tensor = self.advantages(features)  # (N, num_actions, size)
        return value + advantages - advantages.mean(dim=1, keepdim=True)
