from __future__ import annotations

import copy
import errno
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from atomic import write_atomically
from errors import UserError
from snapshot.format import Snapshot, game_of, read_snapshot, write_snapshot
from snapshot.layers import (
    NEON_1_0_CONVOLUTIONS,
    SavedLayer,
    batch_norm,
    bias,
    convolution,
    linear,
    relu,
)

GOLDEN = sorted(Path("tests/golden").glob("*.pkl"))  # written by Neon 2.6
# Written by Python 2.7 and numpy 1.16: as by Neon 1.0, and as by the original's convert_weights.py
NEON_1_0 = sorted(Path("tests/pickles").glob("*.pkl"))
STATES = {"rmsprop": 1, "adam": 2, "adadelta": 3, "batch": 1}  # arrays a parameter

Content = dict[str, Any]


def array(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two plain values differ, in type, keys or value."""
    if type(one) is not type(other):
        return [f"{where}: {type(one)} {type(other)}"]
    if isinstance(one, dict):
        found = [f"{where}/{key}" for key in one.keys() ^ other.keys()]
        both = one.keys() & other.keys()
        return found + [d for k in both for d in differences(one[k], other[k], f"{where}/{k}")]
    if isinstance(one, list | tuple):
        found = [] if len(one) == len(other) else [f"{where}: {len(one)} {len(other)}"]
        pairs = enumerate(zip(one, other, strict=False))
        return found + [d for n, (a, b) in pairs for d in differences(a, b, f"{where}/{n}")]
    if isinstance(one, np.ndarray):
        return [] if one.dtype == other.dtype and np.array_equal(one, other) else [where]
    return [] if one == other else [f"{where}: {one} {other}"]


def unpickled(path: Path) -> Any:
    return pickle.loads(path.read_bytes())


def biased(states: int) -> Snapshot:
    """A small network as of the `nature` preset: padding and biases."""

    def kept(value: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return [array(*value.shape, seed=9 + n) for n in range(states)]

    w = [array(4 * 64, 3), array(3 * 16, 2), array(5, 32), array(6, 5)]
    b = [array(3, 1), array(2, 1), array(5, 1), array(6, 1)]
    layers = [
        convolution("Convolution_0", w[0], size=8, stride=4, padding=1, states=kept(w[0])),
        bias("Convolution_0_bias", b[0], states=kept(b[0])),
        relu("Convolution_0_Rectlin"),
        convolution("Convolution_1", w[1], size=4, stride=2, states=kept(w[1])),
        bias("Convolution_1_bias", b[1], states=kept(b[1])),
        relu("Convolution_1_Rectlin"),
        linear("Linear_0", w[2], states=kept(w[2])),
        bias("Linear_0_bias", b[2], states=kept(b[2])),
        relu("Linear_0_Rectlin"),
        linear("Linear_1", w[3], states=kept(w[3])),
        bias("Linear_1_bias", b[3], states=kept(b[3])),
    ]
    info = {"game": "pong", "flags": {"seed": 1, "label": None}}
    return Snapshot(layers, 7, info, train_input_shape=(4, 36, 36))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_reads_neons_own_files(path: Path) -> None:
    snapshot = read_snapshot(path)
    raw = unpickled(path)["model"]["config"]["layers"]
    assert len(raw) == len(snapshot.layers)
    for entry, layer in zip(raw, snapshot.layers, strict=True):
        assert entry["type"] == f"neon.layers.layer.{layer.kind}"
        assert entry["config"]["name"] == layer.name
        assert not differences(entry.get("params", {}), layer.params)
        parameters = 2 if layer.kind == "BatchNorm" else min(len(layer.params), 1)
        each = STATES[path.stem.partition("_")[0]] if path.stem.endswith("end") else 0
        assert len(layer.states) == parameters * each
    filters = [layer.config for layer in snapshot.layers if layer.kind == "Convolution"]
    assert filters == [
        {"size": 8, "channels": 4, "filters": 32, "stride": 4, "padding": 0},
        {"size": 4, "channels": 32, "filters": 64, "stride": 2, "padding": 0},
        {"size": 3, "channels": 64, "filters": 64, "stride": 1, "padding": 0},
    ]
    units = [layer.config for layer in snapshot.layers if layer.kind == "Linear"]
    assert units == [{"inputs": 64, "outputs": 512}, {"inputs": 512, "outputs": 6}]
    assert snapshot.neon_version == "2.6.0"
    assert snapshot.train_input_shape == (4, 36, 36)
    assert snapshot.info == {}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_writes_what_neon_wrote(path: Path, tmp_path: Path) -> None:
    """Key by key: only our own key comes in addition."""
    written = tmp_path / "pong_1.pkl"
    write_snapshot(written, replace(read_snapshot(path), info={"game": "pong"}))
    assert not differences({**unpickled(path), "simple_dqn": {"game": "pong"}}, unpickled(written))


@pytest.mark.parametrize("states", [0, 1, 2, 3])
def test_what_is_written_is_read_bit_for_bit(states: int, tmp_path: Path) -> None:
    first, second = tmp_path / "first.pkl", tmp_path / "second.pkl"
    snapshot = biased(states)
    write_snapshot(first, snapshot)
    found = read_snapshot(first)
    assert not differences(vars(snapshot) | {"layers": 0}, vars(found) | {"layers": 0})
    assert not differences([*map(vars, snapshot.layers)], [*map(vars, found.layers)])
    write_snapshot(second, found)
    assert first.read_bytes() == second.read_bytes()


def test_biases_of_convolutions_are_part_of_them_in_neon(tmp_path: Path) -> None:
    path = tmp_path / "pong_7.pkl"
    write_snapshot(path, biased(2))
    content = unpickled(path)
    entries = content["model"]["config"]["layers"]
    assert [entry["type"].rpartition(".")[2] for entry in entries] == [
        *("Convolution_bias", "Activation", "Convolution_bias", "Activation"),
        *("Linear", "Bias", "Activation", "Linear", "Bias"),
    ]
    assert entries[0]["params"].keys() == {"W", "weight_bias"}
    assert [len(states) for states in entries[0]["states"]] == [2, 2]
    assert entries[0]["config"]["padding"] == 1
    assert "padding" not in entries[2]["config"]
    assert content["epoch_index"] == 7


def test_biases_of_convolutions_of_before_neon_2_2(tmp_path: Path) -> None:
    path = tmp_path / "pong_7.pkl"
    write_snapshot(path, biased(1))
    content = unpickled(path)
    layers = content["model"]["config"]["layers"]
    for n in (2, 0):
        whole = layers[n]
        b = {
            "type": "neon.layers.layer.Bias",
            "config": {"name": whole["config"]["name"] + "_bias", "init": {}},
            "params": {"W": whole["params"].pop("weight_bias")},
            "states": whole["states"].pop(),
        }
        whole["states"] = whole["states"].pop()
        whole["type"] = "neon.layers.layer.Convolution"
        layers.insert(n + 1, b)
    path.write_bytes(pickle.dumps(content, 2))
    found = read_snapshot(path)
    assert not differences([*map(vars, biased(1).layers)], [*map(vars, found.layers)])


@pytest.mark.parametrize("path", NEON_1_0, ids=lambda path: path.stem)
def test_reads_neon_1_0(path: Path) -> None:
    snapshot = read_snapshot(path)
    assert [(layer.kind, layer.name) for layer in snapshot.layers] == [
        ("Convolution", "Convolution_0"),
        ("Activation", "Convolution_0_Rectlin"),
        ("Convolution", "Convolution_1"),
        ("Activation", "Convolution_1_Rectlin"),
        ("Convolution", "Convolution_2"),
        ("Activation", "Convolution_2_Rectlin"),
        ("Linear", "Linear_0"),
        ("Activation", "Linear_0_Rectlin"),
        ("Linear", "Linear_1"),
    ]
    raw = pickle.loads(path.read_bytes(), encoding="latin1")["layer_params_states"]
    weighted = [layer for layer in snapshot.layers if layer.params]
    for entry, layer in zip(raw, weighted, strict=True):
        params = entry["params"]
        np.testing.assert_array_equal(
            layer.params["W"], params["W"] if isinstance(params, dict) else params
        )
        assert not differences(layer.states, entry["states"])
    assert [(layer.config["size"], layer.config["stride"]) for layer in weighted[:3]] == list(
        NEON_1_0_CONVOLUTIONS
    )
    assert snapshot.epoch == 200
    assert snapshot.train_input_shape == ()


def test_reads_batch_normalization_of_neon_1_0(tmp_path: Path) -> None:
    new = read_snapshot(Path("tests/golden/batch_norm_end.pkl"))
    entries = [
        {"params": list(layer.params.values()), "states": [layer.states[:1], layer.states[1:]]}
        if layer.kind == "BatchNorm"
        else {"params": layer.params["W"], "states": layer.states}
        for layer in new.layers
        if layer.params
    ]
    path = tmp_path / "pong_3.pkl"
    path.write_bytes(pickle.dumps({"epoch_index": 1, "layer_params_states": entries}, 2))
    found = read_snapshot(path)
    assert not differences([*map(vars, new.layers)], [*map(vars, found.layers)])


def test_a_written_snapshot_of_neon_1_0_is_of_the_newest_form(tmp_path: Path) -> None:
    path = tmp_path / "again_200.pkl"
    old = read_snapshot(NEON_1_0[0])
    write_snapshot(path, old)
    new = read_snapshot(path)
    assert not differences([*map(vars, old.layers)], [*map(vars, new.layers)])


def test_the_name_tells_the_epoch_of_neons_files_only(tmp_path: Path) -> None:
    path = tmp_path / "pong_200.pkl"
    path.write_bytes(GOLDEN[0].read_bytes())
    assert read_snapshot(path).epoch == 200
    write_snapshot(path, biased(0))
    assert read_snapshot(path).epoch == 7


@pytest.mark.parametrize(
    ("name", "game"),
    [
        ("space_invaders_200", "space_invaders"),
        ("breakout_77", "breakout"),
        ("pong", "pong"),
        ("my net_3", "my net"),
        ("_7", "_7"),
    ],
)
def test_the_game_by_the_files_name(name: str, game: str) -> None:
    assert game_of(Path("snapshots", name + ".pkl"), Snapshot([], 0)) == game


def test_the_game_by_the_snapshot_itself() -> None:
    path = Path("snapshots/pong_label_200.pkl")
    assert game_of(path, Snapshot([], 0, {"game": "breakout"})) == "breakout"
    for wrong in ("", "../../roms/x", "a/b", ".", "a\nb", 7):
        with pytest.raises(UserError, match="not the name of a game"):
            game_of(path, Snapshot([], 0, {"game": wrong}))


def test_weights_of_other_precision_and_not_finite(tmp_path: Path) -> None:
    content = unpickled(GOLDEN[0])
    layers = content["model"]["config"]["layers"]
    layers[0]["params"]["W"] = layers[0]["params"]["W"].astype(np.float64)
    layers[2]["params"]["W"] = layers[2]["params"]["W"].astype(np.float16)
    layers[4]["params"]["W"] = np.asfortranarray(layers[4]["params"]["W"])
    layers[8]["params"]["W"][0, 0] = np.nan
    path = tmp_path / "pong_1.pkl"
    path.write_bytes(pickle.dumps(content, 2))
    for before, after in zip(layers, read_snapshot(path).layers, strict=True):
        if after.params:
            assert after.params["W"].dtype == np.float32
            np.testing.assert_array_equal(after.params["W"], before["params"]["W"])


CONVOLUTION = {
    "type": "neon.layers.layer.Convolution",
    "config": {"name": "Convolution_9", "fshape": (3, 3, 64)},
    "params": {"W": array(9 * 64, 64)},
}
LINEAR = {"type": "Linear", "config": {"name": "Linear_9"}, "params": {"W": array(9, 100)}}


def edit(layer: int, *keys: str, to: Any) -> Callable[[Content], None]:
    """Puts another value into a layer of a snapshot's content."""

    def apply(content: Content) -> None:
        holder: Any = content["model"]["config"]["layers"]
        path = [layer, *keys]
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = to

    return apply


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content.pop("model"), "it has no model"),
        (lambda content: content.pop("epoch_index"), "it has no epoch_index"),
        (lambda content: content["model"]["config"].pop("layers"), "it has no layers"),
        (lambda content: content["model"]["config"]["layers"].clear(), "it has no linear layer"),
        (lambda content: content["model"]["config"]["layers"].append(7), "it has no type"),
        (lambda content: content.update(train_input_shape=("a",)), "is not a shape"),
        (lambda content: content.update(simple_dqn=[]), "it has no simple_dqn"),
        (edit(0, "type", to="neon.layers.layer.Pooling"), "is of the unknown type Pooling"),
        (edit(0, "type", to="x" * 101), "it has no type"),
        (edit(0, "config", "name", to="\x1b[2J"), "it has no name"),
        (edit(0, "config", "fshape", to=(8, 4, 32)), "fshape is not one number"),
        (edit(0, "config", "fshape", to=(8, 8)), "not of height, width and filters"),
        (edit(0, "config", "fshape", to=(7, 7, 32)), "for 7x7 filters"),
        (edit(0, "config", "fshape", to=(0, 0, 32)), "for 0x0 filters"),
        (edit(0, "config", "strides", to={"str_h": 4, "str_w": 2}), "strides is not one number"),
        (edit(0, "config", "strides", to={"str_h": 4}), "strides is not one number"),
        (edit(0, "config", "strides", to=[4]), "strides is not one number"),
        (edit(0, "config", "padding", to=-1), "for 8x8 filters"),
        (edit(0, "config", "dilation", to=2), "dilated"),
        (edit(0, "params", "W", to=array(8)), "no float32 matrix"),
        (edit(0, "params", "W", to=np.ones((256, 32), np.int64)), "no float32 matrix"),
        (edit(0, "params", to={}), "no float32 matrix"),
        (edit(0, "states", to=[array(256, 31)]), "do not fit each other"),
        (edit(0, "states", to=[None]), "no float32 matrix"),
        (edit(0, "states", to={}), "it has no states"),
        (edit(1, to=CONVOLUTION), "does not fit the one before it"),
        (edit(8, to=CONVOLUTION), "does not fit the one before it"),
        (edit(7, to=LINEAR), "does not fit the one before it"),
        (edit(1, to=LINEAR | {"type": "Bias"}), "has weights of shape"),
        (edit(1, "config", "transform", to={"type": "neon.Tanh", "config": {}}), "is not a ReLU"),
        (edit(1, "config", "transform", "config", to={"slope": 0.1}), "is not a ReLU"),
    ],
)
def test_what_is_not_our_network_is_refused(
    change: Callable[[Content], None], said: str, tmp_path: Path
) -> None:
    content = copy.deepcopy(unpickled(Path("tests/golden/rmsprop_end.pkl")))
    change(content)
    path = tmp_path / "pong_1.pkl"
    path.write_bytes(pickle.dumps(content, 2))
    with pytest.raises(UserError) as error:
        read_snapshot(path)
    sentence = str(error.value)
    assert said in sentence
    assert str(path) in sentence
    assert sentence.isprintable()
    assert sentence.endswith(".")


