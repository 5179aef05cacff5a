"""Update rules, as in the papers' code, and the optimizer that applies one.

A rule is given the gradient *summed* over the minibatch and multiplies it by `scale` (1 /
batch_size for the mean), as Neon's optimizers do. It works element by element, so that several
threads can each update a share of the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from config import NetworkSettings
from engine import compiled


def learning_rate(settings: NetworkSettings, updates: int) -> float:
    """The learning rate of weight update number `updates`, which may fall linearly with them."""
    done = min(updates / (settings.learning_rate_decay_updates or math.inf), 1.0)
    return settings.learning_rate + (settings.learning_rate_end - settings.learning_rate) * done


class Rule(Protocol):
    """How a gradient changes a parameter. States are tensors of its shape that start at zero."""

    num_states: int  # states for each parameter
    varies: bool  # whether `begin` changes what `step` does, which a CUDA graph cannot capture

    def begin(self, updates: int) -> None:
        """Weight update number `updates` (from 1) begins."""

    def step(self, w: Tensor, g: Tensor, *states: Tensor) -> None:
        """Change the parameter `w` and the states by the gradient `g`, in place."""


class RMSProp:
    """Neon's RMSProp: s = d s + (1 - d) g^2, w -= lr g / (sqrt(s + eps) + eps)."""

    num_states = 1

    def __init__(self, settings: NetworkSettings, scale: float, epsilon: float = 1e-6) -> None:
        """g is the summed gradient times `scale`."""
        self.settings, self.scale = settings, scale
        self.varies = settings.learning_rate_decay_updates > 0
        self.decay, self.epsilon = settings.decay_rate, epsilon
        self.rest = (1 - settings.decay_rate) * scale**2

    def begin(self, updates: int) -> None:
        """See Rule."""
        self.rate = learning_rate(self.settings, updates) * self.scale

    def step(self, w: Tensor, g: Tensor, *states: Tensor) -> None:
        """See Rule."""
        (s,) = states
        constants = (self.decay, self.rest, self.rate, self.epsilon)
        if compiled.run(compiled.rmsprop, [w, g, s], *constants):
            return
        s.mul_(self.decay).addcmul_(g, g, value=self.rest)
        w.addcdiv_(g, (s + self.epsilon).sqrt_().add_(self.epsilon), value=-self.rate)


class Optimizer:
    """A rule, the parameters that it changes, its states, and copies in lower precision."""

    def __init__(
        self,
        rule: Rule,
        parameters: Sequence[Tensor],
        *,
        copies: Sequence[Tensor] | None = None,
        shares: int = 1,
    ) -> None:
        """The parameters are divided into `shares` parts of about equal size.

        Each parameter is copied to the one of `copies` in its place, which may be itself.
        """
        self.rule = rule
        self.states = [[torch.zeros_like(w) for _ in range(rule.num_states)] for w in parameters]
        self.updates = 0  # weight updates done
        self.shares: list[list[int]] = [[] for _ in range(shares)]
        # NB! Rows of a parameter are views of it; small parameters are not worth dividing.
        self.rows: list[tuple[int, slice, list[Tensor], Tensor | None]] = []
        for n, (w, states) in enumerate(zip(parameters, self.states, strict=True)):
            copy = copies[n].detach() if copies else w
            pieces = shares if len(w) >= shares and w.numel() > 1 << 16 else 1
            for k in range(pieces):
                part = slice(len(w) * k // pieces, len(w) * (k + 1) // pieces)
                self.shares[k].append(len(self.rows))
                rows = [w[part], *(state[part] for state in states)]
                copied = copy.data_ptr() != w.data_ptr()
                self.rows.append((n, part, rows, copy[part] if copied else None))

    def begin(self) -> None:
        """Begin a weight update; `step` with every share completes it."""
        self.updates += 1
        self.rule.begin(self.updates)

    @torch.no_grad()
    def step(self, share: int, gradients: Sequence[Sequence[Tensor]]) -> None:
        """Update a share of the parameters by the sum, in order, of the `gradients` of all parts.

        Each is a list with a gradient for each parameter, perhaps in lower precision.
        """
        for row in self.shares[share]:
            n, part, (w, *states), copy = self.rows[row]
            g = gradients[0][n][part].to(w.dtype)
            for other in gradients[1:]:
                g = g.add_(other[n][part])
            self.rule.step(w, g, *states)
            if copy is not None:
                copy.copy_(w)
