"""Noisy layers against explicit noisy weights; for whom noise is drawn, and when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from config import NetworkSettings
from tests.toys import Clock, FakeNetwork, make_agent, make_memory
from tests.variants.small import draw_batch, draw_states, make
from variants.noisy import NoisyLayer


def layer(outputs: int = 4, bias: bool = True) -> NoisyLayer:
    made = NoisyLayer(NetworkSettings(bias=bias), (9,), outputs, relu=False).double()
    rng = np.random.default_rng(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(size=parameter.shape)))
    return made


@pytest.mark.parametrize("bias", [False, True])
def test_a_noisy_layer_is_one_of_noisy_weights(bias: bool) -> None:
    """Equations 9 to 11: w = mu + sigma * (f(e_out) f(e_in)^T), b = mu_b + sigma_b * f(e_out)."""
    made = layer(bias=bias)
    made.draw_noise(torch.Generator().manual_seed(3))
    noise = torch.outer(made.noise_out, made.noise_in)
    w = made.mean.weight + made.deviation.weight * noise
    x = torch.from_numpy(np.random.default_rng(2).normal(size=(5, 9)))
    wanted = x @ w.t()
    if bias:
        wanted = wanted + made.mean.bias + made.deviation.bias * made.noise_out
    assert torch.allclose(made(x), wanted)
    parameters = list(made.parameters())
    ours = torch.autograd.grad(made(x).square().sum(), parameters)
    theirs = torch.autograd.grad(wanted.square().sum(), parameters)
    assert all(torch.allclose(a, b) for a, b in zip(ours, theirs, strict=True))


def test_noise_is_signed_roots_of_gaussians() -> None:
    made = NoisyLayer(NetworkSettings(), (20_000,), 2)
    made.draw_noise(torch.Generator().manual_seed(1))
    e = made.noise_in
    gaussian = e.sign() * e.square()
    assert abs(float(gaussian.mean())) < 0.03
    assert abs(float(gaussian.std()) - 1) < 0.03
    assert float((gaussian.abs() < 0.6745).double().mean()) == pytest.approx(0.5, abs=0.02)
    made.draw_noise(None)
    assert not made.noise_in.any()
    assert not made.noise_out.any()


def test_new_deviations_are_half_over_the_root_of_the_inputs() -> None:
    network = make(noisy=True, bias=True)
    deviation = network.online.masters["head.stream.hidden.deviation.weight"]
    inputs = deviation.shape[1]
    assert torch.allclose(deviation, torch.full_like(deviation, 0.5 / inputs**0.5))
    bias = network.online.masters["head.stream.hidden.deviation.bias"]
    assert torch.allclose(bias, torch.full_like(bias, 0.5 / inputs**0.5))


def test_every_action_in_training_has_noise_of_its_own_and_none_when_nothing_is_learned() -> None:
    network, states = make(noisy=True), draw_states()
    noisy = [network.predict(states, training=True) for _ in range(3)]
    assert not np.array_equal(noisy[0], noisy[1])
    assert not np.array_equal(noisy[1], noisy[2])
    plain = network.predict(states)
    assert np.array_equal(plain, network.predict(states))
    means = [np.abs(q - plain).max() for q in noisy]
    assert min(means) > 0


def test_online_and_target_network_learn_with_noise_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = make(noisy=True)
    seen: list[tuple[torch.Tensor, ...]] = []
    compute = network.target_rule.compute

    def noted(online: Any, target: Any, batch: Any) -> torch.Tensor:
        seen.append(tuple(n.head.stream.hidden.noise_in.clone() for n in (online, target)))
        return compute(online, target, batch)

    network.target_rule = network.target_rule._replace(compute=noted)
    for t in range(2):
        network.train(draw_batch(t))
    # The parts of a minibatch share a network's noise; networks and minibatches do not.
    (one, other), (same, _), (later, _), _ = seen
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(one, later)
    assert one.any()
    assert other.any()


def test_the_overlapped_loops_acting_changes_no_noise_of_the_update_in_flight() -> None:
    """The agent acts by the target network, whose noise the targets computed already had."""
    results = []
    for acts in (False, True):
        network = make(noisy=True, overlap=True, threads=2)
        network.train(draw_batch(0))
        generator = network.random.get_state()
        if acts:
            for _ in range(5):
                network.predict(draw_states(), training=True)
        network.random.set_state(generator)
        network.train(draw_batch(1))
        results.append(network.predict(draw_states()))
    assert np.array_equal(results[0], results[1])


def test_noisy_layers_learn_how_much_noise_they_have() -> None:
    network = make(noisy=True)
    name = "head.stream.hidden.deviation.weight"
    before = network.online.masters[name].clone()
    network.train(draw_batch())
    assert not torch.equal(before, network.online.masters[name])


def test_noise_explores_when_a_loaded_policy_fills_the_replay_memory() -> None:
    seen: list[bool] = []

    class Noted(FakeNetwork):
        def predict(self, states: NDArray[np.uint8], training: bool = False) -> NDArray[np.float32]:
            seen.append(training)
            return super().predict(states)

    agent, _ = make_agent(Clock(), network=Noted(), memory=make_memory(), noisy=True)
    assert agent.exploration_rate() == 0
    agent.fill_memory(3, exploration=0.0)
    assert seen == [True] * 3
    agent.test(2)
    assert seen[3:] == [False] * 2
