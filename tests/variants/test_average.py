"""The average of the weights: against a slow twin; who uses it; that training does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from commands.combinations import check_together
from config import Config
from deepqnetwork import DeepQNetwork
from errors import UserError
from snapshot.format import read_snapshot
from tests.variants.small import draw_batch, draw_states, make, numbers
from variants.average import average_rate, follow

Weights = dict[str, NDArray[np.float64]]
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "16 bits": dict(datatype="bfloat16", bias=True),
    "64 bits": dict(datatype="float64"),
    "statistics": dict(batch_norm=True, dueling=True),
    "spectral": dict(normalization="spectral"),
    "noisy": dict(noisy=True, distribution="c51"),
    "overlapped": dict(overlap=True),
}


def learn(network: DeepQNetwork, updates: int, start: int = 0) -> None:
    for n in range(start, start + updates):
        network.train(draw_batch(seed=n))
    network.wait()


def weights(model: Any) -> Weights:
    found = {name: numbers(each).copy() for name, each in model.masters.items()}
    return found | {name: numbers(each).copy() for name, each in model.statistics().items()}


def rate_of_one_update(network: DeepQNetwork) -> float:
    """How far the average follows the weights after one more weight update."""
    before = network.average.weights.whole.double()
    learn(network, 1)
    moved = network.average.weights.whole - before
    distance = network.online.weights.whole - before
    return float((moved * distance).sum() / distance.square().sum())


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decay", [0.3, 0.8])
def test_it_is_a_moving_average_of_all_weights(kind: str, decay: float) -> None:
    network = make(average_decay=decay, **KINDS[kind])
    expected = weights(network.online)
    for n in range(40):
        learn(network, 1, start=n)
        rate = max(1 - decay, 10 / (10 + n + 1))
        newest = weights(network.online)
        expected = {k: (1 - rate) * expected[k] + rate * newest[k] for k in expected}
    found = weights(network.average)
    assert found.keys() == expected.keys()
    for name in expected:
        if not name.endswith(("left", "right")):
            assert np.allclose(found[name], expected[name], rtol=1e-4, atol=1e-6), name
    assert not same(found, weights(network.online))


def test_its_spectral_norm_is_that_of_its_own_weights() -> None:
    network = make(average_decay=0.9, normalization="spectral")
    learn(network, 40)
    for name, layer in network.average.spectral:
        weight = network.average.masters[f"{name}.weight"]
        norm = float(torch.linalg.svdvals(weight)[0])
        assert float(layer.left @ (weight @ layer.right)) == pytest.approx(norm, rel=0.01)
        assert float(layer.left.norm()) == pytest.approx(1)


@pytest.mark.parametrize("datatype", ["float32", "bfloat16"])
def test_weights_that_two_layers_share_are_averaged_once(datatype: str) -> None:
    network = make(average_decay=0.3, datatype=datatype)
    for model in (network.online, network.average):
        features: Any = model.features
        features.again = features.second
    learn(network, 1)
    before = network.average.weights.whole.clone()
    learn(network, 1, start=1)
    expected = before.lerp(network.online.weights.whole, average_rate(0.3, 2))
    assert torch.allclose(network.average.weights.whole, expected, rtol=1e-5, atol=1e-7)


def test_at_first_it_is_of_about_the_last_tenth_of_the_updates() -> None:
    """Of weights that are the number of the update, the mean age is about a tenth of it."""
    network = make(average_decay=0.9999)
    for n in range(1, 2001):
        network.online.masters["features.first.weight"].fill_(n)
        follow(network.average, network.online, average_rate(0.9999, n))
    mean = float(network.average.masters["features.first.weight"].mean())
    assert 2000 - mean == pytest.approx(2000 / 11, rel=0.05)


@pytest.mark.parametrize("decay", [0.3, 0.999, 0.9999, 0.99998, 1.0])
def test_following_every_kth_update_gives_the_same_average(decay: float) -> None:
    average = expected = 0.0
    for n in range(1, 100_001):
        expected += max(1 - decay, 10 / (10 + n)) * (n - expected)
        if rate := average_rate(decay, n):
            assert rate > 0.0005
            average += rate * (n - average)
    assert 100_000 - average == pytest.approx(100_000 - expected, rel=0.01)


def test_weights_that_move_little_are_followed() -> None:
    """A thousandth of a weight times a rate of 0.00002 would be lost in float32."""
    network = make(average_decay=0.99998)
    ones = network.average.weights.whole.fill_(1)
    network.online.weights.whole.fill_(1.001)
    for n in range(500_001, 550_001):
        if rate := average_rate(0.99998, n):
            follow(network.average, network.online, rate)
    assert float(ones.mean()) - 1 == pytest.approx(0.001 * (1 - np.exp(-1)), rel=0.02)


def test_it_follows_every_kth_update_of_a_run() -> None:
    network = make(average_decay=0.9999)
    network.optimizer.drawn_at = -199_995
    assert [rate_of_one_update(network) for _ in range(8)] == pytest.approx(
        [0, 0, 0, 0, 0.001, 0, 0, 0], rel=0.01
    )


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_in_training_depends_on_it(kind: str) -> None:
    plain, averaged = (make(average_decay=d, **KINDS[kind]) for d in (0.0, 0.9))
    for n in range(3):
        for network in (plain, averaged):
            learn(network, 4, start=4 * n)
            network.update_target_network()
        one, other = (x.predict(draw_states(), training=True) for x in (plain, averaged))
        assert np.array_equal(one, other)
    assert same(weights(plain.online), weights(averaged.online))
    assert same(weights(plain.target), weights(averaged.target))
    assert plain.read_cost() == averaged.read_cost()


def test_tests_play_with_it_and_snapshots_keep_it(tmp_path: Path) -> None:
    network = make(average_decay=0.9, bias=True, distribution="c51")
    learn(network, 20)
    path = tmp_path / "pong_1.pkl"
    network.save_weights(path, epoch=1, info={"weight_updates": 20})
    loaded = make(seed=2, bias=True, distribution="c51")
    loaded.load_weights(path)
    assert same(weights(loaded.online), weights(network.average))
    states = draw_states()
    q = network.predict(states)
    assert np.array_equal(q, loaded.predict(states))
    assert not np.array_equal(q, network.predict(states, training=True))
    ours, theirs = network.returns(states[0]), loaded.returns(states[0])
    assert ours
    assert theirs
    assert np.array_equal(ours[1], theirs[1])
    assert np.array_equal(network.saliency(states[0], 1), loaded.saliency(states[0], 1))
    for kept, shown in zip(read_snapshot(path).layers, network.layers(), strict=True):
        assert all(np.array_equal(kept.params[k], shown.params[k]) for k in shown.params)


def test_in_16_bits_it_is_not_rounded() -> None:
    network = make(average_decay=0.9, datatype="bfloat16")
    learn(network, 5)
    for name, parameter in network.average.named_parameters():
        assert parameter.dtype == torch.float32
        assert parameter.data_ptr() == network.average.masters[name].data_ptr()


def test_it_begins_anew_with_a_loaded_snapshot_and_after_a_reset(tmp_path: Path) -> None:
    path = tmp_path / "pong_1.pkl"
    make(seed=5).save_weights(path, epoch=1, info={})
    network = make(average_decay=0.9)
    learn(network, 5)
    network.load_weights(path)
    assert same(weights(network.average), weights(network.online))
    learn(network, 5)
    network.reset_last_layers()
    assert same(weights(network.average), weights(network.online))


def test_it_is_of_as_many_updates_after_a_snapshot_without_the_optimizers_states(
    tmp_path: Path,
) -> None:
    flags: Any = dict(average_decay=0.999, optimizer="adam")
    path, again = tmp_path / "pong_1.pkl", tmp_path / "pong_2.pkl"
    make(seed=5).save_weights(path, epoch=1, info={"weight_updates": 500_000})
    network, continued = make(**flags), make(seed=2, **flags)
    network.load_weights(path)
    loaded = network.average.weights.whole.clone()
    learn(network, 1)  # Adam begins anew, the average does not
    assert network.optimizer.numbers.values == network.optimizer.rule.numbers(500_001, 1)
    expected = loaded.lerp(network.online.weights.whole, 1 - 0.999)
    assert torch.equal(network.average.weights.whole, expected)
    network.save_weights(again, epoch=2, info={"weight_updates": 500_001})
    continued.load_weights(again)
    copied = make(seed=3, **flags)
    copied.set_state(network.get_state())
    for other in (continued, copied):
        assert rate_of_one_update(other) == pytest.approx(0.001, rel=0.02)
        assert other.optimizer.numbers.values == other.optimizer.rule.numbers(500_002, 2)
    network.reset_last_layers()
    assert rate_of_one_update(network) == pytest.approx(10 / 11, rel=1e-4)


def test_a_checkpoint_of_an_earlier_version_continues_as_it_would_have_there() -> None:
    network, again = make(average_decay=0.9999), make(seed=2, average_decay=0.9999)
    learn(network, 3)
    network.reset_last_layers()
    learn(network, 1)
    state = network.get_state()
    state["counts"] = state["counts"][:3]
    again.set_state(state)
    assert rate_of_one_update(again) == pytest.approx(10 / 12, rel=1e-4)


def test_it_soon_forgets_the_weights_that_a_reset_drew() -> None:
    network = make(average_decay=0.9999)
    learn(network, 50)
    network.reset_last_layers()
    drawn = weights(network.online)["head.stream.output.weight"]
    learn(network, 20)
    distances = []
    for model in (network.average, network.online):
        distances.append(np.abs(weights(model)["head.stream.output.weight"] - drawn).mean())
    assert distances[0] > 0.7 * distances[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_continues_it_begins_it_or_leaves_it_out(kind: str) -> None:
    def continued(state: dict[str, NDArray[Any]], decay: float) -> DeepQNetwork:
        network = make(seed=9, average_decay=decay, **KINDS[kind])
        network.set_state(state)
        return network

    averaged, plain = (make(average_decay=d, **KINDS[kind]) for d in (0.9, 0.0))
    for network in (averaged, plain):
        learn(network, 6)
    again = continued(averaged.get_state(), 0.9)
    begun = continued(plain.get_state(), 0.9)
    assert same(weights(again.average), weights(averaged.average))
    assert same(weights(begun.average), weights(plain.online))
    without = continued(averaged.get_state(), 0.0)
    for network in (averaged, again, begun, without, plain):
        learn(network, 6, start=6)
    assert same(weights(again.average), weights(averaged.average))
    assert not same(weights(begun.average), weights(averaged.average))
    for network in (again, begun, without, plain):
        assert same(weights(network.online), weights(averaged.online))
    state = averaged.get_state()
    name = next(name for name in state if name.startswith("average."))
    del state[name]
    with pytest.raises(ValueError, match="other names or shapes"):
        again.set_state(state)


def test_neon_has_none() -> None:
    with pytest.raises(UserError, match=r"--average_decay 0\.9 does not work with --engine neon"):
        check_together(Config(engine="neon", average_decay=0.9))
