"""Weights in one tensor: the same numbers, wherever they lie, and the same updates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from config import NetworkSettings
from deepqnetwork import DeepQNetwork
from engine.flat import ALIGNMENT, Flat
from engine.numbers import Numbers
from engine.predictor import Predictor
from optimizers import Optimizer
from tests.variants.small import draw_batch, draw_states, make
from variants.optimizers import RULES, make_rule


def test_parts_are_views_that_keep_shape_and_memory_order() -> None:
    image = torch.zeros(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    flat = Flat([torch.zeros(7), image, torch.zeros(())])
    assert [part.shape for part in flat.parts] == [(7,), (2, 3, 4, 5), ()]
    assert [part.stride() for part in flat.parts] == [(1,), image.stride(), ()]
    assert [part.storage_offset() for part in flat.parts] == [0, ALIGNMENT, 3 * ALIGNMENT]
    for n, part in enumerate(flat.parts, 1):
        part.fill_(n)
    assert flat.whole.sum() == 7 + 2 * 120 + 3


def test_parameters_that_are_slices_or_scalars_do_not_overlap() -> None:
    left, right = torch.arange(12.0).view(3, 4).chunk(2, dim=1)
    expanded, scalar = torch.ones(1).expand(5), torch.tensor(3.0)
    flat = Flat([left, right, expanded, scalar])
    for part, tensor in zip(flat.parts, (left, right, expanded, scalar), strict=True):
        part.copy_(tensor)
    for part, tensor in zip(flat.parts, (left, right, expanded, scalar), strict=True):
        assert torch.equal(part, tensor)
        assert part.is_contiguous()
    optimizer = Optimizer(make_rule(NetworkSettings(learning_rate=0.1)), flat, shares=2)
    optimizer.begin()
    for share in (0, 1):
        optimizer.step(share, [[torch.ones_like(part) for part in flat.parts]])
    for part, tensor in zip(flat.parts, (left, right, expanded, scalar), strict=True):
        assert (part != tensor).all()


@pytest.mark.parametrize("datatype", ["float32", "bfloat16", "float64"])
def test_a_networks_weights_are_the_parameters_and_in_16_bits_their_copies(datatype: str) -> None:
    network = make(datatype=datatype, network="impala", bias=True).online
    for part, master in zip(network.weights.parts, network.masters.values(), strict=True):
        assert part.data_ptr() == master.data_ptr()
        assert torch.equal(part, master)
    assert (network.copies is network.weights) == (datatype != "bfloat16")
    network.weights.whole.mul_(2)
    network.refresh()
    for parameter, master in zip(network.parameters(), network.masters.values(), strict=True):
        assert torch.equal(parameter.detach(), master.to(parameter.dtype))
    assert network.weights.whole.any()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("datatype", ["float16", "bfloat16", "float32", "float64"])
def test_updating_all_parameters_at_once_is_updating_each(rule: str, datatype: str) -> None:
    flags: dict[str, Any] = dict(
        optimizer=rule, datatype=datatype, bias=True, learning_rate=0.01, update_parts=1
    )
    each, whole = (make(**flags) for _ in range(2))
    whole.optimizer = Optimizer(
        make_rule(whole.settings),
        whole.online.weights,
        copies=whole.online.copies,
        loss_scale=whole.optimizer.loss_scale,
        as_one=True,
    )
    before = each.online.weights.whole.clone()
    for seed in range(4):
        for network in (each, whole):
            network.train(draw_batch(seed=seed))
    assert not torch.equal(each.online.weights.whole, before)
    tolerance: dict[str, Any] = dict(
        rtol=1e-5, atol=1e-7
    )  # compiled loops differ from PyTorch in the last bit
    assert torch.allclose(each.online.weights.whole, whole.online.weights.whole, **tolerance)
    for mine, theirs in zip(each.optimizer.states, whole.optimizer.states, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert torch.allclose(a, b, **tolerance)
    for a, b in zip(each.online.parameters(), whole.online.parameters(), strict=True):
        assert torch.allclose(a.float(), b.float(), rtol=1e-2)
    state = whole.get_state()
    each.set_state(state)
    assert torch.equal(each.online.weights.whole, whole.online.weights.whole)


def test_numbers_are_plain_on_a_cpu_and_one_tensor_elsewhere() -> None:
    numbers = Numbers(like=torch.zeros(3))
    numbers.set(0.5, 2.0)
    assert numbers.values == (0.5, 2.0)
    elsewhere = Numbers(like=torch.zeros(3, device="meta"))
    elsewhere.set(0.5, 2.0)
    first, tensor = elsewhere.values, elsewhere.tensor
    elsewhere.set(0.25, 1.0)
    assert elsewhere.values is first
    assert elsewhere.tensor is tensor
    assert all(isinstance(value, Tensor) and value.device.type == "meta" for value in first)


def test_states_are_filled_up_to_the_number_that_a_graph_has() -> None:
    network: DeepQNetwork = make()
    states = draw_states(3)
    seen: list[int] = []

    def captured(given: Tensor) -> Tensor:
        seen.append(len(given))
        return predictor.network.q_values(given)

    predictor = Predictor(network.online, network.state_shape, count=5)
    q = predictor(states)
    predictor.captured = captured  # type: ignore[assignment]
    for count in (3, 1, 2):
        assert np.allclose(predictor(states[:count]), q[:count], atol=1e-6)
    assert seen == [5, 5, 5]
    predictor(np.concatenate([states, states]))  # more than the graph has
    assert seen == [5, 5, 5]
