"""The network against a naive twin: plain convolutions of the snapshot's own arrays."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from errors import UserError
from network import Network, nature_layers, to_blocks
from tests.naive_network import naive_forward, relative_error

ACTIONS = 3
CPU = torch.device("cpu")
SIZES = [(84, 84), (36, 36), (50, 63), (44, 84)]  # height, width


def make(
    size: tuple[int, int] = (36, 36),
    history: int = 2,
    padding: int = 0,
    dtype: torch.dtype = torch.float64,
    init: str = "uniform",
    **settings: Any,
) -> Network:
    layers = nature_layers(ACTIONS, history, *size, padding)
    network = Network(layers, device=CPU, dtype=dtype, **settings)
    network.initialize(init, np.random.default_rng(1))
    return network


def snapshot_arrays(network: Network) -> dict[tuple[int, str], Tensor]:
    """The weights as a snapshot has them, in float64 and ready for autograd."""
    return {
        (i, name): torch.from_numpy(network.unpack(i, name, master)).double().requires_grad_()
        for (i, name), master in zip(network.names, network.masters, strict=True)
    }


def draw(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize(
    ("size", "history", "padding", "bias"),
    [
        *((size, 4, padding, bool(padding)) for size in SIZES for padding in (0, 1)),
        *(((36, 36), history, 0, False) for history in (1, 2, 3, 5)),
        *(((36, 37), 2, padding, True) for padding in (2, 4)),
    ],
)
def test_q_values_and_gradients_are_the_naive_twins(
    size: tuple[int, int], history: int, padding: int, bias: bool
) -> None:
    network = make(size, history, padding, bias=bias, init="torch")
    arrays, screens = snapshot_arrays(network), draw((2, history, *size))
    ours = network.forward(to_blocks(screens, padding), training=True)
    theirs = naive_forward(arrays, screens, padding)
    assert ours.shape == (2, ACTIONS)
    assert relative_error(ours.detach(), theirs.detach()) < 1e-6
    errors = torch.tensor([[0.5, 0, 0], [0, 0, -1.0]], dtype=torch.float64)
    gradients = torch.autograd.grad(ours, network.weights, errors)
    expected = torch.autograd.grad(theirs, list(arrays.values()), errors)
    for (i, name), mine, other in zip(network.names, gradients, expected, strict=True):
        assert relative_error(network.unpack(i, name, mine), other) < 1e-6


def test_float32_differs_by_rounding_only() -> None:
    network = make(dtype=torch.float32)
    screens = draw((8, 2, 36, 36))
    q = network.forward(to_blocks(screens))
    assert q.dtype == torch.float32
    theirs = naive_forward(snapshot_arrays(network), screens)
    assert relative_error(q.detach(), theirs.detach()) < 1e-5


def test_batch_norm_is_the_naive_twins() -> None:
    network = make(batch_norm=True)
    rng = np.random.default_rng(2)
    for (_, name), master in zip(network.names, network.masters, strict=True):
        if name in ("beta", "gamma"):
            with torch.no_grad():
                master += torch.from_numpy(rng.normal(0, 0.3, master.shape))
    network.refresh()
    arrays, screens = snapshot_arrays(network), draw((6, 2, 36, 36))
    batch: dict[int, list[Tensor]] = {}
    theirs = naive_forward(arrays, screens, running=batch)
    ours = network.forward(to_blocks(screens), training=True)
    assert relative_error(ours.detach(), theirs.detach()) < 1e-5
    errors = torch.from_numpy(rng.normal(size=(6, ACTIONS)))
    gradients = torch.autograd.grad(ours, network.weights, errors)
    expected = torch.autograd.grad(theirs, list(arrays.values()), errors)
    for (i, name), mine, other in zip(network.names, gradients, expected, strict=True):
        assert relative_error(network.unpack(i, name, mine), other) < 1e-4


def test_running_statistics_start_at_zero_and_keep_nine_tenths() -> None:
    network = make(batch_norm=True)
    arrays, blocks = snapshot_arrays(network), to_blocks(draw((6, 2, 36, 36)))
    batch: dict[int, list[Tensor]] = {}
    naive_forward(arrays, draw((6, 2, 36, 36)), running=batch)
    assert list(network.running) == [0, 1, 2, 3]
    assert not any(statistic.any() for pair in network.running.values() for statistic in pair)
    for kept in (0.1, 0.19):  # of the same batch, after one and two updates
        network.forward(blocks, training=True)
        for i, pair in network.running.items():
            for ours, theirs in zip(pair, batch[i], strict=True):
                assert relative_error(ours, kept * theirs.detach()) < 1e-5
    before = {i: [x.clone() for x in pair] for i, pair in network.running.items()}
    q = network.forward(blocks)  # predicting normalizes by them and leaves them alone
    theirs = naive_forward(arrays, draw((6, 2, 36, 36)), running=before)
    assert relative_error(q.detach(), theirs.detach()) < 1e-5
    for i, pair in network.running.items():
        assert all(torch.equal(*both) for both in zip(pair, before[i], strict=True))


@settings(max_examples=30)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(4, 17), st.integers(4, 17)),
    padding=st.integers(0, 4),
)
def test_blocks_are_four_by_four_pixels_side_by_side(
    shape: tuple[int, int, int, int], padding: int
) -> None:
    screens = draw(shape)
    blocks = to_blocks(screens, padding)
    n, channels, height, width = shape
    rows, columns = (height + 2 * padding) // 4, (width + 2 * padding) // 4
    assert (blocks.shape, blocks.dtype) == ((n, rows, columns, channels * 16), torch.uint8)
    padded = np.pad(screens.numpy(), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    for row, column, c, y, x in itertools.product(
        range(rows), range(columns), range(channels), range(4), range(4)
    ):
        pixel = blocks[:, row, column, c * 16 + y * 4 + x]
        assert np.array_equal(pixel, padded[:, c, row * 4 + y, column * 4 + x])


@settings(max_examples=20)
@given(
    size=st.sampled_from(SIZES),
    history=st.integers(1, 5),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    seed=st.integers(0, 1000),
)
def test_unpack_is_the_inverse_of_pack(
    size: tuple[int, int], history: int, dtype: torch.dtype, seed: int
) -> None:
    network = make(size, history, dtype=dtype, bias=True, batch_norm=True)
    rng = np.random.default_rng(seed)
    for i, name in network.names:
        layer = network.layers[i]
        shape = layer.weight_shape if name == "W" else (layer.outputs, 1)
        values = rng.normal(size=shape).astype(np.float32)
        packed = network.pack(i, name, values)
        back = network.unpack(i, name, packed)
        assert back.dtype == np.float32
        assert np.array_equal(back, values)
        packed.zero_()  # a copy, whatever it was made from
        assert values.any()


def arrays_of(init: str, **settings: Any) -> dict[tuple[int, str], NDArray[np.float32]]:
    network = make((84, 84), 4, init=init, dtype=torch.float32, **settings)
    return {key: array.detach().numpy() for key, array in snapshot_arrays(network).items()}


@pytest.mark.parametrize(("init", "numerator"), [("uniform", 3.0), ("torch", 1.0)])
def test_uniform_weights_fill_their_range(init: str, numerator: float) -> None:
    fan_in = [4 * 8 * 8, 32 * 4 * 4, 64 * 3 * 3, 64 * 7 * 7, 512]
    for (i, name), values in arrays_of(init, bias=True).items():
        k = math.sqrt(numerator / fan_in[i])
        if name == "bias" and init == "uniform":
            assert not values.any()
            continue
        assert np.abs(values).max() <= k * (1 + 1e-6)
        if values.size > 1000:
            assert np.abs(values).max() > 0.99 * k
            assert abs(values.mean()) < 0.06 * k
            assert values.std() == pytest.approx(k / math.sqrt(3), rel=0.05)
        else:
            assert values.any()


def test_gaussian_weights_deviate_by_a_hundredth() -> None:
    for (_, name), values in arrays_of("gaussian", bias=True).items():
        if name == "W":
            assert values.std() == pytest.approx(0.01, rel=0.05)
            assert np.abs(values).max() > 0.025
        else:
            assert not values.any()


def test_normalization_begins_as_none() -> None:
    for (_, name), values in arrays_of("uniform", batch_norm=True).items():
        if name in ("beta", "gamma"):
            assert (values == (name == "gamma")).all()


def test_new_weights_follow_the_random_stream() -> None:
    one, again = make(), make()
    assert all(map(torch.equal, one.masters, again.masters))
    again.initialize("uniform", np.random.default_rng(2))
    assert not torch.equal(one.masters[0], again.masters[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_lower_precision_computes_with_copies_of_float32_masters(dtype: torch.dtype) -> None:
    network = make(dtype=dtype, bias=True, batch_norm=True)
    for stage in range(2):
        for (i, name), master, weight in zip(
            network.names, network.masters, network.weights, strict=True
        ):
            last = i == len(network.layers) - 1
            low = name in ("W", "bias") and not last
            assert master.dtype == torch.float32
            assert weight.dtype == (dtype if low else torch.float32)
            assert torch.equal(weight, master.to(weight.dtype)), stage
            with torch.no_grad():
                master.mul_(1.01)
        network.refresh()
    q = network.forward(to_blocks(draw((2, 2, 36, 36))))
    assert q.dtype == torch.float32
    other = make(dtype=dtype, bias=True, batch_norm=True)
    other.copy_from(network)
    assert all(map(torch.equal, other.weights, network.weights))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_whole_precision_computes_with_the_masters_themselves(dtype: torch.dtype) -> None:
    network = make(dtype=dtype)
    assert all(map(torch.equal, network.masters, network.weights))
    with torch.no_grad():
        network.masters[0].add_(1)
    assert torch.equal(network.masters[0], network.weights[0])
    assert network.forward(to_blocks(draw((1, 2, 36, 36)))).dtype == dtype


def test_a_copy_is_equal_and_apart() -> None:
    one, other = make(batch_norm=True), make(batch_norm=True)
    other.initialize("uniform", np.random.default_rng(5))
    blocks = to_blocks(draw((4, 2, 36, 36)))
    one.forward(blocks, training=True)
    other.copy_from(one)
    with torch.no_grad():
        assert torch.equal(other.forward(blocks), one.forward(blocks))
        one.masters[0].add_(1)
        one.running[0][0].add_(1)
        assert not torch.equal(other.masters[0], one.masters[0])
        assert not torch.equal(other.running[0][0], one.running[0][0])


def test_a_screen_too_small_for_the_network_is_refused() -> None:
    assert nature_layers(ACTIONS, 4, 36, 36)[3].image == (64, 1, 1)
    for size in ((35, 84), (84, 35)):
        with pytest.raises(UserError, match="too small"):
            nature_layers(ACTIONS, 4, *size)


def test_the_papers_layers() -> None:
    shapes = [layer.weight_shape for layer in nature_layers(6, 4, 84, 84)]
    assert shapes == [(256, 32), (512, 64), (576, 64), (512, 3136), (6, 512)]
