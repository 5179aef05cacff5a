"""Deep Q-learning against a twin written straight from the paper; saving, loading and refusing.

Golden vectors of the original engine are in test_verify.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from config import NetworkSettings
from deepqnetwork import DeepQNetwork
from engine.device import DATATYPES
from engine.workers import Call
from errors import UserError
from optimizers import learning_rate
from replay_memory import Minibatch
from snapshot.format import read_snapshot, write_snapshot
from snapshot.layers import SavedLayer
from targets import TargetRule, double_q_learning
from tests.naive_network import naive_forward, relative_error

ACTIONS, BATCH, SHAPE = 3, 6, (2, 36, 36)
OPTIMIZERS = ["rmsprop", "adam", "adadelta", "centered_rmsprop"]


def make(seed: int = 1, num_actions: int = ACTIONS, **changed: Any) -> DeepQNetwork:
    defaults: dict[str, Any] = dict(
        history_length=SHAPE[0],
        screen_height=SHAPE[1],
        screen_width=SHAPE[2],
        batch_size=BATCH,
        learning_rate=0.01,
        backend="cpu",
        threads=1,
    )
    settings = NetworkSettings(**defaults | changed)
    return DeepQNetwork(settings, num_actions=num_actions, rng=np.random.default_rng(seed))


def draw_states(count: int = BATCH, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


def draw_batch(seed: int = 0, **fixed: Any) -> Minibatch:
    """Of states that some are the last before, of different importance."""
    rng = np.random.default_rng(seed)
    history, *size = SHAPE
    terminal = np.arange(BATCH) % 3 == seed % 3
    batch = Minibatch(
        screens=rng.integers(0, 256, (BATCH, history + 1, *size), dtype=np.uint8),
        actions=rng.integers(0, ACTIONS, BATCH).astype(np.uint8),
        returns=rng.uniform(-2, 2, BATCH).astype(np.float32),
        discounts=rng.uniform(0.5, 1, BATCH) * ~terminal,
        indices=rng.integers(0, 1000, BATCH),
        weights=rng.uniform(0.25, 1, BATCH).astype(np.float32),
        history=history,
    )
    return batch._replace(**fixed)


def weights_of(layers: list[SavedLayer]) -> dict[tuple[int, str], Tensor]:
    """A snapshot's weights by the names that `naive_forward` knows."""
    found, i = {}, -1
    for layer in layers:
        i += layer.kind in ("Convolution", "Linear")
        for name, array in layer.params.items():
            key = "bias" if layer.kind == "Bias" else name
            found[i, key] = torch.from_numpy(array).double().requires_grad_()
    return found


class Twin:
    """One transition at a time, in float64, with DeepMind's RMSProp."""

    def __init__(self, network: DeepQNetwork) -> None:
        settings = network.settings
        self.weights = weights_of(network.layers())
        self.target = weights_of(network.layers()) if settings.target_steps else self.weights
        self.clip_error = settings.clip_error
        self.divisor = 1 if settings.sum_gradient else BATCH
        self.padding = settings.padding
        self.m = {key: torch.zeros_like(w) for key, w in self.weights.items()}
        self.s = {key: torch.zeros_like(w) for key, w in self.weights.items()}

    def q(self, weights: dict[tuple[int, str], Tensor], state: NDArray[np.uint8]) -> Tensor:
        return naive_forward(weights, torch.from_numpy(state[None]), self.padding)[0]

    def train(self, batch: Minibatch) -> tuple[float, list[float]]:
        """The cost, and the size of each transition's error."""
        costs, sizes = [], []
        g = {key: torch.zeros_like(w) for key, w in self.weights.items()}
        for s_t, a_t, r_t, discount, s_tpn, weight in zip(
            batch.states, batch.actions, batch.returns, batch.discounts, batch.next_states,
            batch.weights, strict=True,
        ):  # fmt: skip
            y = float(r_t)
            if discount:
                y += discount * self.q(self.target, s_tpn).max().item()
            q = self.q(self.weights, s_t)[int(a_t)]
            error = q.item() - y
            costs.append(error**2 / 2)
            sizes.append(abs(error))
            if self.clip_error:
                error = min(max(error, -self.clip_error), self.clip_error)
            slopes = torch.autograd.grad(q, list(self.weights.values()))
            for key, slope in zip(self.weights, slopes, strict=True):
                g[key] += float(weight) * error * slope / self.divisor
        with torch.no_grad():
            for key, w in self.weights.items():
                self.m[key] = 0.95 * self.m[key] + 0.05 * g[key]
                self.s[key] = 0.95 * self.s[key] + 0.05 * g[key] ** 2
                w -= 0.01 * g[key] / torch.sqrt(self.s[key] - self.m[key] ** 2 + 0.01)
        return float(np.mean(costs)), sizes

    def update_target_network(self) -> None:
        self.target = {key: w.clone() for key, w in self.weights.items()}


