"""Agents for other programs: what is written is what was learned, and comes back."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

import atomic
import export
from api.load import load
from checkpoint.lock import file_locked
from commands import exit_codes
from errors import UserError
from tests.api.test_load import CATCH, NETWORKS, OWN_NETWORK, saved

ROOT = Path(__file__).parent.parent.parent
OWN_WITH_NUMBERS = """
import torch
from torch import nn

class Own(nn.Module):
    def __init__(self, settings):
        super().__init__()
        self.norm = nn.BatchNorm2d(settings.history_length)
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return self.norm(x[..., ::6, ::6]) * self.scale
"""
WHY = "requirements-extras.txt is not installed"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written without --output is written here."""
    monkeypatch.setattr(export, "ROOT", tmp_path)


@pytest.fixture
def safetensors() -> Any:
    pytest.importorskip("safetensors", reason=WHY)
    import safetensors.numpy

    return safetensors


def run(*words: object, expect: int = 0) -> None:
    assert export.main([str(word) for word in words]) == expect


def states(*shape: int) -> Any:
    return np.random.default_rng(1).integers(0, 256, (5, *(shape or (4, 36, 36))), dtype=np.uint8)


@pytest.mark.parametrize("settings", NETWORKS, ids=str)
def test_a_snapshot_of_every_kind_comes_back_byte_for_byte(
    tmp_path: Path, safetensors: Any, settings: dict[str, Any]
) -> None:
    path, _ = saved(tmp_path, **settings)
    run(path)
    run(tmp_path / "exports/breakout_1.safetensors")
    assert (tmp_path / "snapshots/breakout_1.pkl").read_bytes() == path.read_bytes()


def test_an_agent_that_comes_with_the_project_comes_back_byte_for_byte(
    tmp_path: Path, safetensors: Any
) -> None:
    (path,) = ROOT.glob("agents/pong_*.pkl")
    run(path, "--output", tmp_path / "pong.safetensors")
    run(tmp_path / "pong.safetensors", "--output", tmp_path / "pong.pkl")
    assert (tmp_path / "pong.pkl").read_bytes() == path.read_bytes()


def test_an_agent_of_ones_own_code_comes_back_if_it_is_trusted(
    tmp_path: Path, safetensors: Any, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN_NETWORK)
    flags = dict(environment=CATCH, frame_skip=None, random_starts=0, zero_history=True)
    path, _ = saved(tmp_path, game="catch", num_actions=3, network=f"{file}:Own", **flags)
    named = ("--network", f"{file}:Own", "--environment", CATCH)
    run(path, *named)
    from user_code import trust

    monkeypatch.setattr(trust, "FOLDER", tmp_path / "nobody has agreed")
    source = tmp_path / "exports/catch_1.safetensors"
    run(source, expect=2)
    assert f"{source} names code in a file" in capsys.readouterr().err
    assert not (tmp_path / "snapshots/catch_1.pkl").exists()
    run(source, *named)
    assert (tmp_path / "snapshots/catch_1.pkl").read_bytes() == path.read_bytes()


def test_parameters_and_statistics_that_are_single_numbers_come_back(
    tmp_path: Path, safetensors: Any
) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN_WITH_NUMBERS)
    path, _ = saved(tmp_path, network=f"{file}:Own")
    run(path, "--network", f"{file}:Own")
    exported = tmp_path / "exports/breakout_1.safetensors"
    shapes = {name: array.shape for name, array in safetensors.numpy.load_file(exported).items()}
    assert [shape for name, shape in sorted(shapes.items()) if "scale" in name] == [()]
    run(exported, "--network", f"{file}:Own")
    assert (tmp_path / "snapshots/breakout_1.pkl").read_bytes() == path.read_bytes()


def exec_the_code_in_the_docs(tmp_path: Path, path: Path) -> Any:
    run(path)
    text = (ROOT / "docs/export.md").read_text()
    (code,) = re.findall(r"```python\n(.*?safe_open.*?)```", text, re.DOTALL)
    known = {"path": tmp_path / "exports/breakout_1.safetensors", "states": states()}
    exec(code, known)
    return known["q"]


