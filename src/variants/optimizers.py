"""Alternatives to RMSProp. The methods are as in optimizers.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor

from config import NetworkSettings
from engine import compiled
from optimizers import RMSProp, Rule, learning_rate


class CenteredRMSProp:
    """DeepMind's: m = d m + (1 - d) g, s = d s + (1 - d) g^2, w -= lr g / sqrt(s - m^2 + eps)."""

    num_states = 2
    epsilon = 0.01  # DeepMind's

    def __init__(self, settings: NetworkSettings) -> None:
        """With the learning rate and the decay of `settings`."""
        self.settings, self.decay = settings, settings.decay_rate

    def numbers(self, updates: int, since_reset: int) -> tuple[float]:
        """The learning rate."""
        return (learning_rate(self.settings, updates),)

    def step(self, w: Tensor, g: Tensor, numbers: Sequence[Any], *states: Tensor) -> None:
        """See Rule."""
        (rate,), (s, m) = numbers, states
        constants = (self.decay, 1 - self.decay, rate, self.epsilon)
        if compiled.run(compiled.centered_rmsprop, [w, g, s, m], *constants):
            return
        m.mul_(self.decay).add_(g, alpha=1 - self.decay)
        s.mul_(self.decay).addcmul_(g, g, value=1 - self.decay)
        w.sub_((g / (s + self.epsilon).addcmul_(m, m, value=-1).sqrt_()).mul_(rate))


class Adam:
    """Adam (Kingma and Ba 2015): m and v are means of g and g^2, w -= rate m / (sqrt(v) + eps).

    The bias correction sqrt(1 - b2^t) / (1 - b1^t) is part of the rate. With a constant epsilon
    this is Neon's Adam, the efficient form in section 2 of the paper. `corrected`, with epsilon
    times sqrt(1 - b2^t), is algorithm 1 of the paper and PyTorch's Adam.
    """

    num_states = 2

    def __init__(self, settings: NetworkSettings, corrected: bool = False) -> None:
        """Neon's, or PyTorch's if it is `corrected`."""
        self.settings = settings
        self.full_epsilon, self.corrected = settings.adam_epsilon, corrected
        self.beta_1, self.beta_2 = settings.adam_beta_1, settings.adam_beta_2

    def numbers(self, updates: int, since_reset: int) -> tuple[float, float]:
        """The step size and the epsilon.

        After a reset the bias is corrected from the start again, as some means are zero then. For
        parameters that were not reset, this makes some hundred steps smaller.
        """
        root = math.sqrt(1 - self.beta_2**since_reset)
        rate = learning_rate(self.settings, updates) * root / (1 - self.beta_1**since_reset)
        return rate, self.full_epsilon * (root if self.corrected else 1)

    def step(self, w: Tensor, g: Tensor, numbers: Sequence[Any], *states: Tensor) -> None:
        """See Rule."""
        (rate, epsilon), (m, v) = numbers, states
        first, second = 1 - self.beta_1, 1 - self.beta_2
        constants = (self.beta_1, first, self.beta_2, second, rate, epsilon)
        if compiled.run(compiled.adam, [w, g, m, v], *constants):
            return
        m.mul_(self.beta_1).add_(g, alpha=first)
        v.mul_(self.beta_2).addcmul_(g, g, value=second)
        w.sub_((m / v.sqrt().add_(epsilon)).mul_(rate))


class Adadelta:
    """Neon's Adadelta, which has no learning rate."""

    num_states = 3
    epsilon = 1e-6  # Neon's

    def __init__(self, settings: NetworkSettings) -> None:
        """With the decay of `settings`."""
        self.decay = settings.decay_rate

    def numbers(self, updates: int, since_reset: int) -> tuple[()]:
        """None."""
        return ()

    def step(self, w: Tensor, g: Tensor, numbers: Sequence[Any], *states: Tensor) -> None:
        """See Rule."""
        square, moved, delta = states
        square.mul_(self.decay).addcmul_(g, g, value=1 - self.decay)
        delta.copy_(((moved + self.epsilon) / (square + self.epsilon)).sqrt_().mul_(g))
        moved.mul_(self.decay).addcmul_(delta, delta, value=1 - self.decay)
        w.sub_(delta)


RULES: dict[str, Callable[[NetworkSettings], Rule]] = {
    "rmsprop": RMSProp,
    "centered_rmsprop": CenteredRMSProp,
    "adam": Adam,
    "adam_corrected": partial(Adam, corrected=True),
    "adadelta": Adadelta,
}


def make_rule(settings: NetworkSettings) -> Rule:
    """The rule that --optimizer names."""
    return RULES[settings.optimizer](settings)
