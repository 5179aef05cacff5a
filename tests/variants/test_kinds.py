"""What holds of every kind of network: threads, overlap, resumption, snapshots, a look inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from commands.combinations import check_together
from config import Config, NetworkSettings, to_plain
from deepqnetwork import DeepQNetwork
from errors import UserError
from nvis.saliency import Saliency
from snapshot.format import read_snapshot
from tests.variants.small import BATCH, KINDS, SHAPE, draw_batch, draw_states, make
from variants.optimizers import RULES

kinds = pytest.mark.parametrize("kind", KINDS)


def run(network: DeepQNetwork, first: int = 0, updates: int = 4) -> list[Any]:
    """Acting and learning in turn; everything that comes out of it."""
    found: list[Any] = []
    for t in range(first, first + updates):
        found.append(network.predict(draw_states(2, seed=t), training=True))
        if learned := network.train(draw_batch(t)):
            found += list(learned)
        if t % 3 == 2:
            network.update_target_network()
        if t % 5 == 3:
            network.reset_last_layers()
    return [*found, network.predict(draw_states()), network.read_cost()]


def same(ours: list[Any], theirs: list[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@kinds
@pytest.mark.parametrize("datatype", ["float32", "bfloat16"])
def test_threads_change_no_bit(kind: str, datatype: str) -> None:
    one, two = (run(make(threads=t, datatype=datatype, **KINDS[kind])) for t in (1, 2))
    assert same(one, two)
    assert all(np.isfinite(value).all() for value in one)


def test_batch_and_spectral_normalization_go_together() -> None:
    network = make(batch_norm=True, normalization="spectral")
    assert all(np.isfinite(value).all() for value in run(network))


@kinds
@pytest.mark.parametrize("threads", [1, 2])
def test_overlapped_updates_are_those_of_the_plain_loop(kind: str, threads: int) -> None:
    networks = [make(overlap=o, threads=threads, **KINDS[kind]) for o in (False, True)]
    for t in range(4):
        for network in networks:
            network.train(draw_batch(t))
            if t == 1:
                network.update_target_network()
    plain, overlapped = (network.predict(draw_states()) for network in networks)
    assert np.array_equal(plain, overlapped)


@kinds
def test_float64_differs_by_rounding_only(kind: str) -> None:
    low, high = (
        make(datatype=d, optimizer="rmsprop", **KINDS[kind]) for d in ("float32", "float64")
    )
    assert np.allclose(low.predict(draw_states()), high.predict(draw_states()), atol=1e-5)
    for network in (low, high):
        network.train(draw_batch())
    assert np.allclose(low.predict(draw_states()), high.predict(draw_states()), atol=2e-3)


@kinds
@pytest.mark.parametrize("overlap", [False, True])
def test_a_run_continues_exactly_from_a_state(kind: str, overlap: bool) -> None:
    settings = KINDS[kind] | dict(overlap=overlap)
    network = make(**settings)
    run(network)
    state = network.get_state()
    other = make(seed=2, **settings)
    run(other, updates=1)
    other.set_state(state)
    assert same(run(network, first=4), run(other, first=4))


@kinds
def test_a_snapshot_is_the_network_and_its_optimizer(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "game_3.pkl"
    network = make(**KINDS[kind])
    for t in range(3):
        network.train(draw_batch(t))
    network.save_weights(path, epoch=3, info={"weight_updates": 3})
    other = make(seed=2, **KINDS[kind])
    other.load_weights(path)
    assert np.array_equal(network.predict(draw_states()), other.predict(draw_states()))
    assert other.train_iterations == 3
    network.update_target_network()
    other.random.set_state(network.random.get_state())
    for each in (network, other):
        each.train(draw_batch(9))
    assert np.array_equal(network.predict(draw_states()), other.predict(draw_states()))


# Batch normalization is refused: see test_combinations.py.
@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"batch_norm"}))
def test_float16_gives_finite_numbers(kind: str) -> None:
    network = make(datatype="float16", **KINDS[kind])
    network.train(draw_batch())
    assert np.isfinite(network.predict(draw_states())).all()


def test_pixels_as_bytes_do_not_overflow_in_float16() -> None:
    large: dict[str, Any] = dict(pixel_max=255.0, distribution="quantile", dueling=True, bias=True)
    network = make(datatype="float16", network_width=1.0, init="torch", **large)
    white = np.full((BATCH, SHAPE[0] + 1, *SHAPE[1:]), 255, np.uint8)
    # The weights make the gradient as large as that of a minibatch 16 times as large.
    network.train(draw_batch(screens=white, weights=np.full(BATCH, 16, np.float32)))
    assert np.isfinite(network.predict(draw_states())).all()


@kinds
def test_a_network_says_which_pixels_speak_for_an_action(kind: str) -> None:
    network = make(**KINDS[kind])
    state = draw_states(1)[0]
    heat = network.saliency(state, 1)
    assert heat.shape == SHAPE[1:]
    assert heat.dtype == np.float32
    assert (heat >= 0).all()
    assert heat.max() > 0
    assert np.array_equal(heat, network.saliency(state, 1))
    assert network.online.features.block == 1 or not np.array_equal(
        heat, network.saliency(state, 2)
    )


def test_bytes_as_they_are_make_the_weights_of_the_first_layer_255_times_as_effective() -> None:
    plain, raw = make(bias=True), make(bias=True, pixel_max=255.0)
    raw.online.weights.whole.copy_(plain.online.weights.whole)
    raw.online.masters["features.first.weight"].div_(255)
    assert np.allclose(raw.predict(draw_states()), plain.predict(draw_states()), atol=1e-5)
    for mine, theirs in zip(raw.layers(), plain.layers(), strict=True):
        for name in mine.params:
            assert np.allclose(mine.params[name], theirs.params[name], rtol=1e-6)
    # Adam moves a weight by the learning rate, whatever the size of its gradient.
    before = raw.online.masters["features.first.weight"].clone()
    raw.train(draw_batch())
    moved = (raw.online.masters["features.first.weight"] - before).abs().median()
    assert moved == pytest.approx(raw.settings.learning_rate, rel=0.05)


@pytest.mark.parametrize(
    "settings",
    [
        dict(),
        dict(bias=True, padding=1, screen_height=44),
        dict(network="nips", screen_width=60),
        dict(batch_norm=True),
        dict(pixel_max=255.0, bias=True),
    ],
)
def test_saliency_is_that_of_numpy(settings: dict[str, Any]) -> None:
    network = make(**settings)
    s = network.settings
    size = (s.history_length, s.screen_height, s.screen_width)
    state = np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8)
    for action in range(3):
        naive = Saliency(network.layers())(state, action)
        assert np.allclose(
            network.saliency(state, action), naive, rtol=1e-3, atol=naive.max() / 1e4
        )


@pytest.mark.parametrize(
    ("distribution", "size"), [("c51", 51), ("quantile", 200), ("iqn", 32), ("none", 0)]
)
def test_a_distribution_has_the_q_values_as_means(distribution: str, size: int) -> None:
    network = make(distribution=distribution, noisy=True)
    run(network, updates=2)
    state = draw_states(1)[0]
    returns = network.returns(state)
    if not size:
        assert returns is None
        return
    assert returns
    values, probabilities = returns
    assert values.shape == probabilities.shape == (3, size)
    means = (values * probabilities).sum(axis=1)
    assert np.allclose(means, network.predict(state[None])[0], atol=1e-5)


def test_a_reset_gives_the_last_layers_new_weights_and_no_memory() -> None:
    network = make(dueling=True, noisy=True)
    run(network, updates=2)
    masters = {name: master.clone() for name, master in network.online.masters.items()}
    network.reset_last_layers()
    names, states = list(masters), network.optimizer.states
    for name, master in network.online.masters.items():
        changed = not np.array_equal(master.numpy(), masters[name].numpy())
        memory = any(state.any() for state in states[names.index(name)])
        assert changed == name.startswith("head"), name
        assert memory == name.startswith("features"), name
    for name, master in network.target.masters.items():
        assert np.array_equal(master.numpy(), network.online.masters[name].numpy())
    again = make(seed=5, dueling=True, noisy=True)
    again.set_state(network.get_state())
    assert (again.optimizer.updates, again.optimizer.reset_at) == (2, 2)


def test_a_reset_layer_forgets_its_running_statistics() -> None:
    network = make(batch_norm=True)
    run(network, updates=2)
    network.reset_last_layers()
    for model in (network.online, network.target):
        for name, statistic in model.statistics().items():
            if not name.startswith("features"):
                assert (statistic == float(name.endswith("variance"))).all(), name
            else:
                assert statistic.any(), name


@pytest.mark.parametrize(
    ("theirs", "ours", "word"),
    [
        (dict(dueling=True), dict(), "--dueling true, not false"),
        (dict(pixel_max=255.0), dict(), "--pixel_max 255.0, not 1.0"),
        (dict(), dict(noisy=True), "--noisy false, not true"),
        (dict(network="nips"), dict(), "--network nips, not nature"),
        (dict(), dict(distribution="iqn"), "--distribution none, not iqn"),
        (
            dict(distribution="c51", atoms=21),
            dict(distribution="c51", atoms=11),
            "--atoms 21, not 11",
        ),
        (
            dict(distribution="c51", value_max=20.0),
            dict(distribution="c51"),
            "--value_max 20.0, not 10.0",
        ),
        (dict(normalization="layer"), dict(), "--normalization layer, not none"),
        (dict(), dict(network_width=0.5), "--network_width 0.25, not 0.5"),
    ],
)
def test_a_snapshot_of_another_network_is_refused_with_the_difference(
    theirs: dict[str, Any], ours: dict[str, Any], word: str, tmp_path: Path
) -> None:
    path = tmp_path / "game_3.pkl"
    flags = to_plain(Config(**dict(network_width=0.25) | theirs))
    make(**theirs).save_weights(path, info={"flags": flags})
    with pytest.raises(UserError, match=word):
        make(**ours).load_weights(path)


def test_a_snapshot_of_iqn_can_be_trained_with_another_number_of_fractions(tmp_path: Path) -> None:
    path = tmp_path / "game_3.pkl"
    theirs: dict[str, Any] = dict(network_width=0.25, distribution="iqn", atoms=32)
    make(**theirs).save_weights(path, info={"flags": to_plain(Config(**theirs))})
    make(**theirs | dict(atoms=8)).load_weights(path)


@pytest.mark.parametrize(
    ("theirs", "ours", "word"),
    [
        (dict(dueling=True), dict(), "has no head.stream.hidden.weight"),
        (dict(), dict(dueling=True), "has no features.first.weight"),
        (dict(dueling=True, bias=True), dict(dueling=True), "has 'features.first.bias'"),
        (dict(dueling=True), dict(dueling=True, num_actions=4), "shape"),
        (dict(distribution="c51", dueling=True), dict(dueling=True), "shape"),
    ],
)
def test_without_flags_the_difference_is_that_of_the_weights(
    theirs: dict[str, Any], ours: dict[str, Any], word: str, tmp_path: Path
) -> None:
    path = tmp_path / "game_3.pkl"
    make(**theirs).save_weights(path, info={})
    with pytest.raises(UserError, match=word):
        make(**ours).load_weights(path)


def test_another_rules_memory_of_the_same_shape_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "game_3.pkl"
    network = make(optimizer="centered_rmsprop")
    network.train(draw_batch())
    network.save_weights(
        path, info={"weight_updates": 1, "flags": {"optimizer": "centered_rmsprop"}}
    )
    adam = make(optimizer="adam")
    adam.train(draw_batch())
    adam.load_weights(path)
    assert (adam.train_iterations, adam.optimizer.reset_at) == (1, 1)  # Adam begins anew
    assert not any(state.any() for states in adam.optimizer.states for state in states)
    network.load_weights(path)
    assert network.train_iterations == 1
    corrected = make(optimizer="adam_corrected")
    adam.train(draw_batch())
    adam.save_weights(path, info={"weight_updates": 1, "flags": {"optimizer": "adam"}})
    corrected.load_weights(path)
    assert corrected.train_iterations == 1


def test_a_snapshot_of_what_neon_cannot_hold_says_so_to_neon(tmp_path: Path) -> None:
    """Its layers are the convolutions, where these follow one another; the rest is by name."""
    for kind, count in (("dueling", 3), ("nips", 2), ("impala", 0)):
        path = tmp_path / f"{kind}_1.pkl"
        make(**KINDS[kind]).save_weights(path, info={})
        snapshot = read_snapshot(path)
        assert sum(layer.kind == "Convolution" for layer in snapshot.layers) == count
        assert bool(snapshot.tensors) == (kind != "nips")


@pytest.mark.parametrize("decay", [0, 9])
@pytest.mark.parametrize("rule", RULES)
def test_what_varies_between_updates_is_in_a_rules_numbers(rule: str, decay: int) -> None:
    """A CUDA graph would continue to use anything else as it was in the update it recorded."""
    settings = NetworkSettings(optimizer=rule, learning_rate_decay_updates=decay)
    made: Any = RULES[rule](settings)
    before = dict(vars(made))
    numbers = [made.numbers(update, update) for update in (1, 2)]
    assert vars(made) == before
    varies = rule.startswith("adam") or (decay and rule != "adadelta")
    assert (numbers[0] != numbers[1]) == bool(varies)


@pytest.mark.parametrize("rule", ["rmsprop", "adam"])
def test_the_learning_rate_falls_on_from_a_snapshot_and_from_a_checkpoint(
    rule: str, tmp_path: Path
) -> None:
    falling: dict[str, Any] = dict(
        optimizer=rule, learning_rate=0.01, learning_rate_decay_updates=10
    )
    one, snapshot, checkpoint = (make(seed=seed, **falling) for seed in (1, 2, 3))
    for n in range(7):
        one.train(draw_batch(n))
    one.update_target_network()  # as loading a snapshot does
    path = tmp_path / "pong_1.pkl"
    one.save_weights(path, info={"weight_updates": 7, "flags": {"optimizer": rule}})
    snapshot.load_weights(path)
    checkpoint.set_state(one.get_state())
    for network in (one, snapshot, checkpoint):
        network.train(draw_batch(7))
    rates = {network.optimizer.numbers.values[0] for network in (one, snapshot, checkpoint)}
    assert len(rates) == 1
    for name, w in one.online.masters.items():
        assert torch.equal(w, snapshot.online.masters[name])
        assert torch.equal(w, checkpoint.online.masters[name])


def test_neon_has_a_constant_learning_rate() -> None:
    with pytest.raises(UserError, match="--learning_rate_decay_updates 9 does not work with"):
        check_together(Config(engine="neon", learning_rate_decay_updates=9))
