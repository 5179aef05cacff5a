"""Heads: what comes after the features, and how outputs become Q-values, targets and errors.

A head is a module that turns features (N, F) into outputs (N, num_actions, ...). The one here
outputs one number for each action. Heads that output a distribution of returns are in variants/.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from config import NetworkSettings
from engine.layer import Layer


class Error(NamedTuple):
    """How wrong the outputs of the actions taken were."""

    gradient: Tensor  # of the loss, by these outputs: (batch, ...)
    cost: Tensor  # (batch,) the loss itself
    size: Tensor  # (batch,) |delta|, or a distribution's loss: the priority for prioritized replay


class Returns(NamedTuple):
    """The distribution of each action's return: possible values and their probabilities."""

    values: Tensor  # (N, num_actions, n)
    probabilities: Tensor  # likewise


class Head(Protocol):
    """Computes outputs from features, Q-values and targets from outputs, and the error."""

    draws: int  # the number of random fractions `taus` that the outputs of a state need; may be 0

    def __call__(self, features: Tensor, taus: Tensor | None = None) -> Tensor:
        """Outputs (N, num_actions, ...) of features (N, channels, height, width) or (N, F)."""

    def q_values(self, outputs: Tensor) -> Tensor:
        """The expected return of each action, (N, num_actions)."""

    def returns(self, outputs: Tensor) -> Returns | None:
        """The distribution of each action's return, if the outputs describe one."""

    def mixture(self, outputs: Tensor, policy: Tensor) -> Tensor:
        """The outputs (batch, ...) of an action drawn from `policy` (batch, num_actions)."""

    def backup(self, returns: Tensor, discounts: Tensor, outputs: Tensor) -> Tensor:
        """The target R + gamma^n Z, (batch, ...), for outputs Z (batch, ...) of one action each."""

    def error(self, outputs: Tensor, y: Tensor, taus: Tensor | None = None) -> Error:
        """The error of the outputs of the actions taken, (batch, ...), given the targets `y`."""


class Stream(nn.Module):
    """A hidden layer and an output layer of `size` numbers for each action."""

    def __init__(
        self,
        settings: NetworkSettings,
        *,
        inputs: tuple[int, ...],
        hidden: int,
        num_actions: int,
        size: int = 1,
        layer: Callable[..., nn.Module] = Layer,
    ) -> None:
        """`inputs` is the shape of a state's features: (channels, height, width) or (features,)."""
        super().__init__()
        self.shape = (num_actions, size)
        # "The final hidden layer is fully-connected and consists of 512 rectifier units."
        self.hidden = layer(settings, inputs, hidden, spectral=True)
        # "The output layer is a fully-connected linear layer with a single output for each valid
        # action."
        self.output = layer(settings, (hidden,), num_actions * size, relu=False, exact=True)

    def forward(self, features: Tensor) -> Tensor:
        """(N, num_actions, size)."""
        x: Tensor = self.output(self.hidden(features))
        return x.view(-1, *self.shape)


class QHead(nn.Module):
    """A Q-value for each action (Mnih et al. 2015)."""

    draws = 0

    def __init__(self, settings: NetworkSettings, stream: nn.Module) -> None:
        """`stream` outputs one number for each action, (N, num_actions, 1)."""
        super().__init__()
        self.clip_error = 0.0 if settings.loss == "mse" else settings.clip_error
        self.stream = stream

    def forward(self, features: Tensor, taus: Tensor | None = None) -> Tensor:
        """Q(s, .), (N, num_actions)."""
        q: Tensor = self.stream(features)
        return q.squeeze(2)

    def q_values(self, outputs: Tensor) -> Tensor:
        """The outputs are the Q-values."""
        return outputs

    def returns(self, outputs: Tensor) -> None:
        """None: only the expected return is known."""

    def mixture(self, outputs: Tensor, policy: Tensor) -> Tensor:
        """sum over a of pi(a|s) Q(s, a), (batch,)."""
        return (policy * outputs).sum(dim=1)

    def backup(self, returns: Tensor, discounts: Tensor, outputs: Tensor) -> Tensor:
        """y = R + gamma^n Q, (batch,)."""
        return returns + discounts * outputs

    def error(self, outputs: Tensor, y: Tensor, taus: Tensor | None = None) -> Error:
        """The TD error Q - y. The gradient is clipped, the cost is not."""
        delta = outputs - y
        gradient = delta
        if self.clip_error:
            gradient = delta.clamp(-self.clip_error, self.clip_error)
        return Error(gradient, delta.square() / 2, delta.abs())
