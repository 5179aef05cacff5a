"""Quantiles of the returns: at fixed fractions (QR-DQN, Dabney et al. 2018, arXiv:1710.10044) or at
any fraction (IQN, arXiv:1806.06923)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from config import NetworkSettings
from engine.layer import Layer, flat
from heads import Error, Returns

QUANTILES = 200  # of QR-DQN, section 5
IQN_SAMPLES = 64  # N and N' of IQN, section 4
IQN_ACTING = 32  # K of IQN; not more than N
COSINES = 64  # n of IQN, equation 4


def midpoints(count: int) -> Tensor:
    """(2i + 1) / 2N: the midpoints of N equal parts of a distribution."""
    return (torch.arange(count, dtype=torch.float64) + 0.5) / count


class Quantiles(nn.Module):
    """What quantiles (N, num_actions, K) mean, whatever their fractions are."""

    def q_values(self, outputs: Tensor) -> Tensor:
        """The mean of the quantiles."""
        return outputs.mean(dim=-1)

    def returns(self, outputs: Tensor) -> Returns:
        """Each quantile stands for an equal part."""
        return Returns(outputs, torch.full_like(outputs, 1 / outputs.shape[-1]))

    def mixture(self, outputs: Tensor, policy: Tensor) -> Tensor:
        """The mean over actions, weighted by `policy`, of each quantile: (batch, K).

        As in M-IQN. The expected return is exact; the spread is less than that of the mixture.
        """
        return (policy[:, :, None] * outputs).sum(dim=1)

    def backup(self, returns: Tensor, discounts: Tensor, outputs: Tensor) -> Tensor:
        """The quantiles of R + gamma^n Z, (batch, K)."""
        return returns[:, None] + discounts[:, None] * outputs


class QuantileHead(Quantiles):
    """QR-DQN: outputs are the quantiles at the midpoints."""

    draws = 0
    fractions: Tensor

    def __init__(self, settings: NetworkSettings, stream: nn.Module, atoms: int) -> None:
        """`stream` gives `atoms` numbers for each action."""
        super().__init__()
        self.stream = stream
        self.kappa = settings.clip_error
        self.register_buffer("fractions", midpoints(atoms), persistent=False)

    def forward(self, features: Tensor, taus: Tensor | None = None) -> Tensor:
        """Quantiles (N, num_actions, atoms)."""
        quantiles: Tensor = self.stream(features)
        return quantiles

    def error(self, outputs: Tensor, y: Tensor, taus: Tensor | None = None) -> Error:
        """See `quantile_error`."""
        return quantile_error(outputs, y, self.fractions, self.kappa)


def quantile_error(outputs: Tensor, y: Tensor, fractions: Tensor, kappa: float) -> Error:
    """Quantile regression with Huber's loss, as in IQN: the sum over the quantiles i of the mean
    over the targets j of |tau_i - 1{y_j < theta_i}| L_kappa(y_j - theta_i) / kappa.

    `outputs` (batch, i), `y` (batch, j), `fractions` (i,) or (batch, i); kappa 0: |y_j - theta_i|
    instead of Huber's loss.
    """
    u = y[:, None, :] - outputs[:, :, None]  # (batch, i, j)
    slope = (fractions[..., None] - (u < 0).to(u.dtype)).abs()
    if kappa:
        clipped = u.clamp(-kappa, kappa)
        loss = clipped.abs() * (u.abs() - clipped.abs() / 2) / kappa
        gradient = clipped / kappa
    else:
        loss, gradient = u.abs(), u.sign()
    cost = (slope * loss).mean(dim=2).sum(dim=1)
    return Error(-(slope * gradient).mean(dim=2), cost, cost)


class IQNHead(Quantiles):
    """Outputs are the quantiles at the fractions `taus`, which differ between states.

    For acting, the midpoints of 32 parts, or of `atoms` if that is less, replace 32 random
    fractions, so that the same state always gives the same action.
    """

    angles: Tensor
    acting: Tensor

    def __init__(
        self, settings: NetworkSettings, stream: nn.Module, inputs: int, atoms: int
    ) -> None:
        """`stream` outputs a number for each action; a state has `inputs` features."""
        super().__init__()
        self.stream = stream
        self.draws = atoms
        self.embedding = Layer(settings, (COSINES,), inputs)
        self.kappa = settings.clip_error
        angles = math.pi * torch.arange(COSINES, dtype=torch.float64)
        self.register_buffer("angles", angles, persistent=False)
        self.register_buffer("acting", midpoints(min(atoms, IQN_ACTING)), persistent=False)

    def forward(self, features: Tensor, taus: Tensor | None = None) -> Tensor:
        """Quantiles (N, num_actions, K) at `taus` (N, K)."""
        x = flat(features)  # (N, F)
        taus = self.acting[None] if taus is None else taus  # the same for all states, or (N, K)
        cosines = (taus[:, :, None] * self.angles).cos()  # (1 or N, K, 64)
        weights = self.embedding(cosines.flatten(0, 1)).view(*taus.shape, -1)  # (1 or N, K, F)
        quantiles: Tensor = self.stream((x[:, None] * weights).flatten(0, 1))  # (N * K, A, 1)
        return quantiles.view(-1, taus.shape[1], quantiles.shape[1]).transpose(1, 2)

    def error(self, outputs: Tensor, y: Tensor, taus: Tensor | None = None) -> Error:
        """See `quantile_error`."""
        assert taus is not None
        return quantile_error(outputs, y, taus, self.kappa)
