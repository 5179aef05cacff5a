"""The network against a naive twin: plain convolutions of the snapshot's own arrays."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from config import NetworkSettings
from deepqnetwork import DeepQNetwork
from engine import compiled
from engine.device import DATATYPES
from engine.layer import Layer, to_input
from errors import UserError
from network import Network
from tests.naive_network import naive_forward, relative_error

ACTIONS = 3
SIZES = [(84, 84), (36, 36), (50, 63), (44, 84)]  # height, width


def make(
    size: tuple[int, int] = (36, 36),
    history: int = 2,
    datatype: str = "float64",
    seed: int = 1,
    **settings: Any,
) -> Network:
    shape: dict[str, Any] = dict(
        history_length=history, screen_height=size[0], screen_width=size[1]
    )
    network_settings = NetworkSettings(
        **shape, datatype=datatype, backend="cpu", threads=1, **settings
    )
    rng = np.random.default_rng(seed)
    return DeepQNetwork(network_settings, num_actions=ACTIONS, rng=rng).online


def parameters(network: Network) -> Iterator[tuple[int, str, Layer, str]]:
    """Number of the layer, name in a snapshot, the layer, name in the network."""
    for i, (prefix, layer) in enumerate(network.layers().items()):
        for name, _ in layer.named_parameters(recurse=False):
            yield i, "W" if name == "weight" else name, layer, f"{prefix}.{name}"


def unpacked(network: Network, tensors: Sequence[Tensor]) -> dict[tuple[int, str], Tensor]:
    """A tensor for each parameter, as a snapshot has them, in float64."""
    by_name = dict(zip(network.masters, tensors, strict=True))
    return {
        (i, name): torch.from_numpy(layer.unpack(full.rpartition(".")[2], by_name[full])).double()
        for i, name, layer, full in parameters(network)
    }


def snapshot_arrays(network: Network) -> dict[tuple[int, str], Tensor]:
    """The weights as a snapshot has them, in float64 and ready for autograd."""
    found = unpacked(network, list(network.masters.values()))
    return {key: array.requires_grad_() for key, array in found.items()}


def running(network: Network) -> dict[int, list[Tensor]]:
    """Running mean and variance of the layers that are normalized."""
    layers = enumerate(network.layers().values())
    return {i: [layer.mean, layer.variance] for i, layer in layers if hasattr(layer, "mean")}


def masters(network: Network) -> list[Tensor]:
    return list(network.masters.values())


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
    network = make(size, history, padding=padding, bias=bias, init="torch")
    arrays, screens = snapshot_arrays(network), draw((2, history, *size))
    ours = network(screens, training=True)
    theirs = naive_forward(arrays, screens, padding)
    assert ours.shape == (2, ACTIONS)
    assert relative_error(ours.detach(), theirs.detach()) < 1e-6
    errors = torch.tensor([[0.5, 0, 0], [0, 0, -1.0]], dtype=torch.float64)
    gradients = torch.autograd.grad(ours, list(network.parameters()), errors)
    expected = torch.autograd.grad(theirs, list(arrays.values()), errors)
    mine = unpacked(network, gradients)
    for key, other in zip(arrays, expected, strict=True):
        assert relative_error(mine[key], other) < 1e-6


def test_float32_differs_by_rounding_only() -> None:
    network = make(datatype="float32")
    screens = draw((8, 2, 36, 36))
    q = network(screens)
    assert q.dtype == torch.float32
    theirs = naive_forward(snapshot_arrays(network), screens)
    assert relative_error(q.detach(), theirs.detach()) < 1e-5


def test_batch_norm_is_the_naive_twins() -> None:
    network = make(batch_norm=True)
    rng = np.random.default_rng(2)
    for _, name, _, full in parameters(network):
        if name in ("beta", "gamma"):
            master = network.masters[full]
            master += torch.from_numpy(rng.normal(0, 0.3, master.shape))
    network.refresh()
    arrays, screens = snapshot_arrays(network), draw((6, 2, 36, 36))
    batch: dict[int, list[Tensor]] = {}
    theirs = naive_forward(arrays, screens, running=batch)
    ours = network(screens, training=True)
    assert relative_error(ours.detach(), theirs.detach()) < 1e-5
    errors = torch.from_numpy(rng.normal(size=(6, ACTIONS)))
    gradients = torch.autograd.grad(ours, list(network.parameters()), errors)
    expected = torch.autograd.grad(theirs, list(arrays.values()), errors)
    mine = unpacked(network, gradients)
    for key, other in zip(arrays, expected, strict=True):
        assert relative_error(mine[key], other) < 1e-4


def test_running_statistics_start_at_zero_and_keep_nine_tenths() -> None:
    network = make(batch_norm=True)
    arrays, screens = snapshot_arrays(network), draw((6, 2, 36, 36))
    batch: dict[int, list[Tensor]] = {}
    naive_forward(arrays, screens, running=batch)
    assert list(running(network)) == [0, 1, 2, 3]
    assert not any(statistic.any() for pair in running(network).values() for statistic in pair)
    for kept in (0.1, 0.19):  # of the same batch, after one and two updates
        network(screens, training=True)
        for i, pair in running(network).items():
            for ours, theirs in zip(pair, batch[i], strict=True):
                assert relative_error(ours, kept * theirs.detach()) < 1e-5
    before = {i: [x.clone() for x in pair] for i, pair in running(network).items()}
    q = network(screens)  # predicting normalizes by them and leaves them alone
    theirs = naive_forward(arrays, screens, running=before)
    assert relative_error(q.detach(), theirs.detach()) < 1e-5
    for i, pair in running(network).items():
        assert all(torch.equal(*both) for both in zip(pair, before[i], strict=True))


@settings(max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(4, 17), st.integers(4, 17)),
    padding=st.integers(0, 4),
    pixel_max=st.sampled_from([1.0, 2.5, 255.0]),
    dtype=st.sampled_from(list(DATATYPES.values())),
    compiles=st.booleans(),
)
def test_the_input_is_blocks_of_four_by_four_pixels_side_by_side(
    shape: tuple[int, int, int, int],
    padding: int,
    pixel_max: float,
    dtype: torch.dtype,
    compiles: bool,
) -> None:
    screens = draw(shape)
    with pytest.MonkeyPatch.context() as patch:
        if not compiles:
            patch.setattr(compiled, "compiled", lambda loop: None)
        x = to_input(screens, 4, padding, pixel_max, dtype)
    n, channels, height, width = shape
    rows, columns = (height + 2 * padding) // 4, (width + 2 * padding) // 4
    assert (x.shape, x.dtype) == ((n, channels * 16, rows, columns), dtype)
    assert x.permute(0, 2, 3, 1).is_contiguous()  # channels last
    padded = np.pad(screens.numpy(), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    expected = torch.from_numpy(padded).to(dtype) / (255 / pixel_max)
    for row, column, c, dy, dx in itertools.product(
        range(rows), range(columns), range(channels), range(4), range(4)
    ):
        pixel = x[:, c * 16 + dy * 4 + dx, row, column]
        assert torch.equal(pixel, expected[:, c, row * 4 + dy, column * 4 + dx])


@pytest.mark.parametrize(("padding", "pixel_max"), [(0, 1), (1, 1), (0, 255)])
def test_without_blocks_the_input_is_the_screens(padding: int, pixel_max: float) -> None:
    screens = draw((2, 3, 9, 10))
    x = to_input(screens, 1, padding, pixel_max, torch.float32)
    inner = x[..., padding : padding + 9, padding : padding + 10]
    assert x.shape == (2, 3, 9 + 2 * padding, 10 + 2 * padding)
    assert torch.equal(inner, screens.float() / (255 / pixel_max))
    assert x.double().sum() == pytest.approx(inner.double().sum())


@settings(max_examples=20)
@given(
    size=st.sampled_from(SIZES),
    history=st.integers(1, 5),
    datatype=st.sampled_from(["float32", "float64", "bfloat16"]),
    seed=st.integers(0, 1000),
)
def test_unpack_is_the_inverse_of_pack(
    size: tuple[int, int], history: int, datatype: str, seed: int
) -> None:
    network = make(size, history, datatype, bias=True, batch_norm=True)
    rng = np.random.default_rng(seed)
    for _, name, layer, full in parameters(network):
        part = full.rpartition(".")[2]
        shape = layer.shape(part) if name == "W" else (layer.outputs, 1)
        values = rng.normal(size=shape).astype(np.float32)
        packed = layer.pack(part, values)
        assert packed.shape == network.masters[full].shape
        back = layer.unpack(part, packed)
        assert back.dtype == np.float32
        assert np.array_equal(back, values)
        packed.zero_()  # a copy, whatever it was made from
        assert values.any()


def arrays_of(init: str, **settings: Any) -> dict[tuple[int, str], NDArray[np.float32]]:
    network = make((84, 84), 4, init=init, datatype="float32", **settings)
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
    one, again, other = make(), make(), make(seed=2)
    assert all(map(torch.equal, masters(one), masters(again)))
    assert not any(map(torch.equal, masters(one), masters(other)))


@pytest.mark.parametrize("datatype", ["float16", "bfloat16"])
def test_lower_precision_computes_with_copies_of_float32_masters(datatype: str) -> None:
    network = make(datatype=datatype, bias=True, batch_norm=True)
    dtype, last = DATATYPES[datatype], len(network.layers()) - 1
    for stage in range(2):
        for i, name, _, full in parameters(network):
            low = name in ("W", "bias") and i != last
            master, weight = network.masters[full], network.get_parameter(full)
            assert master.dtype == torch.float32
            assert weight.dtype == (dtype if low else torch.float32)
            assert torch.equal(weight, master.to(weight.dtype)), stage
            master.mul_(1.01)
        network.refresh()
    q = network(draw((2, 2, 36, 36)))
    assert q.dtype == torch.float32
    other = make(datatype=datatype, bias=True, batch_norm=True)
    other.copy_from(network)
    assert all(map(torch.equal, other.parameters(), network.parameters()))


@pytest.mark.parametrize("datatype", ["float32", "float64"])
def test_whole_precision_computes_with_the_masters_themselves(datatype: str) -> None:
    network = make(datatype=datatype)
    screens = draw((1, 2, 36, 36))
    before = network(screens)
    assert before.dtype == DATATYPES[datatype]
    for master in masters(network):
        master.mul_(2)
    assert all(map(torch.equal, masters(network), network.parameters()))
    assert relative_error(network(screens).detach(), 2**5 * before.detach()) < 1e-5


def test_a_copy_is_equal_and_apart() -> None:
    one, other = make(batch_norm=True), make(batch_norm=True, seed=5)
    screens = draw((4, 2, 36, 36))
    one(screens, training=True)
    other.copy_from(one)
    with torch.no_grad():
        assert torch.equal(other(screens), one(screens))
        masters(one)[0].add_(1)
        running(one)[0][0].add_(1)
        assert not torch.equal(masters(other)[0], masters(one)[0])
        assert not torch.equal(running(other)[0][0], running(one)[0][0])


def test_a_screen_too_small_for_the_network_is_refused() -> None:
    convolutions = list(make((36, 36)).layers().values())[:3]
    assert convolutions[-1].output_shape == (64, 1, 1)
    for size in ((35, 84), (84, 35)):
        with pytest.raises(UserError, match="too small"):
            make(size)


def test_the_papers_layers() -> None:
    shapes = [layer.shape("weight") for layer in make((84, 84), 4).layers().values()]
    assert shapes == [(256, 32), (512, 64), (576, 64), (512, 3136), (ACTIONS, 512)]
