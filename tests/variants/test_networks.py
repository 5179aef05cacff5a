"""Networks against twins that compute them plainly from the weights of a snapshot."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from deepqnetwork import DeepQNetwork
from engine.divide import divide
from snapshot.torch_weights import tensors_of
from tests.variants.small import draw_batch, draw_states, make, numbers


class Weights:
    """A network's weights as a snapshot has them, in float64."""

    def __init__(self, network: DeepQNetwork) -> None:
        self.w = {k: torch.from_numpy(v).double() for k, v in tensors_of(network.online).items()}

    def convolve(
        self, name: str, x: Tensor, size: int, stride: int = 1, padding: int = 0
    ) -> Tensor:
        w = self.w[f"{name}.weight"]
        filters = w.t().reshape(w.shape[1], -1, size, size)
        return F.conv2d(x, filters, self.bias(name), stride, padding)

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x.flatten(1), self.w[f"{name}.weight"], self.bias(name))

    def bias(self, name: str) -> Tensor | None:
        bias = self.w.get(f"{name}.bias")
        return None if bias is None else bias.flatten()

    def normalized(self, name: str, x: Tensor) -> Tensor:
        """Each place's channels by their own mean and variance."""
        mean, variance = x.mean(1, keepdim=True), x.var(1, correction=0, keepdim=True)
        shape = (1, -1, *[1] * (x.dim() - 2))
        gamma, beta = (self.w[f"{name}.{part}"].reshape(shape) for part in ("gamma", "beta"))
        return (x - mean) / (variance + 1e-5).sqrt() * gamma + beta

    def nature(self, states: Tensor) -> Tensor:
        x = self.convolve("features.first", states, 8, 4).relu()
        x = self.convolve("features.second", x, 4, 2).relu()
        return self.convolve("features.third", x, 3, 1).relu()


def pair(**settings: Any) -> tuple[DeepQNetwork, Weights, Tensor]:
    """A network in float64 that has learned a little, its weights, and states from 0 to 1."""
    network = make(datatype="float64", update_parts=1, bias=True, **settings)
    for t in range(2):
        network.train(draw_batch(t))
    return network, Weights(network), torch.from_numpy(draw_states()).double() / 255


def check(network: DeepQNetwork, wanted: Tensor) -> None:
    found = numbers(network.online.q_values(torch.from_numpy(draw_states())))
    assert np.allclose(found, numbers(wanted), atol=1e-6)  # a snapshot has float32


def test_nips_has_two_convolutions_and_256_units() -> None:
    network, w, x = pair(network="nips")
    x = w.convolve("features.first", x, 8, 4).relu()
    x = w.convolve("features.second", x, 4, 2).relu()
    x = w.linear("head.stream.hidden", x).relu()
    assert x.shape[1] == 256
    check(network, w.linear("head.stream.output", x))
    full = make(network="nips", network_width=1.0)
    filters = [layer.outputs for layer in full.online.layers().values()]
    assert filters == [16, 32, 256, 3]


def test_impala_has_three_stages_of_two_residual_blocks() -> None:
    network, w, x = pair(network="impala")
    for stage in range(3):
        name = f"features.stages.{stage}"
        x = w.convolve(f"{name}.0", x, 3, 1, 1)
        x = F.max_pool2d(x, 3, 2, 1)
        for block in (2, 3):
            y = w.convolve(f"{name}.{block}.first", x.relu(), 3, 1, 1)
            x = x + w.convolve(f"{name}.{block}.second", y.relu(), 3, 1, 1)
    x = w.linear("head.stream.hidden", x.relu()).relu()
    assert x.shape[1] == 256
    check(network, w.linear("head.stream.output", x))
    full = make(network="impala", network_width=1.0, history_length=4).online
    convolutions = [layer for layer in full.layers().values() if layer.size]
    assert len(convolutions) == 15
    assert [layer.outputs for layer in convolutions[::5]] == [16, 32, 32]


def test_layer_normalization_is_over_the_channels_of_every_hidden_layer() -> None:
    network, w, x = pair(normalization="layer")
    for name, size, stride in (("first", 8, 4), ("second", 4, 2), ("third", 3, 1)):
        x = w.convolve(f"features.{name}", x, size, stride)
        x = w.normalized(f"features.{name}", x).relu()
    x = w.normalized("head.stream.hidden", w.linear("head.stream.hidden", x)).relu()
    check(network, w.linear("head.stream.output", x))


