"""Captured weight updates: the bookkeeping here; the graph itself only where there is a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepqnetwork import DeepQNetwork
from engine.cuda_graph import WARM_UP, CapturedUpdate
from replay_memory import Minibatch

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


def minibatch(rng: np.random.Generator) -> Minibatch:
    return Minibatch(
        rng.integers(0, 256, (4, 5, 36, 36), np.uint8),
        rng.integers(0, 3, 4, np.uint8),
        rng.normal(size=4).astype(np.float32),
        rng.random(4) < 0.2,
    )


def make_network() -> DeepQNetwork:
    return DeepQNetwork(
        num_actions=3,
        screen_height=36,
        screen_width=36,
        batch_size=4,
        rng=np.random.default_rng(0),
    )


class FakeGraph:
    """Replays by calling the update with the inputs it was captured with."""

    def __init__(self) -> None:
        self.captured: CapturedUpdate | None = None

    def replay(self) -> None:
        assert self.captured
        self.captured.update(*self.captured.inputs)


def test_every_call_is_one_update_with_its_own_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    captured = CapturedUpdate(lambda x: seen.append(float(x)))
    graph = FakeGraph()
    graph.captured = captured

    def capture(inputs: tuple[torch.Tensor, ...]) -> None:
        captured.inputs = tuple(tensor.clone() for tensor in inputs)
        captured.graph = graph  # type: ignore[assignment]

    class Stream:
        def wait_stream(self, other: object) -> None:
            pass

        def __enter__(self) -> None: ...

        def __exit__(self, *error: object) -> None: ...

    monkeypatch.setattr(captured, "_capture", capture)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    for n in range(WARM_UP + 4):
        captured(torch.tensor(float(n)))
    assert seen == [float(n) for n in range(WARM_UP + 4)]


@needs_gpu
def test_captured_updates_are_the_plain_ones() -> None:
    captured, plain = make_network(), make_network()
    assert isinstance(captured.update, CapturedUpdate)
    plain.update = plain._update
    rng = np.random.default_rng(1)
    states = rng.integers(0, 256, (2, 4, 36, 36), np.uint8)
    for _ in range(10):
        batch = minibatch(rng)
        captured.train(batch)
        plain.train(batch)
    assert captured.train_iterations == plain.train_iterations == 10
    assert np.abs(captured.predict(states) - plain.predict(states)).max() < 1e-5
    assert abs(captured.read_cost() - plain.read_cost()) < 1e-5
