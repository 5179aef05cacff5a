"""Munchausen reinforcement learning (Vieillard et al. 2020, arXiv:2007.14430)."""

from __future__ import annotations

from torch import Tensor

from network import Network
from targets import Batch

SCALING = 0.9  # alpha, appendix B.1
TEMPERATURE = 0.03  # tau
LOWEST = -1.0  # l_0, at which tau log pi is clipped


def munchausen(online: Network, target: Network, batch: Batch) -> Tensor:
    """y = R_t + alpha [tau log pi(a_t|s_t)]_l0^0 + gamma^n sum_a pi(a|s_t+n) (Q(s_t+n, a) - tau log
    pi(a|s_t+n)), pi = softmax(Q_target / tau)   (equation 2; with quantiles, M-IQN's).
    """
    head = target.head
    bonus = tau_log_policy(target.q_values(batch.states)).gather(1, batch.actions[:, None])[:, 0]
    returns = batch.returns + SCALING * bonus.clamp(LOWEST, 0)
    outputs, q = target.evaluate(batch.next_states, batch.next_taus)  # (batch, num_actions, ...)
    tau_log_pi = tau_log_policy(q)
    policy = (tau_log_pi / TEMPERATURE).exp()
    soft = outputs - tau_log_pi.view(*tau_log_pi.shape, *[1] * (outputs.dim() - 2))
    return head.backup(returns, batch.discounts, head.mixture(soft, policy))


def tau_log_policy(q: Tensor) -> Tensor:
    """tau log pi(.|s), (batch, num_actions)."""
    return TEMPERATURE * (q / TEMPERATURE).log_softmax(dim=1)