def test_networks_that_the_original_never_had_in_neon_1_0(tmp_path: Path) -> None:
    old = pickle.loads(NEON_1_0[1].read_bytes(), encoding="latin1")
    path = tmp_path / "pong_1.pkl"
    for entries in (
        old["layer_params_states"][:4],
        [{"params": [array(3, 1)] * 4}],
        [{"params": {"V": array(3, 1)}}],
        [None],
    ):
        path.write_bytes(pickle.dumps(old | {"layer_params_states": entries}, 2))
        with pytest.raises(UserError, match="cannot be used as a snapshot"):
            read_snapshot(path)


def test_strides_one_way_at_a_time_and_a_normalization_of_other_numbers(tmp_path: Path) -> None:
    path, again = tmp_path / "pong_1.pkl", tmp_path / "pong_2.pkl"
    content = unpickled(Path("tests/golden/batch_norm_end.pkl"))
    layers = content["model"]["config"]["layers"]
    layers[0]["config"] |= {"strides": {"str_h": 4, "str_w": 4}, "padding": {}, "dilation": {}}
    layers[1]["config"] |= {"rho": 0.99, "eps": 1e-5}
    path.write_bytes(pickle.dumps(content, 2))
    found = read_snapshot(path)
    assert found.layers[0].config["stride"] == 4
    assert found.layers[1].config == {"rho": 0.99, "eps": 1e-5}
    write_snapshot(again, found)
    assert unpickled(again)["model"]["config"]["layers"][1]["config"] == layers[1]["config"]