@pytest.mark.parametrize("settings", [{}, dict(bias=True, init="torch", pixel_max=255.0)], ids=str)
def test_the_code_in_the_docs_computes_our_q_values(
    tmp_path: Path, safetensors: Any, settings: dict[str, Any]
) -> None:
    path, network = saved(tmp_path, **settings)
    found = exec_the_code_in_the_docs(tmp_path, path)
    np.testing.assert_allclose(found.detach(), network.predict(states()), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("settings", [dict(distribution="c51"), dict(dueling=True)], ids=str)
def test_the_code_in_the_docs_refuses_other_heads(
    tmp_path: Path, safetensors: Any, settings: dict[str, Any]
) -> None:
    path, _ = saved(tmp_path, **settings)
    with pytest.raises(AssertionError):
        exec_the_code_in_the_docs(tmp_path, path)


def test_the_description_says_how_the_game_is_seen(tmp_path: Path, safetensors: Any) -> None:
    path, network = saved(tmp_path, color_averaging=False, frame_maximum=True, resize="area")
    run(path)
    with safetensors.safe_open(tmp_path / "exports/breakout_1.safetensors", "numpy") as file:
        about = json.loads(file.metadata()["simple_dqn"])
        shape = file.get_tensor("features.first.weight").shape
    assert shape == (32, 4, 8, 8)
    assert about["actions"] == ["NOOP", "FIRE", "RIGHT", "LEFT"]
    seen = about["preprocessing"]
    assert (seen["frame_skip"], seen["resize"], seen["screen_width"]) == (4, "area", 36)
    words = " ".join(about["in_words"])
    assert "maximum over the last two frames" in words
    assert "0.299 red" in words
    assert "INTER_AREA" in words
    first, second = about["layers"][:2]
    assert (first["size"], first["stride"], second["size"], second["stride"]) == (8, 4, 4, 2)
    assert len(about["layers"]) == len(network.online.layers())


@pytest.mark.parametrize(
    "settings",
    [
        dict(bias=True, padding=1, batch_norm=True, distribution="quantile"),
        dict(network="impala", network_width=0.5, distribution="iqn", normalization="layer"),
        dict(network="nips", dueling=True, noisy=True, distribution="c51"),
        dict(pixel_max=255.0, bias=True),
    ],
    ids=str,
)
def test_onnx_runtime_computes_our_q_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: dict[str, Any]
) -> None:
    for name in ("onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=WHY)
    from exchange.onnx_file import onnx_q_values

    path, network = saved(tmp_path, **settings)
    trained(network)
    network.save_weights(path, epoch=1, info=load(path, backend="cpu")[0].snapshot.info)
    run(path, "--format", "onnx")
    assert "the Q-values of 64 states differ by at most" in capsys.readouterr().out
    model = (tmp_path / "exports/breakout_1.onnx").read_bytes()
    ours = network.predict(states())
    scale = max(1.0, float(np.abs(ours).max()))
    np.testing.assert_allclose(onnx_q_values(model, states()), ours, atol=1e-5 * scale)
    np.testing.assert_allclose(onnx_q_values(model, states()[:1]), ours[:1], atol=1e-5 * scale)
    import onnx

    (entry,) = onnx.load_from_string(model).metadata_props
    about = json.loads(entry.value)
    assert (entry.key, about["game"], len(about["in_words"]) > 5) == (
        "simple_dqn",
        "breakout",
        True,
    )


def test_a_network_that_onnx_cannot_have_is_refused_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=WHY)
    file = tmp_path / "own.py"
    branch = "if x.sum().item() > 1e6:\n            x = x / 2\n        return"
    file.write_text(OWN_NETWORK.replace("return", branch))
    path, _ = saved(tmp_path, network=f"{file}:Own")
    run(path, "--network", f"{file}:Own", "--format", "onnx", expect=2)
    said = capsys.readouterr().err
    assert "cannot export this network as ONNX" in said
    assert said.count("\n") == 1, "nothing of PyTorch's own"
    assert not (tmp_path / "exports/breakout_1.onnx").exists()


def trained(network: Any) -> None:
    """Statistics of normalization as training leaves them, not the zeros of a new network."""
    import torch

    with torch.no_grad():
        network.online(torch.from_numpy(states()), training=True)


def test_a_model_that_computes_something_else_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason=WHY)
    onnx = pytest.importorskip("onnx", reason=WHY)
    from exchange import onnx_file

    make = onnx.helper
    states_in = make.make_tensor_value_info("states", onnx.TensorProto.UINT8, ["N", 4, 36, 36])
    q = make.make_tensor_value_info("q_values", onnx.TensorProto.FLOAT, ["N", 4])
    zero = make.make_tensor("zero", onnx.TensorProto.FLOAT, [64, 4], [0.0] * 256)
    nodes = [make.make_node("Constant", [], ["q_values"], value=zero)]
    graph = make.make_graph(nodes, "zero", [states_in], [q])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 20)], ir_version=10)
    monkeypatch.setattr(onnx_file, "onnx_model", lambda network: model)
    run(saved(tmp_path)[0], "--format", "onnx", expect=2)
    assert "differ by up to 0." in capsys.readouterr().err
    assert not list((tmp_path / "exports").iterdir())


