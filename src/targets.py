"""Targets: what the outputs of the actions taken should be.

A target is a pure function of two networks and a minibatch. `reads_online` says whether it depends
on the weights that are being learned. If so, the overlapped loop finishes the weight update in
flight before it computes the next targets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from network import Network


class Batch(NamedTuple):
    """A minibatch, or a part of one, on the device."""

    states: Tensor  # (batch, history, height, width) uint8
    actions: Tensor  # (batch,) int64
    returns: Tensor  # (batch,) R_t of replay_memory.py
    discounts: Tensor  # (batch,) gamma^n, or 0 after the end of an episode
    next_states: Tensor
    weights: Tensor  # (batch,) factors of each transition's gradient
    taus: Tensor | None = None  # (batch, head.draws) random fractions from 0 to 1, for the states
    next_taus: Tensor | None = None  # the same for the next states


class TargetRule(NamedTuple):
    """A rule for targets."""

    compute: Callable[[Network, Network, Batch], Tensor]  # (online, target, batch) -> y
    reads_online: bool


def q_learning(online: Network, target: Network, batch: Batch) -> Tensor:
    """y = R_t + gamma^n max_a Q_target(s_t+n, a)   (Mnih et al. 2015, algorithm 1)."""
    outputs, q = target.evaluate(batch.next_states, batch.next_taus)
    return target.head.backup(batch.returns, batch.discounts, taken(outputs, q.argmax(dim=1)))


def double_q_learning(online: Network, target: Network, batch: Batch) -> Tensor:
    """y = R_t + gamma^n Q_target(s_t+n, argmax_a Q(s_t+n, a))   (van Hasselt et al. 2016, eq. 4).

    The network chooses the action and the target network evaluates it, so that the errors that
    make an action look best do not also raise its value.
    """
    best = online.q_values(batch.next_states).argmax(dim=1)
    outputs = target(batch.next_states, taus=batch.next_taus)
    return target.head.backup(batch.returns, batch.discounts, taken(outputs, best))


def taken(outputs: Tensor, actions: Tensor) -> Tensor:
    """The outputs of one action each: (batch, num_actions, ...) to (batch, ...)."""
    index = actions.view(-1, *[1] * (outputs.dim() - 1)).expand(-1, 1, *outputs.shape[2:])
    return outputs.gather(1, index).squeeze(1)
