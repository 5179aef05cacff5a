"""Targets against the papers' equations, one transition at a time in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deepqnetwork import DeepQNetwork
from engine.divide import divide
from tests.variants.small import ACTIONS, BATCH, draw_batch, make, numbers

Array = NDArray[np.float64]


def log_softmax(x: Array) -> Array:
    shifted = x - x.max()
    logs: Array = shifted - np.log(np.exp(shifted).sum())
    return logs


def prepared(**settings: Any) -> DeepQNetwork:
    """A network in float64 whose target network differs from it, and Q-values apart enough."""
    network = make(datatype="float64", update_parts=1, **settings)
    for t in range(3):
        network.train(draw_batch(t))
    return network


def parts_of(network: DeepQNetwork) -> tuple[Any, Array, Array, Array, Array, Array]:
    """A minibatch, and of each transition what the two networks say of it."""
    (batch,) = divide(network, draw_batch(9))
    with torch.no_grad():
        online = numbers(network.online.q_values(batch.next_states))
        target = numbers(network.target.q_values(batch.next_states))
        now = numbers(network.target.q_values(batch.states))
        outputs = numbers(network.target(batch.next_states, taus=batch.next_taus))
    y = numbers(network._compute_targets(batch))
    return batch, online, target, now, outputs, y


HEADS: list[dict[str, Any]] = [
    dict(distribution="none"),
    dict(distribution="quantile", atoms=5),
    dict(distribution="iqn", atoms=5),
    dict(distribution="c51", atoms=21, value_min=-2.0, value_max=2.0),
]


def backed_up(network: DeepQNetwork, batch: Any, n: int, outputs: Array) -> Array:
    """Bellman's equation of transition n."""
    r, gamma = float(batch.returns[n]), float(batch.discounts[n])
    if network.settings.distribution != "c51":
        moved: Array = r + gamma * outputs
        return moved
    head: Any = network.target.head  # whose projection test_heads.py has proved
    one = torch.tensor([r]), torch.tensor([gamma]), torch.from_numpy(outputs[None])
    projected: Array = numbers(head.backup(*(x.double() for x in one)))[0]
    return projected


@pytest.mark.parametrize("head", HEADS, ids=lambda head: str(head["distribution"]))
@pytest.mark.parametrize("double_q", [False, True])
def test_the_best_next_action_is_valued_by_the_target_network(
    head: dict[str, Any], double_q: bool
) -> None:
    network = prepared(double_q=double_q, **head)
    batch, online, target, _, outputs, y = parts_of(network)
    chosen = (online if double_q else target).argmax(axis=1)
    for n in range(BATCH):
        assert np.allclose(y[n], backed_up(network, batch, n, outputs[n, chosen[n]]), atol=1e-9)


def test_double_q_learning_chooses_otherwise_than_q_learning() -> None:
    """Or the test above would hold of both."""
    network = prepared(double_q=True, learning_rate=0.05)
    _, online, target, *_ = parts_of(network)
    assert (online.argmax(axis=1) != target.argmax(axis=1)).any()


@pytest.mark.parametrize("head", HEADS, ids=lambda head: str(head["distribution"]))
@pytest.mark.parametrize("double_q", [False, True])
def test_expected_sarsa_weighs_the_actions_by_an_epsilon_greedy_policy(
    head: dict[str, Any], double_q: bool
) -> None:
    network = prepared(double_q=double_q, target_exploration=0.3, learning_rate=0.05, **head)
    assert network.target_rule.reads_online == double_q
    batch, online, target, _, outputs, y = parts_of(network)
    assert (
        online.argmax(axis=1) != target.argmax(axis=1)
    ).any()  # so that it matters whose is best
    chosen = (online if double_q else target).argmax(axis=1)
    for n in range(BATCH):
        policy = np.full(ACTIONS, 0.3 / ACTIONS)
        policy[chosen[n]] += 0.7
        if head["distribution"] == "c51":  # outputs are logits
            of_each = [np.exp(log_softmax(outputs[n, a])) for a in range(ACTIONS)]
            mixed = np.log(sum(policy[a] * of_each[a] for a in range(ACTIONS)))
        else:
            mixed = sum(policy[a] * outputs[n, a] for a in range(ACTIONS))
        assert np.allclose(y[n], backed_up(network, batch, n, mixed), atol=1e-7)


@pytest.mark.parametrize("head", HEADS[:3], ids=lambda head: str(head["distribution"]))
def test_munchausen_is_equation_two(head: dict[str, Any]) -> None:
    alpha, tau, lowest = 0.9, 0.03, -1.0
    network = prepared(munchausen=True, **head)
    batch, _, target, now, outputs, y = parts_of(network)
    for n in range(BATCH):
        action, r, gamma = int(batch.actions[n]), float(batch.returns[n]), batch.discounts[n]
        bonus = tau * log_softmax(now[n] / tau)[action]
        log_policy = tau * log_softmax(target[n] / tau)
        policy = np.exp(log_policy / tau)
        soft = sum(policy[a] * (outputs[n, a] - log_policy[a]) for a in range(len(policy)))
        wanted = r + alpha * min(max(bonus, lowest), 0) + float(gamma) * np.asarray(soft)
        assert np.allclose(y[n], wanted, atol=1e-9)


def test_munchausens_bonus_is_clipped_from_below() -> None:
    network = prepared(munchausen=True)
    with torch.no_grad():
        last = network.target.masters["head.stream.output.weight"]
        last[0] -= 50 * last.abs().max()  # an action that the policy never takes
    network.target.refresh()
    (batch,) = divide(network, draw_batch(9, actions=np.zeros(BATCH, np.uint8)))
    batch = batch._replace(discounts=torch.zeros(BATCH).double())
    y = network._compute_targets(batch)
    assert torch.allclose(y, batch.returns - 0.9)


def test_iqn_chooses_by_the_expected_return_not_by_the_fractions_it_learns_at() -> None:
    network = prepared(distribution="iqn", atoms=1)  # one fraction is nobody's expectation
    (batch,) = divide(network, draw_batch(9))
    assert batch.next_taus is not None
    extreme = batch._replace(next_taus=torch.full_like(batch.next_taus, 0.999))
    with torch.no_grad():
        outputs, q = network.target.evaluate(extreme.next_states, extreme.next_taus)
        assert torch.equal(q, network.target.q_values(batch.next_states))
    chosen = outputs[:, :, 0].gather(1, q.argmax(dim=1)[:, None])[:, 0]
    y = network._compute_targets(extreme)
    assert torch.allclose(y[:, 0], extreme.returns + extreme.discounts * chosen)
