"""Captured weight updates: the bookkeeping here; the graph itself only where there is a GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from config import NetworkSettings
from deepqnetwork import DeepQNetwork
from engine import cuda_graph
from engine.cuda_graph import WARM_UP, Captured
from replay_memory import Minibatch

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


class Pair(NamedTuple):
    """As the arguments of a weight update are made: tuples, lists and tensors."""

    first: Tensor
    rest: list[Tensor]


class Recording:
    """Stands in for torch.cuda.graph and the graph: records a call's function to call it again."""

    def __init__(self) -> None:
        self.captured: Captured | None = None
        self.replays = 0
        self.fails = False

    def graph(self, graph: object, **_: Any) -> Recording:
        return self

    def __enter__(self) -> None:
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")

    def __exit__(self, *error: object) -> None: ...

    def replay(self) -> None:
        assert self.captured
        self.replays += 1
        result = self.captured.function(*self.captured.inputs)
        cuda_graph._copy(self.captured.output, result)

    def wait_stream(self, other: object) -> None: ...


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Recording:
    recording = Recording()
    monkeypatch.setattr(torch.cuda, "graph", recording.graph)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: recording)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: recording)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: recording)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    return recording


def total(seen: list[float]) -> Callable[[Pair], list[Tensor]]:
    def function(pair: Pair) -> list[Tensor]:
        assert isinstance(pair, Pair)
        value = pair.first + sum(pair.rest)
        seen.append(float(value))
        return [value]

    return function


def test_every_call_is_one_update_with_its_own_inputs(recording: Recording) -> None:
    seen: list[float] = []
    captured = recording.captured = Captured(total(seen))
    for n in range(WARM_UP + 4):
        inputs = Pair(torch.tensor(float(n)), [torch.tensor(10.0 * n), torch.tensor(100.0 * n)])
        (result,) = captured(inputs)
        assert float(result) == 111 * n
    # The recorded call runs nothing on a GPU; here it is seen, with the inputs of its replay.
    calls = [*range(WARM_UP), WARM_UP, *range(WARM_UP, WARM_UP + 4)]
    assert seen == [111.0 * n for n in calls]
    assert recording.replays == 4


def test_what_cannot_be_captured_is_computed_as_before(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[float] = []
    captured = Captured(total(seen))
    recording.fails = True
    for n in range(WARM_UP + 4):
        captured(Pair(torch.tensor(float(n)), []))
    assert seen == [float(n) for n in range(WARM_UP + 4)]
    assert caplog.text.count("cannot capture") == 1


def minibatch(rng: np.random.Generator) -> Minibatch:
    return Minibatch(
        screens=rng.integers(0, 256, (4, 5, 36, 36), np.uint8),
        actions=rng.integers(0, 3, 4, np.uint8),
        returns=rng.normal(size=4).astype(np.float32),
        discounts=np.where(rng.random(4) < 0.2, 0.0, 0.99),
        indices=np.arange(4),
        weights=np.ones(4, np.float32),
        history=4,
    )


def make_network(**flags: Any) -> DeepQNetwork:
    settings = NetworkSettings(screen_height=36, screen_width=36, batch_size=4, **flags)
    return DeepQNetwork(settings, num_actions=3, rng=np.random.default_rng(0))


@needs_gpu
@pytest.mark.parametrize("datatype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"overlap": True},
        {"optimizer": "adam_corrected", "learning_rate_decay_updates": 20, "average_decay": 0.9},
        {"distribution": "c51", "normalization": "spectral", "dueling": True, "bias": True},
        {"network": "impala", "distribution": "iqn", "munchausen": True, "optimizer": "adam"},
    ],
)
def test_captured_updates_are_the_plain_ones(
    flags: dict[str, Any], datatype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    captured = make_network(datatype=datatype, **flags)
    plain = make_network(datatype=datatype, **{**flags, "overlap": False})
    plain.compute_targets = plain._compute_targets
    plain.change_weights = plain._change_weights
    for predictor in plain.predictors.values():
        predictor.captured = None
    rng = np.random.default_rng(1)
    states = rng.integers(0, 256, (2, 4, 36, 36), np.uint8)
    for t in range(12):
        if t == 8:
            for network in (captured, plain):
                network.update_target_network()
        batch = minibatch(rng)
        captured.train(batch)
        plain.train(batch)
        captured.predict(states[:1])
    assert captured.train_iterations == plain.train_iterations == 12
    for each in (captured.change_weights, captured.predictors[captured.average].captured):
        assert isinstance(each, Captured)
        assert each.graph
    tolerance = 1e-5 if datatype == "float32" else 1e-3
    assert np.abs(captured.predict(states) - plain.predict(states)).max() < tolerance
    assert abs(captured.read_cost() - plain.read_cost()) < tolerance


@needs_gpu
def test_a_failed_capture_leaves_the_stream_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    captured = Captured(lambda x: x * x.sum().item())
    stream = torch.cuda.current_stream()
    for n in range(WARM_UP + 3):
        x = torch.full((3,), float(n), device="cuda")
        assert captured(x).tolist() == [3.0 * n * n] * 3
        assert torch.cuda.current_stream() == stream
    assert captured.graph is None
    assert caplog.text.count("cannot capture") == 1
