"""Neon as an engine; what needs Neon itself is skipped where it is not importable."""

from __future__ import annotations

import importlib
import inspect
import logging
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from config import ROOT, NetworkSettings
from errors import UserError
from neon_engine.backend import import_neon
from neon_engine.network import NeonNetwork
from replay_memory import Minibatch
from snapshot.format import write_snapshot
from verify import replay_golden

GOLDEN = ROOT / "tests" / "golden"
TOLERANCE = 1e-5
SMALL = {"screen_height": 36, "screen_width": 36, "batch_size": 4}

needs_neon = pytest.mark.skipif(
    find_spec("neon") is None, reason="Neon is not importable here: see docs/neon.md"
)
leaves_files_open = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # Neon does
needs_torch = pytest.mark.skipif(
    find_spec("torch") is None, reason="PyTorch is not importable here"
)


def settings(**flags: Any) -> NetworkSettings:
    return NetworkSettings(**SMALL | flags)


def make(seed: int = 1, num_actions: int = 3, **flags: Any) -> NeonNetwork:
    rng = np.random.default_rng(seed)
    return NeonNetwork(settings(**flags), num_actions=num_actions, rng=rng)


def minibatch(seed: int = 0, size: int = 4) -> Minibatch:
    rng = np.random.default_rng(seed)
    return Minibatch(
        screens=rng.integers(0, 256, (size, 5, 36, 36), np.uint8),
        actions=rng.integers(0, 3, size, np.uint8),
        returns=rng.integers(-1, 2, size).astype(np.float32),
        discounts=np.where(rng.random(size) < 0.3, 0.0, 0.99),
        indices=np.arange(size),
        weights=np.ones(size, np.float32),
        history=4,
    )


def states(count: int, seed: int = 7) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 36, 36), np.uint8)


# Without Neon


@pytest.fixture
def no_neon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Python that has not imported Neon, and that is afterwards as it was."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "neon"]:
        monkeypatch.delitem(sys.modules, name)
    given = [(inspect, "getargspec"), (np, "float"), (np, "int")]
    missing = [(module, name) for module, name in given if name not in vars(module)]
    level = logging.getLogger("neon").level
    yield
    logging.getLogger("neon").setLevel(level)
    for module, name in missing:
        vars(module).pop(name, None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "neon"]:
        del sys.modules[name]


@pytest.mark.usefixtures("no_neon")
def test_a_missing_neon_is_named_with_the_page_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "neon", None)
    with pytest.raises(UserError, match=r"needs Neon, which is missing: docs/neon\.md"):
        make()