def test_spectral_normalization_makes_the_hidden_layers_largest_singular_value_one() -> None:
    network, w, x = pair(normalization="spectral")
    left, right = (w.w[f"head.stream.hidden.{part}"] for part in ("left", "right"))
    hidden: Any = network.online.head
    weight = hidden.stream.hidden.weight.detach()
    norm = left @ weight @ right
    assert float(norm) == pytest.approx(float(torch.linalg.matrix_norm(weight, 2)), rel=0.02)
    x = w.nature(x).flatten(1) @ (w.w["head.stream.hidden.weight"] / norm).t()
    x = (x + w.w["head.stream.hidden.bias"].flatten()).relu()
    check(network, w.linear("head.stream.output", x))


def test_the_spectral_norm_is_followed_and_differentiated_through() -> None:
    network = make(normalization="spectral", learning_rate=0.01)
    for t in range(20):
        network.train(draw_batch(t))
    hidden: Any = network.online.head
    layer = hidden.stream.hidden
    norm = float(torch.linalg.matrix_norm(layer.weight.detach(), 2))
    assert float(layer.left @ layer.weight.detach() @ layer.right) == pytest.approx(norm, rel=0.02)
    y = layer(torch.rand(4, layer.weight.shape[1]))
    (gradient,) = torch.autograd.grad(y.sum(), layer.weight)
    # A larger weight along its own direction changes nothing: the norm takes it out again.
    along = (gradient * layer.weight).detach()
    assert float(along.sum()) == pytest.approx(0, abs=1e-4 * float(along.abs().sum()))


def iqn_twin(w: Weights, features: Tensor, taus: Tensor, image: tuple[int, ...]) -> Tensor:
    """Equation 4 of Dabney et al. 2018, fraction by fraction: (N, actions, K)."""
    c, height, width = image
    columns = []
    for k in range(taus.shape[1]):
        cosines = torch.stack([(math.pi * i * taus[:, k]).cos() for i in range(64)], dim=1)
        phi = w.linear("head.embedding", cosines).relu()
        phi = phi.reshape(-1, height, width, c).permute(0, 3, 1, 2)  # as the features lie in memory
        x = w.linear("head.stream.hidden", features * phi).relu()
        columns.append(w.linear("head.stream.output", x))
    return torch.stack(columns, dim=2)


@pytest.mark.parametrize(("atoms", "acting"), [(4, 4), (40, 32)])
def test_iqn_weights_the_features_by_an_embedding_of_the_fraction(atoms: int, acting: int) -> None:
    network, w, x = pair(distribution="iqn", atoms=atoms)
    features = w.nature(x)
    image = network.online.features.output_shape
    taus = torch.from_numpy(np.random.default_rng(3).random((6, atoms)))
    states = torch.from_numpy(draw_states())
    found = network.online(states, taus=taus)
    assert np.allclose(numbers(found), numbers(iqn_twin(w, features, taus, image)), atol=1e-6)
    midpoints = ((torch.arange(acting).double() + 0.5) / acting).expand(6, acting)
    check(network, iqn_twin(w, features, midpoints, image).mean(dim=2))


def test_iqn_draws_fractions_for_every_transition_and_every_minibatch() -> None:
    network = make(distribution="iqn", atoms=8)
    minibatches = [divide(network, draw_batch(0)) for _ in range(2)]
    found = []
    for parts in minibatches:
        assert len(parts) == 2
        for part in parts:
            assert part.taus is not None
            assert part.next_taus is not None
            assert part.taus.shape == part.next_taus.shape == (3, 8)
            found += [part.taus, part.next_taus]
    drawn = torch.cat([taus.flatten() for taus in found])
    assert len(drawn.unique()) == len(drawn)
    assert 0 <= float(drawn.min()) < float(drawn.max()) <= 1


@pytest.mark.parametrize("distribution", ["c51", "quantile", "iqn"])
def test_constants_are_exact_in_float64(distribution: str) -> None:
    head: Any = make(distribution=distribution, datatype="float64").online.head
    if distribution == "c51":
        assert np.abs(numbers(head.z) - np.linspace(-10, 10, 51)).max() < 1e-14
    elif distribution == "quantile":
        assert numbers(head.fractions).tolist() == ((np.arange(200) + 0.5) / 200).tolist()
    else:
        assert numbers(head.angles).tolist() == (np.pi * np.arange(64)).tolist()


def test_a_wider_network_has_more_filters_and_no_more_units() -> None:
    layers = make(network_width=0.5).online.layers()
    assert [layer.outputs for layer in layers.values()] == [16, 32, 32, 512, 3]
