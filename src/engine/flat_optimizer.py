"""The optimizer for a GPU, where a hundred small operations take longer than a dozen large ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.flat import Flat
from network import Network
from optimizers import Optimizer, Rule


class FlatOptimizer(Optimizer):
    """Updates all parameters as one."""

    def __init__(self, rule: Rule, weights: Flat, *, copies: Flat, loss_scale: float = 1.0) -> None:
        """`copies` of `weights` in lower precision, or `weights` itself."""
        super().__init__(rule, weights.parts, loss_scale=loss_scale)
        self.weights, self.copies = weights, copies
        self.gradient = Flat(weights.parts)
        self.flat_states = [Flat(weights.parts) for _ in range(rule.num_states)]
        for n, states in enumerate(self.states):
            states[:] = [flat.parts[n] for flat in self.flat_states]

    @torch.no_grad()
    def step(self, share: int, gradients: Sequence[Sequence[Tensor]]) -> None:
        """See Optimizer; there is one share."""
        for part, *parts in zip(self.gradient.parts, *gradients, strict=True):
            part.copy_(parts[0])
            for other in parts[1:]:
                part.add_(other)
        g = self.gradient.whole
        g = g if self.loss_scale == 1 else g / self.loss_scale
        states = [flat.whole for flat in self.flat_states]
        self.rule.step(self.weights.whole, g, self.numbers.values, *states)
        if self.copies is not self.weights:
            self.copies.whole.copy_(self.weights.whole)


def make_optimizer(rule: Rule, network: Network, *, shares: int, loss_scale: float) -> Optimizer:
    """The optimizer of a network's weights, for its device; `shares` are for a CPU's threads."""
    weights, copies = network.weights, network.copies
    if weights.whole.is_cuda:
        return FlatOptimizer(rule, weights, copies=copies, loss_scale=loss_scale)
    parameters = list(network.parameters())
    return Optimizer(rule, weights.parts, copies=parameters, shares=shares, loss_scale=loss_scale)
