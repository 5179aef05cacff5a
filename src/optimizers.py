"""Update rules, as in the papers' code, and the optimizer that applies one.

A rule works element by element, so that several threads can each update a share of the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from config import NetworkSettings
from engine import compiled
from engine.flat import Flat
from engine.numbers import Numbers
from engine.pieces import cut, whole


def learning_rate(settings: NetworkSettings, updates: int) -> float:
    """The learning rate of weight update number `updates`, which may fall linearly with them."""
    done = min(updates / (settings.learning_rate_decay_updates or math.inf), 1.0)
    return settings.learning_rate + (settings.learning_rate_end - settings.learning_rate) * done


class Rule(Protocol):
    """How a gradient changes a parameter. States are tensors of its shape that start at zero."""

    num_states: int  # states for each parameter

    def numbers(self, updates: int, since_reset: int) -> tuple[float, ...]:
        """What varies between updates, like the step size: for update number `updates` (from 1),
        which is number `since_reset` since a reset."""

    def step(self, w: Tensor, g: Tensor, numbers: Sequence[Any], *states: Tensor) -> None:
        """Change the parameter `w` and the states by the gradient `g`, in place.

        `numbers` are tensors on a GPU: a CUDA graph would repeat the values of plain ones.
        """


class RMSProp:
    """Neon's RMSProp: s = d s + (1 - d) g^2, w -= lr g / (sqrt(s + eps) + eps)."""

    num_states = 1
    epsilon = 1e-6  # Neon's

    def __init__(self, settings: NetworkSettings) -> None:
        """With the learning rate and the decay of `settings`."""
        self.settings, self.decay = settings, settings.decay_rate

    def numbers(self, updates: int, since_reset: int) -> tuple[float]:
        """The learning rate."""
        return (learning_rate(self.settings, updates),)

    def step(self, w: Tensor, g: Tensor, numbers: Sequence[Any], *states: Tensor) -> None:
        """See Rule."""
        (rate,), (s,) = numbers, states
        constants = (self.decay, 1 - self.decay, rate, self.epsilon)
        if compiled.run(compiled.rmsprop, [w, g, s], *constants):
            return
        s.mul_(self.decay).addcmul_(g, g, value=1 - self.decay)
        w.sub_((g / (s + self.epsilon).sqrt_().add_(self.epsilon)).mul_(rate))


class Optimizer:
    """A rule, the weights that it changes, its states, and copies in lower precision."""

    def __init__(
        self,
        rule: Rule,
        weights: Flat,
        *,
        copies: Flat | None = None,
        shares: int = 1,
        loss_scale: float = 1.0,
        as_one: bool = False,
    ) -> None:
        """The parameters are divided into `shares` of about equal size. Or they are updated
        `as_one`, for a GPU, where a hundred small operations take longer than a dozen large ones.

        `copies` may be the `weights` themselves. Gradients are divided by `loss_scale`.
        """
        self.rule, self.loss_scale = rule, loss_scale
        self.numbers = Numbers(like=weights.whole)  # of the rule, for this update
        self.updates = 0  # weight updates done
        self.reset_at = 0  # `updates` when some states were zero; negative: in an earlier run
        self.drawn_at = 0  # `updates` when some weights were drawn at random
        states = [Flat(weights.parts) for _ in range(rule.num_states)]
        self.states = [[state.parts[n] for state in states] for n in range(len(weights.parts))]
        copies = None if copies is weights else copies
        flats = [weights, *states]
        self.gradient = Flat(weights.parts) if as_one else None
        self.shares = whole(flats, copies) if as_one else cut(flats, copies, shares)

    def begin(self) -> None:
        """Begin a weight update; `step` with every share completes it."""
        self.updates += 1
        self.numbers.set(*self.rule.numbers(self.updates, self.updates - self.reset_at))

    @torch.no_grad()
    def step(self, share: int, gradients: Sequence[Sequence[Tensor]]) -> None:
        """Update a share of the parameters by the sum, in order, of the `gradients` of all parts.

        Each is a list with a gradient for each parameter, perhaps in lower precision.
        """
        if self.gradient:
            (of_minibatch,) = gradients
            for part, g in zip(self.gradient.parts, of_minibatch, strict=True):
                part.copy_(g)
            gradients = [[self.gradient.whole]]
        for n, rows, (w, *states), copy in self.shares[share]:
            first, *others = (part[n][rows] for part in gradients)
            g = first.to(w.dtype)
            for other in others:
                # NB! Two parameters may have the same tensor as their gradient: leave it as it is.
                g = g + other if g is first else g.add_(other)
            g = g if self.loss_scale == 1 else g / self.loss_scale
            self.rule.step(w, g, self.numbers.values, *states)
            if copy is not None:
                copy.copy_(w)
