"""Deep Q-learning against a twin written straight from the paper; saving, loading and refusing.

Golden vectors of the original engine are in test_verify.py.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepqnetwork import DeepQNetwork
from engine.device import DATATYPES
from errors import UserError
from replay_memory import Minibatch
from snapshot.format import Layer, read_snapshot, write_snapshot
from tests.naive_network import naive_forward, relative_error

ACTIONS, BATCH, SHAPE = 3, 6, (2, 36, 36)
OPTIMIZERS = ["rmsprop", "adam", "adadelta", "centered_rmsprop"]


def make(seed: int = 1, **settings: Any) -> DeepQNetwork:
    defaults: dict[str, Any] = dict(
        num_actions=ACTIONS,
        history_length=SHAPE[0],
        screen_height=SHAPE[1],
        screen_width=SHAPE[2],
        batch_size=BATCH,
        learning_rate=0.01,
        rng=np.random.default_rng(seed),
        backend="cpu",
    )
    return DeepQNetwork(**(defaults | settings))


def draw_states(count: int = BATCH, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


def draw_batch(seed: int = 0, **fixed: Any) -> Minibatch:
    """Rewards beyond the clipping range, both kinds of ends."""
    rng = np.random.default_rng(seed)
    history, *size = SHAPE
    batch = Minibatch(
        screens=rng.integers(0, 256, (BATCH, history + 1, *size), dtype=np.uint8),
        actions=rng.integers(0, ACTIONS, BATCH).astype(np.uint8),
        rewards=rng.uniform(-3, 3, BATCH).astype(np.float32),
        terminals=np.arange(BATCH) % 3 == seed % 3,
    )
    return batch._replace(**fixed)


def weights_of(layers: list[Layer]) -> dict[tuple[int, str], Tensor]:
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

    def __init__(
        self,
        network: DeepQNetwork,
        *,
        discount_rate: float = 0.99,
        clip_error: float = 1.0,
        min_reward: float = -1.0,
        max_reward: float = 1.0,
        sum_gradient: bool = False,
        target_network: bool = True,
        padding: int = 0,
        **others: Any,
    ) -> None:
        self.weights = weights_of(network.layers())
        self.target = weights_of(network.layers()) if target_network else self.weights
        self.discount_rate, self.clip_error = discount_rate, clip_error
        self.min_reward, self.max_reward = min_reward, max_reward
        self.divisor = 1 if sum_gradient else BATCH
        self.padding = padding
        self.m = {key: torch.zeros_like(w) for key, w in self.weights.items()}
        self.s = {key: torch.zeros_like(w) for key, w in self.weights.items()}

    def q(self, weights: dict[tuple[int, str], Tensor], state: NDArray[np.uint8]) -> Tensor:
        return naive_forward(weights, torch.from_numpy(state[None]), self.padding)[0]

    def train(self, batch: Minibatch) -> float:
        """The cost."""
        costs, g = [], {key: torch.zeros_like(w) for key, w in self.weights.items()}
        for s_t, a_t, r_t, terminal, s_tp1 in zip(
            batch.prestates, batch.actions, batch.rewards, batch.terminals, batch.poststates,
            strict=True,
        ):  # fmt: skip
            y = min(max(float(r_t), self.min_reward), self.max_reward)
            if not terminal:
                y += self.discount_rate * self.q(self.target, s_tp1).max().item()
            q = self.q(self.weights, s_t)[int(a_t)]
            error = q.item() - y
            costs.append(error**2 / 2)
            if self.clip_error:
                error = min(max(error, -self.clip_error), self.clip_error)
            slopes = torch.autograd.grad(q, list(self.weights.values()))
            for key, slope in zip(self.weights, slopes, strict=True):
                g[key] += error * slope / self.divisor
        with torch.no_grad():
            for key, w in self.weights.items():
                self.m[key] = 0.95 * self.m[key] + 0.05 * g[key]
                self.s[key] = 0.95 * self.s[key] + 0.05 * g[key] ** 2
                w -= 0.01 * g[key] / torch.sqrt(self.s[key] - self.m[key] ** 2 + 0.01)
        return float(np.mean(costs))

    def update_target_network(self) -> None:
        self.target = {key: w.clone() for key, w in self.weights.items()}


@pytest.mark.parametrize(
    "settings",
    [
        dict(),
        dict(clip_error=0.0),
        dict(clip_error=0.1),
        dict(discount_rate=0.5, min_reward=-2.0, max_reward=0.25),
        dict(sum_gradient=True),
        dict(target_network=False),
        dict(bias=True, padding=1, init="torch"),
    ],
    ids=str,
)
def test_weight_updates_are_the_twins(settings: dict[str, Any]) -> None:
    network = make(optimizer="centered_rmsprop", datatype="float64", **settings)
    twin = Twin(network, **settings)
    start = twin.q(twin.weights, draw_states()[0])
    for t in range(3):
        if t == 2:
            network.update_target_network()
            if network.target_model is not network.model:
                twin.update_target_network()
        network.train(draw_batch(t))
        assert twin.train(draw_batch(t)) == pytest.approx(network.read_cost(), rel=1e-6)
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


def test_nothing_is_learned_from_no_error() -> None:
    network = make(target_network=False, discount_rate=0.0)
    batch = draw_batch()
    rewards = network.predict(batch.prestates)[np.arange(BATCH), batch.actions]
    before = network.predict(draw_states())
    network.train(batch._replace(rewards=rewards.clip(-1, 1), terminals=np.ones(BATCH, bool)))
    assert network.read_cost() < 1e-10
    assert np.abs(network.predict(draw_states()) - before).max() < 1e-3


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
    batch = draw_batch(terminals=np.ones(BATCH, bool))

    def largest_error() -> float:
        q = network.predict(batch.prestates)[np.arange(BATCH), batch.actions]
        return float(np.abs(q - batch.rewards.clip(-1, 1)).max())

    assert largest_error() > 0.9
    for _ in range(100):
        network.train(batch)
    assert largest_error() < 0.3


def trained(seed: int = 1, **settings: Any) -> DeepQNetwork:
    network = make(seed, **settings)
    for t in range(3):
        network.train(draw_batch(t))
    return network


NATURE = dict(bias=True, padding=1, init="torch", optimizer="centered_rmsprop")
VARIANTS: list[dict[str, Any]] = [
    *(dict(optimizer=name) for name in OPTIMIZERS),
    dict(batch_norm=True),
    dict(datatype="bfloat16"),
    NATURE,
]


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_training_goes_on_from_a_snapshot(settings: dict[str, Any], tmp_path: Path) -> None:
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


def test_optimizer_states_of_another_rule_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "game_7.pkl"
    one, other = trained(optimizer="adadelta"), make(seed=2, optimizer="adam")
    one.save_weights(path, info={"weight_updates": 3})
    other.load_weights(path)
    assert other.train_iterations == 0
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
        (dict(num_actions=4), "trained with 3 actions but this game has 4"),
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
    before = network.get_state()["online.0.W"].copy()
    with pytest.raises(UserError, match=sentence):
        network.load_weights(path)
    assert np.array_equal(network.get_state()["online.0.W"], before)


def test_a_snapshot_with_broken_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "game_7.pkl"
    make().save_weights(path, info={})
    snapshot = read_snapshot(path)
    snapshot.layers[0].params["W"][3, 3] = np.nan
    write_snapshot(path, snapshot)
    with pytest.raises(UserError, match="not all finite"):
        make().load_weights(path)


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_a_state_goes_on_exactly(settings: dict[str, Any]) -> None:
    one, other = trained(**settings), trained(seed=2, **settings)
    one.update_target_network()
    one.train(draw_batch(3))  # the two networks differ, and a cost is waiting to be read
    other.set_state({name: array.copy() for name, array in one.get_state().items()})
    assert other.train_iterations == 4
    for t in (4, 5):
        one.train(draw_batch(t))
        other.train(draw_batch(t))
    assert other.read_cost() == one.read_cost()
    states = one.get_state(), other.get_state()
    assert states[0].keys() == states[1].keys()
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])
    assert np.array_equal(other.predict(draw_states()), one.predict(draw_states()))


def test_a_state_of_another_network_is_refused() -> None:
    state = make().get_state()
    for settings in (dict(num_actions=4), dict(optimizer="adam"), dict(bias=True)):
        with pytest.raises(ValueError, match="other names or shapes"):
            make(**settings).set_state(state)


def test_the_same_stream_gives_the_same_network() -> None:
    states = draw_states()
    assert np.array_equal(make(1).predict(states), make(1).predict(states))
    assert not np.array_equal(make(1).predict(states), make(2).predict(states))


def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match=r"There is no GPU 99 .* take --backend cpu"):
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