@pytest.mark.parametrize(
    "settings",
    [
        dict(),
        dict(clip_error=0.0),
        dict(clip_error=0.1),
        dict(sum_gradient=True),
        dict(target_steps=0),
        dict(bias=True, padding=1, init="torch"),
        dict(update_parts=1),
        dict(update_parts=4),
        dict(update_parts=100),
    ],
    ids=str,
)
def test_weight_updates_are_the_twins(settings: dict[str, Any]) -> None:
    network = make(optimizer="centered_rmsprop", datatype="float64", threads=2, **settings)
    twin = Twin(network)
    start = twin.q(twin.weights, draw_states()[0])
    for t in range(3):
        if t == 2:
            network.update_target_network()
            if network.settings.target_steps:
                twin.update_target_network()
        learned = network.train(draw_batch(t, wants_errors=True))
        cost, sizes = twin.train(draw_batch(t))
        assert network.read_cost() == pytest.approx(cost, rel=1e-6)
        assert learned
        assert learned.indices.tolist() == draw_batch(t).indices.tolist()
        assert learned.errors.tolist() == pytest.approx(sizes, rel=1e-5)
    assert network.train_iterations == 3
    ours = weights_of(network.layers())
    for key, w in twin.weights.items():
        assert relative_error(ours[key].detach(), w.detach()) < 1e-5
    q = [twin.q(twin.weights, state).detach().numpy() for state in draw_states()]
    assert relative_error(network.predict(draw_states()), q) < 1e-5
    assert relative_error(start.detach(), q[0]) > 1e-2  # it has learned something


def test_only_the_output_of_the_action_taken_learns() -> None:
    network = make(bias=True)
    network.train(draw_batch(actions=np.full(BATCH, 2, np.uint8)))
    last_bias = network.layers()[-1].params["W"][:, 0]
    assert last_bias[:2].tolist() == [0, 0]
    assert last_bias[2] != 0


def test_nothing_is_learned_from_no_error_or_from_what_weighs_nothing() -> None:
    network = make(target_steps=0)
    batch = draw_batch()
    returns = network.predict(batch.states)[np.arange(BATCH), batch.actions]
    before = network.predict(draw_states())
    network.train(batch._replace(returns=returns, discounts=np.zeros(BATCH)))
    assert network.read_cost() < 1e-10
    assert np.abs(network.predict(draw_states()) - before).max() < 1e-3
    before = network.predict(draw_states())
    network.train(batch._replace(weights=np.zeros(BATCH, np.float32)))
    assert network.read_cost() > 0.01
    assert np.array_equal(network.predict(draw_states()), before)


def test_targets_move_only_when_the_target_network_is_copied() -> None:
    def cost_after_training(*, copied: bool) -> float:
        network = make()
        for t in range(3):
            network.train(draw_batch(t))
        if copied:
            network.update_target_network()
        network.read_cost()
        network.train(draw_batch(9))
        return network.read_cost()

    assert cost_after_training(copied=False) != cost_after_training(copied=True)


