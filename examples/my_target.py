"""A target of your own: docs/your_own_network.md walks through it."""

import math

from torch import Tensor

from network import Network
from targets import Batch

OMEGA = 5.0  # the larger it is, the closer the result is to the maximum


def mellowmax(online: Network, target: Network, batch: Batch) -> Tensor:
    """y = R_t + gamma^n log(mean over a of exp(omega Q_target(s_t+n, a))) / omega.

    (Asadi and Littman 2017, "An Alternative Softmax Operator for Reinforcement Learning",
    arXiv:1612.05628)
    """
    q = target.q_values(batch.next_states)  # (batch, num_actions)
    soft = ((OMEGA * q).logsumexp(dim=1) - math.log(q.shape[1])) / OMEGA
    return batch.returns + batch.discounts * soft


mellowmax.reads_online = False  # type: ignore[attr-defined]