@pytest.mark.usefixtures("no_neon")
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("__version__ = '1.8.2'", "Neon 1.8.2 is too old, use 2.6.0: docs/neon.md"),
        ("import a_package_it_wants", "Neon's Python package a_package_it_wants"),
        ("__version__ = '2.6.0'", "not a complete Neon 2.6|Neon's Python package"),
        ("'another package of that name'", "not a complete Neon 2.6"),
        ("print('not built'); import sys; sys.exit(1)", "not a complete Neon 2.6"),
        ("__version__ = 'latest'", "not a complete Neon 2.6"),
    ],
)
def test_a_neon_that_cannot_be_used_is_refused(
    source: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "neon").mkdir()
    (tmp_path / "neon" / "__init__.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=message):
        import_neon()
    assert capsys.readouterr().out == ""


def test_adam_in_float16_is_refused() -> None:
    with pytest.raises(UserError, match=r"Adam's epsilon of 1e-8 is zero in Neon's float16"):
        make(datatype="float16", optimizer="adam")


# On Neon


@needs_neon
@pytest.mark.parametrize("case", ["rmsprop", "adam", "adadelta", "batch_norm"])
def test_golden_vectors(case: str) -> None:
    errors = replay_golden(GOLDEN / f"{case}.npz", engine="neon", backend="cpu")
    assert max(errors.values()) <= TOLERANCE


@needs_neon
def test_torch_is_not_imported() -> None:
    program = """
        import sys
        import numpy as np
        from config import NetworkSettings
        from engine.make import make_network
        settings = NetworkSettings(engine="neon", backend="cpu")
        network = make_network(settings, num_actions=3, rng=np.random.default_rng(0))
        network.predict(np.zeros((1, 4, 84, 84), np.uint8))
        sys.exit("torch" in sys.modules)
    """
    source = ROOT / "src"
    command = [sys.executable, "-c", textwrap.dedent(program)]
    assert subprocess.run(command, cwd=source, check=False).returncode == 0


@needs_neon
@pytest.mark.parametrize("batch_norm", [False, True])
def test_states_are_predicted_alike_alone_and_together(batch_norm: bool) -> None:
    network = make(batch_norm=batch_norm)
    for n in range(20):
        network.train(minibatch(n))
    some = states(6)
    together = network.predict(some)
    assert together.shape == (6, 3)
    assert together.dtype == np.float32
    alone = np.concatenate([network.predict(state[None]) for state in some])
    np.testing.assert_array_equal(alone, together)
    # As on a GPU: in a model of the minibatch's size, the last of its passes filled up.
    network.acting_size, network.acting_input = 4, network.input
    network.acting_model = network.model
    np.testing.assert_allclose(network.predict(some), together, rtol=1e-4, atol=TOLERANCE)


@needs_neon
def test_a_minibatch_is_learned_and_its_cost_read_once() -> None:
    network = make(learning_rate=0.001)
    network.train(minibatch())
    network.train(minibatch())
    first = network.read_cost()
    assert network.read_cost() == 0
    for _ in range(60):
        network.train(minibatch())
    network.read_cost()
    network.train(minibatch())
    assert 0 < network.read_cost() < first / 10
    assert network.train_iterations == 63


@needs_neon
def test_targets_come_from_the_copy_unless_there_is_none() -> None:
    kept, own = make(), make(target_steps=0)
    for network in (kept, own):
        network.train(minibatch(0))
        network.read_cost()
        network.train(minibatch(1))
    assert kept.read_cost() != own.read_cost()
    kept.update_target_network()
    np.testing.assert_array_equal(
        kept.target_model.layers.layers[0].W.get(), kept.model.layers.layers[0].W.get()
    )


@needs_neon
def test_saliency_is_computed_from_the_layers() -> None:
    network, (state,) = make(), states(1)
    assert network.saliency(state, 1).shape == state.shape[1:]
    assert network.saliency(state, 1).max() > 0


@needs_neon
def test_the_seed_decides_the_weights() -> None:
    one, same, other = (make(seed).predict(states(1)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    first, *_, last = (layer.params["W"] for layer in make().layers() if layer.params)
    assert 0.95 < abs(first).max() / np.sqrt(3 / 256) <= 1  # fan in 4 * 8 * 8
    assert 0.95 < abs(last).max() / np.sqrt(3 / 512) <= 1
    gaussian = make(init="gaussian").layers()[0].params["W"]
    assert 0.009 < gaussian.std() < 0.011


@needs_neon
@pytest.mark.parametrize("optimizer", ["rmsprop", "adam", "adadelta"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_saved_network_learns_on_as_if_nothing_had_happened(
    optimizer: str, batch_norm: bool, tmp_path: Path
) -> None:
    flags: dict[str, Any] = {"optimizer": optimizer, "batch_norm": batch_norm}
    network = make(**flags)
    for n in range(3):
        network.train(minibatch(n))
    state = network.get_state()
    network.update_target_network()  # as loading a snapshot does
    info = {"weight_updates": network.train_iterations}
    network.save_weights(tmp_path / "game_5.pkl", epoch=5, info=info)
    synced = network.get_state()
    cost = network.read_cost()
    network.train(minibatch(9))
    expected = network.predict(states(2))

    loaded = make(2, **flags)
    loaded.train(minibatch(4))  # leaves nothing behind
    snapshot = loaded.load_weights(tmp_path / "game_5.pkl")
    assert (snapshot.epoch, snapshot.train_input_shape) == (5, (4, 36, 36))
    assert loaded.train_iterations == 3
    loaded.train(minibatch(9))
    np.testing.assert_array_equal(loaded.predict(states(2)), expected)

    resumed = make(3, **flags)
    resumed.set_state(synced)
    assert resumed.read_cost() == cost
    resumed.train(minibatch(9))
    np.testing.assert_array_equal(resumed.predict(states(2)), expected)
    resumed.set_state(state)
    for name, array in resumed.get_state().items():
        np.testing.assert_array_equal(array, state[name], name)


@needs_neon
def test_states_of_another_optimizer_are_left_out(tmp_path: Path) -> None:
    network = make(optimizer="adam")
    network.train(minibatch())
    network.save_weights(tmp_path / "a.pkl", info={"weight_updates": 1})
    other = make(optimizer="rmsprop")
    other.train(minibatch())
    other.load_weights(tmp_path / "a.pkl")
    assert other.train_iterations == 0
    np.testing.assert_array_equal(other.predict(states(2)), network.predict(states(2)))
    assert not any(state.get().any() for layer in other.states for state in layer)


@needs_neon
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"num_actions": 4}, "3 outputs for its game's actions but this game needs 4"),
        ({"screen_width": 44}, "check --screen_width"),
        ({"history_length": 3}, "--history_length"),
        ({"batch_norm": True}, "check --batch_norm"),
    ],
)
def test_a_snapshot_that_does_not_fit_is_refused(
    flags: dict[str, Any], message: str, tmp_path: Path
) -> None:
    make().save_weights(tmp_path / "a.pkl", info={})
    with pytest.raises(UserError, match=message):
        make(**flags).load_weights(tmp_path / "a.pkl")


@needs_neon
def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    network = make()
    network.model.layers.layers[0].W.set(np.full((256, 32), np.nan, np.float32))
    network.save_weights(tmp_path / "a.pkl", info={})
    with pytest.raises(UserError, match="not all finite"):
        make().load_weights(tmp_path / "a.pkl")


@needs_neon
def test_another_networks_state_is_refused() -> None:
    with pytest.raises(ValueError, match="other names or shapes"):
        make().set_state(make(num_actions=4).get_state())


@needs_neon
@pytest.mark.parametrize("datatype", ["float16", "float64"])
def test_other_datatypes_learn(datatype: str, tmp_path: Path) -> None:
    network = make(datatype=datatype)
    for _ in range(3):
        network.train(minibatch())
    assert np.isfinite(network.predict(states(2))).all()
    network.save_weights(tmp_path / "a.pkl", info={})
    loaded = make(2, datatype=datatype)
    loaded.load_weights(tmp_path / "a.pkl")
    np.testing.assert_allclose(
        loaded.predict(states(2)), network.predict(states(2)), atol=TOLERANCE
    )


@needs_neon
def test_what_neon_cannot_do_on_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        UserError, match="no bfloat16: use one of --datatype float16, float32, float64"
    ):
        make(datatype="bfloat16")
    with pytest.raises(ValueError, match=r"states are \(N, 4, 36, 36\) uint8"):
        make().predict(np.zeros((1, 4, 36, 36), np.float32))

    check_gpu = importlib.import_module("neon.backends.util.check_gpu")
    monkeypatch.setattr(check_gpu, "get_device_count", lambda: 0)
    with pytest.raises(UserError, match="There is no GPU 0 that Neon can use"):
        make(backend="gpu")
    monkeypatch.setattr(check_gpu, "get_device_count", lambda: 1)
    with pytest.raises(UserError, match="no float64: use one of --datatype float16, float32"):
        make(datatype="float64")  # the GPU is what `auto` takes
    if find_spec("pycuda") is None:
        with pytest.raises(
            UserError, match=r"does not start on this machine .*: use --backend cpu"
        ):
            make()