def test_cost_is_the_mean_since_it_was_last_read() -> None:
    network, twin = make(), make()
    costs = []
    for t in range(3):
        network.train(draw_batch(t))
        twin.train(draw_batch(t))
        costs.append(twin.read_cost())
    assert network.read_cost() == pytest.approx(np.mean(costs))
    assert network.read_cost() == 0


def test_predictions_do_not_depend_on_their_company() -> None:
    network, states = make(), draw_states(9)
    together = network.predict(states)
    assert together.shape == (9, ACTIONS)
    assert together.dtype == np.float32
    alone = np.concatenate([network.predict(state[None]) for state in states])
    assert np.abs(together - alone).max() < 1e-5
    backwards = np.asfortranarray(states)[::-1]  # any arrangement in memory
    assert np.abs(network.predict(backwards)[::-1] - together).max() < 1e-5


def test_states_of_another_shape_or_type_are_refused() -> None:
    network, states = make(), draw_states()
    floats: Any = states.astype(np.float32)
    for wrong in (states[:, :1], states[:, :, :35], states[0], floats):
        with pytest.raises(ValueError, match=r"states are \(N, 2, 36, 36\) uint8"):
            network.predict(wrong)


@pytest.mark.parametrize(
    ("datatype", "before", "after"),
    [("float64", 1e-5, 1e-5), ("float16", 0.003, 0.02), ("bfloat16", 0.02, 0.1)],
)
def test_datatypes_agree_with_float32(datatype: str, before: float, after: float) -> None:
    """Largest difference in Q as a share of the largest Q, before and after a weight update."""
    networks = [make(datatype=name, learning_rate=0.00025) for name in ("float32", datatype)]
    for tolerance in (before, after):
        expected, q = (network.predict(draw_states(32)) for network in networks)
        assert q.dtype == np.float32
        assert 0 < relative_error(q, expected) < tolerance
        for network in networks:
            network.train(draw_batch())
        assert networks[1].read_cost() == pytest.approx(networks[0].read_cost(), rel=tolerance)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_learns(datatype: str) -> None:
    network = make(datatype=datatype, learning_rate=0.0003)
    batch = draw_batch(discounts=np.zeros(BATCH), weights=np.ones(BATCH, np.float32))
    batch = batch._replace(returns=batch.returns.clip(-1, 1))

    def largest_error() -> float:
        q = network.predict(batch.states)[np.arange(BATCH), batch.actions]
        return float(np.abs(q - batch.returns).max())

    assert largest_error() > 0.9
    for _ in range(100):
        network.train(batch)
    assert largest_error() < 0.3


def trained(seed: int = 1, **settings: Any) -> DeepQNetwork:
    network = make(seed, **settings)
    for t in range(3):
        network.train(draw_batch(t))
    return network


def assert_same(one: DeepQNetwork, other: DeepQNetwork) -> None:
    """Bit for bit."""
    states = one.get_state(), other.get_state()
    assert states[0].keys() == states[1].keys()
    for name, array in states[0].items():
        assert array.tobytes() == states[1][name].tobytes(), name


