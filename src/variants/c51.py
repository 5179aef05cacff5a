"""C51: probabilities of fixed returns (Bellemare et al. 2017, arXiv:1707.06887)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from config import NetworkSettings
from heads import Error, Returns

ATOMS = 51  # section 5


class C51Head(nn.Module):
    """Outputs are logits of the returns z_i, evenly spaced from value_min to value_max."""

    draws = 0
    z: Tensor

    def __init__(self, settings: NetworkSettings, stream: nn.Module, atoms: int) -> None:
        """`stream` outputs `atoms` numbers for each action."""
        super().__init__()
        self.stream = stream
        self.low, self.high = settings.value_min, settings.value_max
        self.spacing = (self.high - self.low) / (atoms - 1)
        z = torch.linspace(self.low, self.high, atoms, dtype=torch.float64)
        self.register_buffer("z", z, persistent=False)

    def forward(self, features: Tensor, taus: Tensor | None = None) -> Tensor:
        """Logits (N, num_actions, atoms)."""
        logits: Tensor = self.stream(features)
        return logits

    def q_values(self, outputs: Tensor) -> Tensor:
        """Q(s, a) = sum over i of z_i p_i(s, a)."""
        return outputs.softmax(dim=-1) @ self.z

    def returns(self, outputs: Tensor) -> Returns:
        """The atoms and their probabilities."""
        p = outputs.softmax(dim=-1)
        return Returns(self.z.expand_as(p), p)

    def mixture(self, outputs: Tensor, policy: Tensor) -> Tensor:
        """Logits of the probabilities sum over a of pi(a|s) p_i(s, a), (batch, atoms)."""
        return (policy[:, :, None] * outputs.softmax(dim=-1)).sum(dim=1).log()

    def backup(self, returns: Tensor, discounts: Tensor, outputs: Tensor) -> Tensor:
        """The distribution of R + gamma^n Z, projected onto the atoms, (batch, atoms).

        Atom i gets sum over j of [1 - |T z_j - z_i| / spacing]_0^1 p_j   (equation 7).
        """
        moved = returns[:, None] + discounts[:, None] * self.z  # T z_j, (batch, atoms)
        moved = moved.clamp(self.low, self.high)
        distance = (moved[:, None, :] - self.z[:, None]).abs() / self.spacing  # (batch, i, j)
        shares = (1 - distance).clamp(min=0)
        return (shares @ outputs.softmax(dim=-1)[:, :, None])[:, :, 0]

    def error(self, outputs: Tensor, y: Tensor, taus: Tensor | None = None) -> Error:
        """The divergence KL(y || p); its gradient with respect to the logits is p - y."""
        log_p = outputs.log_softmax(dim=-1)
        divergence = (y.xlogy(y) - y * log_p).sum(dim=-1).clamp(min=0)  # rounded, it may be below
        return Error(log_p.exp() - y, divergence, divergence)