@needs_neon
def test_stochastic_rounding_is_said_to_be_without_effect_on_a_cpu(
    caplog: pytest.LogCaptureFixture,
) -> None:
    make(stochastic_round=True, backend="cpu").train(minibatch())
    assert "--stochastic_round changes nothing" in caplog.text


# Snapshots from and to Neon's own Model and PyTorch


def neon_model(batch_norm: bool) -> Any:
    """A model of the same network as one writes it in Neon, on the backend made last."""
    neon = import_neon()
    init = [neon.initializers.Xavier(local=local) for local in (True, False)]
    relu = {"activation": neon.transforms.Rectlin(), "batch_norm": batch_norm}
    model = neon.models.Model(
        [
            neon.layers.Conv((8, 8, 32), init[0], strides=4, **relu),
            neon.layers.Conv((4, 4, 64), init[0], strides=2, **relu),
            neon.layers.Conv((3, 3, 64), init[0], strides=1, **relu),
            neon.layers.Affine(512, init[1], **relu),
            neon.layers.Affine(3, init[1]),
        ]
    )
    model.initialize((4, 36, 36))
    return model


def neon_predict(model: Any, some: NDArray[np.uint8]) -> NDArray[np.float32]:
    inputs = model.be.empty((4, 36, 36, len(some)))
    inputs.set(np.ascontiguousarray(some.transpose(1, 2, 3, 0)) / np.float32(255))
    found: NDArray[np.float32] = model.fprop(inputs, inference=True).get().T
    return found