NATURE: dict[str, Any] = dict(bias=True, padding=1, init="torch", optimizer="centered_rmsprop")
VARIANTS: list[dict[str, Any]] = [
    *(dict(optimizer=name) for name in OPTIMIZERS),
    dict(batch_norm=True),
    dict(datatype="bfloat16"),
    NATURE,
]


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_training_continues_from_a_snapshot(settings: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "game_7.pkl"
    one, other = trained(**settings), make(seed=2, **settings)
    one.update_target_network()
    one.save_weights(path, epoch=7, info={"weight_updates": 3, "game": "pong"})
    snapshot = other.load_weights(path)
    assert (snapshot.epoch, snapshot.info["game"]) == (7, "pong")
    assert snapshot.train_input_shape == SHAPE
    assert other.train_iterations == 3
    for t in (3, 4):
        assert np.array_equal(other.predict(draw_states()), one.predict(draw_states()))
        one.train(draw_batch(t))
        other.train(draw_batch(t))


def test_a_new_run_keeps_the_optimizer_and_counts_from_0(tmp_path: Path) -> None:
    flags: Any = dict(
        optimizer="adam_corrected", learning_rate_decay_updates=4, learning_rate_end=0.0
    )
    path, again = tmp_path / "game_7.pkl", tmp_path / "game_8.pkl"
    one, other = trained(**flags), make(seed=2, **flags)
    one.save_weights(path, info={"weight_updates": 3})
    other.load_weights(path, new_run=True)
    other.train(draw_batch(3))
    assert (other.train_iterations, other.optimizer.reset_at) == (1, -3)
    rule, settings = other.optimizer.rule, other.settings
    assert other.optimizer.numbers.values == rule.numbers(updates=1, since_reset=4)
    assert learning_rate(settings, 1) == pytest.approx(settings.learning_rate * 3 / 4)
    other.update_target_network()
    other.save_weights(again, info={"weight_updates": 1})
    continued = make(seed=3, **flags)
    continued.load_weights(again)
    for network in (other, continued):
        network.train(draw_batch(4))
    assert np.array_equal(other.predict(draw_states()), continued.predict(draw_states()))


def test_optimizer_states_of_another_rule_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "game_7.pkl"
    one, other = trained(optimizer="adadelta"), make(seed=2, optimizer="adam")
    one.save_weights(path, info={"weight_updates": 3})
    other.load_weights(path)
    assert (other.train_iterations, other.optimizer.reset_at) == (3, 3)  # Adam begins anew
    fresh = make(optimizer="adam")
    fresh.load_weights(path)
    assert np.array_equal(other.predict(draw_states()), one.predict(draw_states()))
    for network in (other, fresh):
        network.train(draw_batch())
    assert np.array_equal(other.predict(draw_states()), fresh.predict(draw_states()))


def test_a_snapshot_of_fewer_bits_keeps_its_float32_masters(tmp_path: Path) -> None:
    path = tmp_path / "game_7.pkl"
    network = trained(datatype="bfloat16")
    network.save_weights(path, info={})
    for ours, kept in zip(network.layers(), read_snapshot(path).layers, strict=True):
        for name, array in ours.params.items():
            assert np.array_equal(array, kept.params[name])
    low = torch.from_numpy(network.layers()[0].params["W"]).bfloat16().float().numpy()
    assert not np.array_equal(network.layers()[0].params["W"], low)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (dict(num_actions=4), "3 outputs for its game's actions but this game needs 4"),
        (dict(screen_width=84), "check --screen_width"),
        (dict(history_length=3), "--history_length"),
        (dict(batch_norm=True), "--batch_norm"),
        (dict(bias=True), "--preset"),
        (dict(padding=1), "padding"),
    ],
    ids=str,
)
def test_a_snapshot_that_does_not_fit_is_refused(
    settings: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "game_7.pkl"
    make().save_weights(path, info={})
    network = make(**settings)
    before = network.get_state()
    with pytest.raises(UserError, match=sentence):
        network.load_weights(path)
    after = network.get_state()
    assert all(np.array_equal(after[name], before[name]) for name in before)


def test_padding_that_shapes_do_not_show_is_compared(tmp_path: Path) -> None:
    path = tmp_path / "game_7.pkl"
    shape = dict(dueling=True, screen_width=84, screen_height=84)
    make(padding=1, **shape).save_weights(path, info={"flags": {"padding": 1}})
    with pytest.raises(UserError, match="trained with --padding 1, not 0"):
        make(**shape).load_weights(path)


def test_averages_that_are_not_finite_begin_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "game_7.pkl"
    for settings in ({}, {"dueling": True}):
        trained(**settings).save_weights(path, info={})
        snapshot = read_snapshot(path)
        states = [array for layer in snapshot.layers for array in layer.states]
        states += [array for name, array in snapshot.tensors.items() if " " in name]
        for array in states:
            array[...] = np.nan
        write_snapshot(path, snapshot)
        caplog.clear()
        network = make(seed=2, **settings)
        network.load_weights(path)
        assert "are not all finite: they begin anew" in caplog.text
        assert all(np.isfinite(array).all() for array in network.get_state().values())


def test_a_snapshot_with_broken_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "game_7.pkl"
    make().save_weights(path, info={})
    snapshot = read_snapshot(path)
    snapshot.layers[0].params["W"][3, 3] = np.nan
    write_snapshot(path, snapshot)
    with pytest.raises(UserError, match="not all finite"):
        make().load_weights(path)


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_a_run_continues_exactly_from_a_state(settings: dict[str, Any]) -> None:
    one, other = trained(**settings), trained(seed=2, **settings)
    one.update_target_network()
    one.train(draw_batch(3))  # the two networks differ, and a cost is waiting to be read
    other.set_state({name: array.copy() for name, array in one.get_state().items()})
    assert other.train_iterations == 4
    for t in (4, 5):
        one.train(draw_batch(t))
        other.train(draw_batch(t))
    assert other.read_cost() == one.read_cost()
    assert_same(one, other)
    assert np.array_equal(other.predict(draw_states()), one.predict(draw_states()))


def test_a_state_of_another_network_is_refused() -> None:
    state = make().get_state()
    for settings in (dict(num_actions=4), dict(optimizer="adam"), dict(bias=True)):
        with pytest.raises(ValueError, match="other names or shapes"):
            make(**settings).set_state(state)


@pytest.mark.parametrize(
    "counts",
    [
        np.array([-1, 0, -1, -1]),
        np.array([2**62, 0, 0, 0]),
        np.array([3, -1, 0, 0]),
        np.array([3, 0, 4, 0]),
        np.array([3, 0, 0, 4]),
        np.array([3, 0, 0, -(2**62)]),
        np.array([3.0, 0.0, 0.0, 0.0]),
        np.array([[3, 0, 0, 0]]),
        np.array([3, 0, 0, 0, 0]),
        np.array(3),
    ],
    ids=str,
)
def test_counts_that_no_run_has_are_refused(counts: NDArray[Any]) -> None:
    network = make()
    state = network.get_state()
    network.set_state(state | {"counts": np.array([3, 1, -2, 3])})
    with pytest.raises(ValueError, match=r"its (counts|weights)"):
        network.set_state(state | {"counts": counts})


@pytest.mark.parametrize(
    "changed",
    [
        {"errors": np.ones(BATCH - 1, np.float32)},
        {"errors": np.ones(BATCH)},
        {"errors": np.full(BATCH, np.nan, np.float32)},
        {"errors": None},
        {"indices": np.zeros((1, BATCH), np.int64)},
        {"indices": np.zeros(BATCH)},
        {"indices": None},
    ],
    ids=str,
)
def test_errors_of_another_minibatch_are_refused(changed: dict[str, NDArray[Any] | None]) -> None:
    network = make(overlap=True)
    network.train(draw_batch(wants_errors=True))
    state = network.get_state()
    network.set_state(state)
    assert network.learned
    for name, array in changed.items():
        if array is None:
            del state[f"learned.{name}"]
        else:
            state[f"learned.{name}"] = array
    with pytest.raises(ValueError, match="its TD errors"):
        network.set_state(state)


def test_the_same_stream_gives_the_same_network() -> None:
    states = draw_states()
    assert np.array_equal(make(1).predict(states), make(1).predict(states))
    assert not np.array_equal(make(1).predict(states), make(2).predict(states))


def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match=r"There is no GPU 99 .* use --backend cpu"):
        make(backend="gpu", device_id=99)