def damaged(safetensors: Any, path: Path, **changes: Any) -> None:
    """The same file with another description or other tensors."""
    with safetensors.safe_open(path, "numpy") as file:
        about = json.loads(file.metadata()["simple_dqn"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors |= changes.pop("arrays", {})
    for name in changes.pop("without", ()):
        del tensors[name]
    text = changes.pop("text", None) or json.dumps(about | changes)
    safetensors.numpy.save_file(tensors, path, {"simple_dqn": text})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (dict(text="{}"), "has no 'tensors'"),
        (dict(text="[" * 100_000), "cannot be used"),
        (dict(text="[]"), "cannot be used"),
        (dict(info=[]), "its description is of another form"),
        (dict(epoch=-1), "its description is of another form"),
        (dict(epoch=True), "its description is of another form"),
        (dict(info={"score": "high"}), "score"),
        (dict(info={"game": "../../etc"}), "../../etc"),
        (dict(without=["features.first.weight"]), "features.first.weight"),
        (dict(arrays={"features.first.weight": np.zeros((32, 4, 4, 4), np.float32)}), "shape"),
        (dict(arrays={"features.first.weight": np.zeros(8, np.float32)}), "shape"),
        (dict(arrays={"features.first.weight": np.zeros((32, 4, 8, 8))}), "float32"),
        (
            dict(arrays={"features.first.weight": np.full((32, 4, 8, 8), np.nan, np.float32)}),
            "not all finite",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_strange_file_is_refused_with_a_sentence(
    tmp_path: Path,
    safetensors: Any,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    sentence: str,
) -> None:
    run(saved(tmp_path)[0])
    path = tmp_path / "exports/breakout_1.safetensors"
    damaged(safetensors, path, **changes)
    run(path, expect=2)
    said = capsys.readouterr().err
    assert said.startswith("export: ")
    assert said.count("\n") == 1
    assert sentence in said
    assert str(path) in said
    assert not (tmp_path / "snapshots/breakout_1.pkl").exists()


def test_files_of_another_kind_are_refused(
    tmp_path: Path, safetensors: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = saved(tmp_path)
    long = (90 << 20).to_bytes(8, "little") + b"{"
    for name, data in (("cut", path.read_bytes()[:100]), ("empty", b""), ("long", long)):
        (tmp_path / f"{name}.safetensors").write_bytes(data)
        run(tmp_path / f"{name}.safetensors", expect=2)
        assert "cannot be used" in capsys.readouterr().err
    run(tmp_path / "missing.safetensors", expect=2)
    assert "cannot be read" in capsys.readouterr().err
    os.mkfifo(tmp_path / "pipe.safetensors")
    run(tmp_path / "pipe.safetensors", expect=2)
    assert "cannot be read: it is no regular file" in capsys.readouterr().err
    safetensors.numpy.save_file({"a": np.zeros(1)}, tmp_path / "other.safetensors")
    run(tmp_path / "other.safetensors", expect=2)
    assert "has no 'simple_dqn'" in capsys.readouterr().err


def test_nothing_is_replaced_unasked_and_wrong_words_are_answered(
    tmp_path: Path, safetensors: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = saved(tmp_path)
    run(path)
    run(path, expect=2)
    assert "already exists" in capsys.readouterr().err
    with file_locked(tmp_path / "exports/breakout_1.safetensors"):
        run(path, "--overwrite", expect=2)
    assert "breakout_1.safetensors is in use already" in capsys.readouterr().err
    run(path, "--overwrite")
    run(path, "--format", "pkl", expect=2)
    assert "leave --format out" in capsys.readouterr().err
    run(path, "--output", tmp_path / "x.zip", expect=2)
    assert "must end in .safetensors" in capsys.readouterr().err
    run(path, "--output", tmp_path / "x.onnx", "--format", "safetensors", expect=2)
    assert "must end in .safetensors" in capsys.readouterr().err
    run(path, "--formal", "onnx", expect=2)
    assert "see ./export.sh --help" in capsys.readouterr().err
    run(path, "--output", path / "x.safetensors", expect=2)
    assert "cannot be written: Not a directory" in capsys.readouterr().err


def test_a_full_disk_is_what_is_not_saved_and_not_what_is_unusable(
    tmp_path: Path,
    safetensors: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, _ = saved(tmp_path)
    full = OSError(errno.ENOSPC, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(sys.stdout, "flush", Mock(side_effect=full))
        patch.setattr(exit_codes, "silence", lambda number: None)
        run(path, expect=3)
    assert "the output could not be written" in capsys.readouterr().err
    assert (tmp_path / "exports/breakout_1.safetensors").exists()
    monkeypatch.setattr(atomic, "write_new", Mock(side_effect=full))
    run(path, "--overwrite", expect=3)
    assert "breakout_1.safetensors: No space left on device" in capsys.readouterr().err


def test_without_the_library_a_sentence_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith(("safetensors", "exchange"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    run(saved(tmp_path)[0], expect=2)
    said = capsys.readouterr().err
    assert said.startswith("export: safetensors is not installed: run ./export.sh")


def test_a_description_that_is_nested_deeply_is_refused(tmp_path: Path, safetensors: Any) -> None:
    from exchange.safetensors_file import import_agent

    run(saved(tmp_path)[0])
    path = tmp_path / "exports/breakout_1.safetensors"
    nested: Any = {}
    for _ in range(400):
        nested = {"a": nested}
    damaged(safetensors, path, info={"flags": nested})
    with pytest.raises(UserError, match="cannot be used"):
        import_agent(path, tmp_path / "breakout_1.pkl")