def test_files_that_are_no_snapshots(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.pkl"
    os.mkfifo(pipe)
    for path in (tmp_path / "none.pkl", tmp_path, pipe, Path("/dev/zero")):
        with pytest.raises(UserError, match="There is no snapshot"):
            read_snapshot(path)
    other = tmp_path / "other.pkl"
    for data in (b"", b"epoch,phase\n", b"PK\x03\x04", b"\x80\x02N.", b"\x80\x02].", b"\x80\x02}."):
        other.write_bytes(data)
        with pytest.raises(UserError, match="cannot be used as a snapshot"):
            read_snapshot(other)


def test_a_text_file_is_another_kind_of_file(tmp_path: Path) -> None:
    path = tmp_path / "breakout_1.pkl"
    path.write_text("# Notes\n")
    with pytest.raises(UserError, match="as a snapshot: it is another kind of file; give a"):
        read_snapshot(path)


def test_a_cut_file_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "pong_1.pkl"
    write_snapshot(path, biased(1))
    data = path.read_bytes()
    cuts = [*range(0, 400, 3), *range(len(data) - 400, len(data), 3), *range(0, len(data), 997)]
    for cut in cuts:
        path.write_bytes(data[:cut])
        with pytest.raises(UserError, match="cannot be used as a snapshot"):
            read_snapshot(path)


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_failing_write_leaves_the_old_file(
    failing: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pong_1.pkl"
    write_snapshot(path, biased(0))
    before = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(type(error)):
        write_snapshot(path, biased(1))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_needs_its_folder(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        write_snapshot(tmp_path / "none" / "pong_1.pkl", biased(0))


def test_nothing_is_written_through_a_link_or_over_a_pipe(tmp_path: Path) -> None:
    target, link, pipe = (tmp_path / name for name in ("notes.txt", "pong_1.pkl", "pong_2.pkl"))
    target.write_bytes(b"old")
    link.symlink_to(target)
    os.mkfifo(pipe)
    for path, reason in ((link, "symbolic link"), (pipe, "no regular file")):
        with pytest.raises(OSError, match=reason):
            write_atomically(path, b"new")
    assert target.read_bytes() == b"old"
    assert link.is_symlink()
    assert pipe.is_fifo()
    assert len(list(tmp_path.iterdir())) == 3


def test_a_link_with_the_name_of_a_temporary_file_is_not_followed(tmp_path: Path) -> None:
    target, path = tmp_path / "notes.txt", tmp_path / "pong_1.pkl"
    target.write_bytes(b"old")
    (tmp_path / f".{path.name}.{os.getpid()}.tmp").symlink_to(target)
    write_atomically(path, b"new")
    assert target.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert not path.is_symlink()


def test_a_network_too_large_to_read_again_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshot.format.MAX_BYTES", 1000)
    with pytest.raises(UserError, match="train a smaller network"):
        write_snapshot(tmp_path / "pong_1.pkl", biased(0))
    assert not list(tmp_path.iterdir())


def test_layers_must_fit_themselves() -> None:
    W = array(256, 32)
    wrongs: list[Callable[[], SavedLayer]] = [
        lambda: convolution("c", W, size=0, stride=4),
        lambda: convolution("c", W, size=8, stride=0),
        lambda: convolution("c", W[:255], size=8, stride=4),
        lambda: linear("l", np.ones((3, 4))),  # type: ignore[arg-type]
        lambda: linear("l", W[:0]),
        lambda: bias("b", W),
        lambda: bias("b", W[:, 0]),
        lambda: linear("l", W, states=[W.T]),
        lambda: batch_norm("n", beta=W, gamma=W, gmean=W, gvar=W),
    ]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="its layer"):
            wrong()
    column = array(3, 1)
    with pytest.raises(ValueError, match="do not fit"):
        batch_norm("n", beta=column, gamma=column, gmean=column, gvar=column[:2])
    with pytest.raises(ValueError, match="do not fit"):
        batch_norm("n", beta=column, gamma=column, gmean=column, gvar=column, states=[column])
    assert relu("r") == SavedLayer("Activation", "r")