def test_auto_takes_the_gpu_where_there_is_one() -> None:
    assert make(backend="auto").device.type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    ("bias", "batch_norm", "kinds"),
    [
        (False, False, "CA CA CA LA L"),
        (True, False, "CBA CBA CBA LBA LB"),
        (False, True, "CNA CNA CNA LNA L"),
    ],
)
def test_layers_are_a_snapshots(bias: bool, batch_norm: bool, kinds: str) -> None:
    letters = {"Convolution": "C", "Activation": "A", "Bias": "B", "BatchNorm": "N", "Linear": "L"}
    layers = trained(bias=bias, batch_norm=batch_norm).layers()
    assert "".join(letters[layer.kind] for layer in layers) == kinds.replace(" ", "")
    names = [layer.name for layer in layers]
    assert len(set(names)) == len(names)
    assert not any(layer.states for layer in layers)
    assert all(
        array.dtype == np.float32
        for array in itertools.chain(*(layer.params.values() for layer in layers))
    )


def test_screens_of_a_minibatch_may_be_a_tensor() -> None:
    one, other = make(), make()
    batch = draw_batch()
    one.train(batch)
    other.train(batch._replace(screens=torch.from_numpy(batch.screens)))
    states = draw_states()
    assert (one.predict(states) == other.predict(states)).all()


