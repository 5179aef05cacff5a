"""Expected Sarsa: values for an agent that also takes random actions (van Seijen et al. 2009)."""

from __future__ import annotations

import torch
from torch import Tensor

from network import Network
from targets import Batch


class ExpectedSarsa:
    """y = R_t + gamma^n sum_a pi(a|s_t+n) Q_target(s_t+n, a).

    pi is epsilon-greedy: a random action with probability `epsilon`, else the best one, by the
    network with `double_q` and by the target network without. With epsilon 0 it is Q-learning.
    """

    def __init__(self, epsilon: float, double_q: bool) -> None:
        """`epsilon` is from 0 to 1."""
        self.epsilon, self.double_q = epsilon, double_q

    def __call__(self, online: Network, target: Network, batch: Batch) -> Tensor:
        """The target of each transition, (batch, ...)."""
        if self.double_q:
            q = online.q_values(batch.next_states)
            outputs = target(batch.next_states, taus=batch.next_taus)
        else:
            outputs, q = target.evaluate(batch.next_states, batch.next_taus)
        random = self.epsilon / q.shape[1]
        policy = torch.full_like(q, random, dtype=outputs.dtype)  # (batch, num_actions)
        policy.scatter_(1, q.argmax(dim=1, keepdim=True), 1 - self.epsilon + random)
        mixed = target.head.mixture(outputs, policy)
        return target.head.backup(batch.returns, batch.discounts, mixed)
