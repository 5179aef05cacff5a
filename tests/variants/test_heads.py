"""Heads against their papers: projections and losses written out, gradients by autograd."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from config import NetworkSettings
from heads import Head, QHead
from tests.variants.small import numbers
from variants.c51 import C51Head
from variants.dueling import DuelingStreams
from variants.quantiles import QuantileHead, quantile_error

Array = NDArray[np.float64]
RNG = np.random.default_rng(0)


class Through(nn.Module):
    """A stream that gives what it gets."""

    def forward(self, features: Tensor) -> Tensor:
        return features


def c51(atoms: int = 11, low: float = -2.0, high: float = 3.0) -> C51Head:
    settings = NetworkSettings(distribution="c51", value_min=low, value_max=high)
    return C51Head(settings, Through(), atoms).double()


def quantile(atoms: int = 7, **settings: Any) -> QuantileHead:
    return QuantileHead(NetworkSettings(**settings), Through(), atoms).double()


def naive_projection(z: Array, p: Array, r: float, gamma: float) -> Array:
    """Algorithm 1 of Bellemare et al. 2017, line by line."""
    low, high, delta = z[0], z[-1], z[1] - z[0]
    m = np.zeros(len(z))
    for j in range(len(z)):
        tz = min(max(r + gamma * z[j], low), high)
        b = (tz - low) / delta
        lower, upper = math.floor(b), math.ceil(b)
        if lower == upper:
            m[lower] += p[j]
        else:
            m[lower] += p[j] * (upper - b)
            m[upper] += p[j] * (b - lower)
    return m


@pytest.mark.parametrize("atoms", [2, 11, 51])
def test_the_projection_is_the_papers_algorithm(atoms: int) -> None:
    head = c51(atoms)
    returns = torch.tensor([0.0, 0.37, -5.0, 9.0, 1.0, 0.5], dtype=torch.float64)
    discounts = torch.tensor([0.99, 0.9, 0.99, 0.5, 0.0, 1.0], dtype=torch.float64)
    logits = torch.from_numpy(RNG.normal(size=(6, atoms)) * 3)
    found = numbers(head.backup(returns, discounts, logits))
    for n in range(6):
        p = numbers(logits[n].softmax(0))
        naive = naive_projection(numbers(head.z), p, float(returns[n]), float(discounts[n]))
        assert np.allclose(found[n], naive, atol=1e-12)
    assert np.allclose(found.sum(axis=1), 1)


def test_a_projection_keeps_the_mean_of_what_lies_in_the_range() -> None:
    head = c51(51, -10, 10)
    logits = torch.from_numpy(RNG.normal(size=(5, 51)))
    returns, discounts = torch.linspace(-0.5, 0.5, 5).double(), torch.full((5,), 0.9).double()
    means = head.q_values(logits)
    projected = head.backup(returns, discounts, logits) @ head.z
    assert torch.allclose(projected, returns + 0.9 * means)


def kl(outputs: Tensor, y: Tensor) -> Tensor:
    """Equation: sum over i of y_i log(y_i / p_i)."""
    p = outputs.exp() / outputs.exp().sum(dim=1, keepdim=True)
    return (y * (y / p).log()).sum(dim=1)


def huber(u: Tensor, kappa: float) -> Tensor:
    return torch.where(u.abs() <= kappa, u**2 / 2, kappa * (u.abs() - kappa / 2))


def quantile_loss(outputs: Tensor, y: Tensor, fractions: Tensor, kappa: float) -> Tensor:
    """Equation 10 of Dabney et al. 2018, in loops."""
    losses = []
    for n in range(len(outputs)):
        loss = torch.zeros((), dtype=torch.float64)
        for i, theta in enumerate(outputs[n]):
            tau = fractions[n, i]
            for target in y[n]:
                u = target - theta
                weight = (tau - float(u < 0)).abs()
                loss = loss + weight * (huber(u, kappa) / kappa if kappa else u.abs()) / len(y[n])
        losses.append(loss)
    return torch.stack(losses)


Loss = Callable[[Tensor, Tensor], Tensor]
CASES: dict[str, tuple[Head, tuple[int, ...], tuple[int, ...], Loss, Loss | None]] = {
    "clipped": (
        QHead(NetworkSettings(clip_error=0.5), Through()), (6,), (6,),
        lambda q, y: huber(q - y, 0.5), lambda q, y: (q - y) ** 2 / 2,
    ),
    "mse": (
        QHead(NetworkSettings(loss="mse"), Through()), (6,), (6,),
        lambda q, y: (q - y) ** 2 / 2, None,
    ),
    "c51": (c51(), (6, 11), (6, 11), kl, None),
    "quantile": (
        quantile(), (6, 7), (6, 7),
        lambda q, y: quantile_loss(q, y, ((torch.arange(7) + 0.5) / 7).expand(6, 7), 1.0), None,
    ),
    "quantile, kappa 0.3": (
        quantile(clip_error=0.3), (6, 7), (6, 9),
        lambda q, y: quantile_loss(q, y, ((torch.arange(7) + 0.5) / 7).expand(6, 7), 0.3), None,
    ),
    "quantile, kappa 0": (
        quantile(clip_error=0.0), (6, 7), (6, 7),
        lambda q, y: quantile_loss(q, y, ((torch.arange(7) + 0.5) / 7).expand(6, 7), 0.0), None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_errors_gradient_is_that_of_the_papers_loss(case: str) -> None:
    """`None`: the cost is the very loss whose gradient is taken."""
    head, shape, target_shape, loss, cost = CASES[case]
    rng = np.random.default_rng(1)
    outputs = torch.from_numpy(rng.normal(size=shape) * 2).requires_grad_()
    y = torch.from_numpy(rng.normal(size=target_shape) * 2)
    if case == "c51":
        y = y.softmax(dim=1)
    losses = loss(outputs, y)
    (wanted,) = torch.autograd.grad(losses.sum(), outputs)
    error = head.error(outputs.detach(), y)
    assert torch.allclose(error.gradient, wanted, atol=1e-12)
    assert torch.allclose(error.cost, cost(outputs, y) if cost else losses, atol=1e-12)


def test_fractions_may_be_each_states_own() -> None:
    rng = np.random.default_rng(2)
    outputs = torch.from_numpy(rng.normal(size=(4, 5))).requires_grad_()
    y, taus = torch.from_numpy(rng.normal(size=(4, 8))), torch.from_numpy(rng.random((4, 5)))
    losses = quantile_loss(outputs, y, taus, 1.0)
    (wanted,) = torch.autograd.grad(losses.sum(), outputs)
    error = quantile_error(outputs.detach(), y, taus, 1.0)
    assert torch.allclose(error.gradient, wanted, atol=1e-12)
    assert torch.allclose(error.cost, losses, atol=1e-12)


def test_atoms_that_a_target_rules_out_cost_nothing() -> None:
    y = torch.zeros(1, 11, dtype=torch.float64)
    y[0, 3] = 1
    error = c51().error(torch.zeros(1, 11, dtype=torch.float64), y)
    assert float(error.cost) == pytest.approx(math.log(11))
    assert float(error.gradient.sum()) == pytest.approx(0)


def test_a_priority_is_the_td_error_or_the_loss_of_a_distribution() -> None:
    q = QHead(NetworkSettings(clip_error=1.0), Through())
    outputs, y = torch.tensor([3.0, -2.0]), torch.tensor([0.0, 0.0])
    assert q.error(outputs, y).size.tolist() == [3, 2]  # not clipped
    head = c51()
    logits = torch.from_numpy(RNG.normal(size=(2, 11)))
    error = head.error(logits, logits.flip(1).softmax(1))
    assert torch.equal(error.size, error.cost)


def test_quantiles_of_a_return_are_moved_by_bellmans_equation() -> None:
    outputs = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    moved = quantile(2).backup(torch.tensor([1.0, 0.5]), torch.tensor([0.5, 0.0]), outputs)
    assert moved.tolist() == [[1.5, 2.0], [0.5, 0.5]]


@pytest.mark.parametrize("head", [c51(5, -1, 1), quantile(5)], ids=["c51", "quantile"])
def test_the_returns_of_a_head_have_the_mean_that_it_says(head: Head) -> None:
    outputs = torch.from_numpy(RNG.normal(size=(2, 3, 5)))
    returns = head.returns(outputs)
    assert returns
    assert returns.values.shape == returns.probabilities.shape == (2, 3, 5)
    assert torch.allclose(returns.probabilities.sum(dim=2), torch.ones(2, 3).double())
    means = (returns.values * returns.probabilities).sum(dim=2)
    assert torch.allclose(means, head.q_values(outputs))


@pytest.mark.parametrize("size", [1, 4])
def test_dueling_streams_are_equation_nine(size: int) -> None:
    weights: list[Tensor] = []

    def stream(count: int) -> nn.Module:
        linear = nn.Linear(7, count * size, bias=False).double()
        weights.append(linear.weight)
        return nn.Sequential(linear, nn.Unflatten(1, (count, size)))

    with torch.random.fork_rng():
        torch.manual_seed(1)
        streams = DuelingStreams(stream, 3)
    x = torch.from_numpy(RNG.normal(size=(4, 7)))
    found = numbers(streams(x))
    value, advantages = (numbers(w) for w in weights)
    for n, features in enumerate(numbers(x)):
        v = value @ features
        a = (advantages @ features).reshape(3, size)
        for action in range(3):
            assert np.allclose(found[n, action], v + a[action] - a.mean(axis=0))