def real_batch(seed: int) -> Minibatch:
    """Of the size that is trained with, where kernels divide their work in their own ways."""
    rng = np.random.default_rng(seed)
    return Minibatch(
        screens=rng.integers(0, 256, (32, 5, 84, 84), dtype=np.uint8),
        actions=rng.integers(0, ACTIONS, 32).astype(np.uint8),
        returns=rng.uniform(-1, 1, 32).astype(np.float32),
        discounts=np.where(rng.random(32) < 0.9, 0.99, 0.0),
        indices=np.arange(32),
        weights=np.ones(32, np.float32),
        history=4,
    )


REAL = dict(history_length=4, screen_height=84, screen_width=84, batch_size=32)


@pytest.mark.parametrize("datatype", ["float32", "bfloat16"])
@pytest.mark.parametrize("settings", [dict(update_parts=1), dict(update_parts=3), NATURE], ids=str)
def test_threads_change_no_bit_of_a_run(settings: dict[str, Any], datatype: str) -> None:
    networks = [make(threads=n, datatype=datatype, **REAL, **settings) for n in (1, 2, 4)]
    assert [network.workers.count for network in networks] == [1, 2, 4]
    for network in networks:
        for t in range(4):
            if t == 2:
                network.update_target_network()
            network.train(real_batch(t))
    start = make(datatype=datatype, **REAL, **settings)
    assert not np.array_equal(start.layers()[0].params["W"], networks[0].layers()[0].params["W"])
    for other in networks[1:]:
        assert_same(networks[0], other)


def test_parts_change_the_last_bits_and_no_more() -> None:
    networks = [make(update_parts=parts) for parts in (1, 2, BATCH)]
    for network in networks:
        network.train(draw_batch())
    one, *others = (network.layers()[0].params["W"] for network in networks)
    for other in others:
        assert 0 < relative_error(other, one) < 1e-4


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("datatype", ["float32", "bfloat16"])
def test_overlapped_updates_are_those_of_the_plain_loop_bit_for_bit(
    datatype: str, threads: int
) -> None:
    plain = make(datatype=datatype)
    overlapped = make(datatype=datatype, overlap=True, threads=threads)
    states = draw_states(9, seed=5)
    block = draw_batch()  # its screens are used again, as the replay memory does
    for t in range(8):
        if t == 4:
            for network in (plain, overlapped):
                network.update_target_network()
        drawn = draw_batch(t)
        block.screens[:] = drawn.screens
        plain.train(drawn)
        overlapped.train(drawn._replace(screens=block.screens))
        block.screens.fill(0)
        assert overlapped.predict(states[:2], training=True).shape == (2, ACTIONS)
    assert overlapped.predict(states).tobytes() == plain.predict(states).tobytes()
    assert overlapped.train_iterations == 8
    assert_same(plain, overlapped)
    assert overlapped.read_cost() == plain.read_cost()