@needs_neon
@needs_torch
@leaves_files_open
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("optimizer", ["rmsprop", "adam", "adadelta"])
def test_snapshots_go_both_ways_between_pytorch_and_neon(
    optimizer: str, batch_norm: bool, tmp_path: Path
) -> None:
    from deepqnetwork import DeepQNetwork

    flags: dict[str, Any] = {"batch_norm": batch_norm, "optimizer": optimizer, "backend": "cpu"}
    ours = DeepQNetwork(settings(**flags), num_actions=3, rng=np.random.default_rng(3))
    for n in range(20):
        ours.train(minibatch(n))
    ours.save_weights(tmp_path / "ours.pkl", info={"weight_updates": 20})
    some = states(4)

    on_neon = make(**flags)
    model = neon_model(batch_norm)
    model.load_params(str(tmp_path / "ours.pkl"))
    np.testing.assert_allclose(neon_predict(model, some), ours.predict(some), atol=TOLERANCE)
    on_neon.load_weights(tmp_path / "ours.pkl")
    np.testing.assert_allclose(on_neon.predict(some), ours.predict(some), atol=TOLERANCE)

    # The optimizer states went along: both learn on alike.
    ours.update_target_network()
    ours.train(minibatch(50))
    on_neon.train(minibatch(50))
    np.testing.assert_allclose(on_neon.predict(some), ours.predict(some), atol=10 * TOLERANCE)

    model.save_params(str(tmp_path / "theirs.pkl"))
    back = DeepQNetwork(settings(**flags), num_actions=3, rng=np.random.default_rng(4))
    back.load_weights(tmp_path / "theirs.pkl")
    np.testing.assert_allclose(back.predict(some), neon_predict(model, some), atol=TOLERANCE)


@needs_neon
@leaves_files_open
def test_neon_reads_what_this_engine_writes_and_the_other_way_round(tmp_path: Path) -> None:
    network = make()
    network.train(minibatch())
    network.save_weights(tmp_path / "ours.pkl", info={})
    model = neon_model(batch_norm=False)
    model.load_params(str(tmp_path / "ours.pkl"))
    expected = network.predict(states(4))
    np.testing.assert_allclose(neon_predict(model, states(4)), expected, atol=TOLERANCE)
    model.save_params(str(tmp_path / "theirs.pkl"))
    loaded = make(2)
    snapshot = loaded.load_weights(tmp_path / "theirs.pkl")
    np.testing.assert_array_equal(loaded.predict(states(4)), expected)
    write_snapshot(tmp_path / "again.pkl", snapshot)
    model.load_params(str(tmp_path / "again.pkl"))
    np.testing.assert_allclose(neon_predict(model, states(4)), expected, atol=TOLERANCE)
