"""The update rules as the papers' code has them, in place.

Each rule takes parameters and their gradients *summed* over the minibatch; `scale` turns the sum
into what the rule is meant to see (1/batch for a mean), as Neon's optimizers do. States start at
zero and are kept per parameter in Neon's order, which is the order of a snapshot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from engine import compiled as fused
from errors import UserError


class Optimizer(Protocol):
    """An update rule with its memory."""

    states: list[list[Tensor]]  # per parameter, tensors of its shape
    updates: int

    def step(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """Change the parameters in place."""


class RMSProp:
    """Neon's RMSProp: s = d s + (1 - d) g^2, w -= lr g / (sqrt(s + eps) + eps)."""

    def __init__(
        self,
        parameters: Sequence[Tensor],
        *,
        scale: float,
        learning_rate: float,
        decay_rate: float,
        epsilon: float = 1e-6,
    ) -> None:
        """Zero states for `parameters`."""
        self.scale, self.learning_rate, self.decay_rate = scale, learning_rate, decay_rate
        self.epsilon = epsilon
        self.states = [[torch.zeros_like(w)] for w in parameters]
        self.updates = 0

    @torch.no_grad()
    def step(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """One weight update; gradients may be of lower precision than the parameters."""
        self.updates += 1
        rest = (1 - self.decay_rate) * self.scale**2
        rate = self.learning_rate * self.scale
        for w, g, (s,) in zip(parameters, gradients, self.states, strict=True):
            g = g.to(w.dtype)
            if fused.run(fused.rmsprop, [w, g, s], self.decay_rate, rest, rate, self.epsilon):
                continue
            s.mul_(self.decay_rate).addcmul_(g, g, value=rest)
            w.addcdiv_(g, (s + self.epsilon).sqrt_().add_(self.epsilon), value=-rate)


class CenteredRMSProp:
    """DeepMind's: m = d m + (1 - d) g, s = d s + (1 - d) g^2, w -= lr g / sqrt(s - m^2 + eps)."""

    def __init__(
        self,
        parameters: Sequence[Tensor],
        *,
        scale: float,
        learning_rate: float,
        decay_rate: float,
        epsilon: float = 0.01,
    ) -> None:
        """Zero states for `parameters`."""
        self.scale, self.learning_rate, self.decay_rate = scale, learning_rate, decay_rate
        self.epsilon = epsilon
        self.states = [[torch.zeros_like(w), torch.zeros_like(w)] for w in parameters]
        self.updates = 0

    @torch.no_grad()
    def step(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """One weight update."""
        self.updates += 1
        decay, mean_rest = self.decay_rate, (1 - self.decay_rate) * self.scale
        rest, rate = mean_rest * self.scale, self.learning_rate * self.scale
        constants = (decay, rest, mean_rest, rate, self.epsilon)
        for w, g, (s, m) in zip(parameters, gradients, self.states, strict=True):
            g = g.to(w.dtype)
            if fused.run(fused.centered_rmsprop, [w, g, s, m], *constants):
                continue
            m.mul_(decay).add_(g, alpha=mean_rest)
            s.mul_(decay).addcmul_(g, g, value=rest)
            w.addcdiv_(g, (s + self.epsilon).addcmul_(m, m, value=-1).sqrt_(), value=-rate)


class Adam:
    """Neon's Adam: the bias correction is in the step size, epsilon outside the root."""

    def __init__(
        self,
        parameters: Sequence[Tensor],
        *,
        scale: float,
        learning_rate: float,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        """Zero states for `parameters`."""
        self.scale, self.learning_rate, self.epsilon = scale, learning_rate, epsilon
        self.beta_1, self.beta_2 = beta_1, beta_2
        self.states = [[torch.zeros_like(w), torch.zeros_like(w)] for w in parameters]
        self.updates = 0

    @torch.no_grad()
    def step(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """One weight update."""
        self.updates += 1
        correction = math.sqrt(1 - self.beta_2**self.updates) / (1 - self.beta_1**self.updates)
        for w, g, (m, v) in zip(parameters, gradients, self.states, strict=True):
            g = g.to(w.dtype)
            m.mul_(self.beta_1).add_(g, alpha=(1 - self.beta_1) * self.scale)
            v.mul_(self.beta_2).addcmul_(g, g, value=(1 - self.beta_2) * self.scale**2)
            w.addcdiv_(m, v.sqrt().add_(self.epsilon), value=-self.learning_rate * correction)


class Adadelta:
    """Neon's Adadelta; it has no learning rate."""

    def __init__(
        self,
        parameters: Sequence[Tensor],
        *,
        scale: float,
        decay_rate: float,
        epsilon: float = 1e-6,
    ) -> None:
        """Zero states for `parameters`."""
        self.scale, self.decay_rate, self.epsilon = scale, decay_rate, epsilon
        self.states = [[torch.zeros_like(w) for _ in range(3)] for w in parameters]
        self.updates = 0

    @torch.no_grad()
    def step(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """One weight update."""
        self.updates += 1
        rest = 1 - self.decay_rate
        for w, g, (square, moved, delta) in zip(parameters, gradients, self.states, strict=True):
            g = g.to(w.dtype) * self.scale
            square.mul_(self.decay_rate).addcmul_(g, g, value=rest)
            delta.copy_(((moved + self.epsilon) / (square + self.epsilon)).sqrt_().mul_(g))
            moved.mul_(self.decay_rate).addcmul_(delta, delta, value=rest)
            w.sub_(delta)


def make_optimizer(
    name: str,
    parameters: Sequence[Tensor],
    *,
    scale: float,
    learning_rate: float,
    decay_rate: float,
) -> Optimizer:
    """The rule called `name`: rmsprop, centered_rmsprop, adam or adadelta."""
    if name == "rmsprop":
        return RMSProp(parameters, scale=scale, learning_rate=learning_rate, decay_rate=decay_rate)
    if name == "centered_rmsprop":
        return CenteredRMSProp(
            parameters, scale=scale, learning_rate=learning_rate, decay_rate=decay_rate
        )
    if name == "adam":
        return Adam(parameters, scale=scale, learning_rate=learning_rate)
    if name == "adadelta":
        return Adadelta(parameters, scale=scale, decay_rate=decay_rate)
    raise UserError(f"There is no optimizer {name}: take rmsprop, adam or adadelta.")