@pytest.mark.parametrize("threads", [1, 2])
def test_targets_that_read_the_network_wait_for_its_update(threads: int) -> None:
    plain, overlapped = make(), make(overlap=True, threads=threads)
    for network in (plain, overlapped):
        network.target_rule = TargetRule(double_q_learning, reads_online=True)
        for t in range(6):
            network.train(draw_batch(t))
    assert_same(plain, overlapped)
    ordinary = make()
    for t in range(6):
        ordinary.train(draw_batch(t))
    assert not np.array_equal(ordinary.predict(draw_states()), plain.predict(draw_states()))


def test_in_the_overlapped_loop_the_agent_acts_by_the_target_network() -> None:
    network, states = make(overlap=True), draw_states()
    before = network.predict(states)
    for t in range(3):
        network.train(draw_batch(t))
        assert np.array_equal(network.predict(states, training=True), before)
    after = network.predict(states)
    assert not np.array_equal(after, before)
    network.update_target_network()
    assert np.array_equal(network.predict(states, training=True), after)
    plain = make()
    plain.train(draw_batch())
    assert not np.array_equal(plain.predict(states, training=True), before)


def test_what_overlapped_updates_learned_is_reported_an_update_later_and_not_lost() -> None:
    plain, overlapped = make(), make(overlap=True)
    expected = [plain.train(draw_batch(t, wants_errors=True)) for t in range(4)]
    found = [overlapped.train(draw_batch(t, wants_errors=True)) for t in range(4)]
    assert found[0] is None
    resumed = make(seed=2, overlap=True)
    resumed.set_state(overlapped.get_state())
    found.append(resumed.train(draw_batch(4, wants_errors=True)))
    for mine, other in zip(found[1:], expected, strict=True):
        assert mine
        assert other
        assert mine.indices.tolist() == other.indices.tolist()
        assert mine.errors.tolist() == other.errors.tolist()


def test_an_overlapped_update_that_is_finished_at_once_is_reported_no_earlier() -> None:
    network = make(overlap=True)
    start = network.workers.start

    def start_and_finish(function: Callable[..., Any], *arguments: Any) -> Call[Any]:
        task = start(function, *arguments)
        network.workers.finish(task)
        return task

    network.workers.start = start_and_finish  # type: ignore[method-assign]
    batches = [draw_batch(t, wants_errors=True) for t in range(3)]
    found = [network.train(batch) for batch in batches]
    assert found[0] is None
    for learned, batch in zip(found[1:], batches[:-1], strict=True):
        assert learned
        assert learned.indices.tolist() == batch.indices.tolist()


@pytest.mark.parametrize("overlap", [False, True])
def test_errors_are_returned_to_samplers_that_want_them(overlap: bool) -> None:
    network = make(overlap=overlap)
    for wanted in (True, False):
        batches = [draw_batch(t, wants_errors=wanted) for t in range(2)]
        learned = [network.train(batch) for batch in batches]
        network.wait()
        network.learned = None
        assert (learned[-1] is not None) == wanted


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("ask", ["wait", "get_state", "read_cost", "predict", "train"])
def test_an_error_in_an_overlapped_update_is_raised_by_what_waits_for_it(
    ask: str, threads: int
) -> None:
    network = make(overlap=True, threads=threads)
    network.train(draw_batch(actions=np.full(BATCH, 9, np.uint8)))
    arguments: dict[str, list[Any]] = dict(predict=[draw_states()], train=[draw_batch()])
    with pytest.raises((RuntimeError, IndexError)):
        getattr(network, ask)(*arguments.get(ask, []))


def test_nothing_computed_leaves_the_threads_of_the_network() -> None:
    """PyTorch's own threads wait for one another where another program wants a core."""
    network = make(threads=2)
    counted = network.workers.map(lambda _: torch.get_num_threads(), range(8))
    assert counted == [1] * 8
    assert torch.get_num_threads() == 1
