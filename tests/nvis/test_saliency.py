from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from config import ROOT
from nvis.saliency import Saliency
from snapshot.format import read_snapshot
from snapshot.layers import SavedLayer

GOLDEN = ROOT / "tests" / "golden"


class GuidedReLU(torch.autograd.Function):
    """A ReLU that passes down only what excites, and only through what was excited."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, error: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        passed: Tensor = error.clamp(min=0) * (x > 0)
        return passed


def by_torch(layers: list[SavedLayer], state: Tensor, action: int) -> Tensor:
    """The same by automatic differentiation."""
    x = (state[None] / 255).requires_grad_()
    y = x
    for layer in layers:
        p = {name: torch.tensor(array) for name, array in layer.params.items()}
        shape = (1, -1, 1, 1) if y.ndim == 4 else (1, -1)
        match layer.kind:
            case "Convolution":
                size, channels = layer.config["size"], layer.config["channels"]
                w = p["W"].T.reshape(-1, channels, size, size)
                stride, padding = layer.config["stride"], layer.config["padding"]
                y = F.conv2d(y, w, stride=stride, padding=padding)
            case "Linear":
                y = F.linear(y.flatten(1), p["W"])
            case "Bias":
                y = y + p["W"].reshape(shape)
            case "BatchNorm":
                scale = p["gamma"] / (p["gvar"] + layer.config["eps"]).sqrt()
                y = (y - p["gmean"].reshape(shape)) * scale.reshape(shape)
                y = y + p["beta"].reshape(shape)
            case "Activation":
                y = GuidedReLU.apply(y)  # type: ignore[no-untyped-call]
    y[0, action].backward()
    assert x.grad is not None
    return x.grad[0].abs().sum(dim=0)


@pytest.mark.parametrize("name", ["rmsprop_end", "batch_norm_end"])
def test_equals_automatic_differentiation(name: str) -> None:
    layers = read_snapshot(GOLDEN / f"{name}.pkl").layers
    rng = np.random.default_rng(0)
    state = rng.integers(0, 256, (4, 36, 36), np.uint8)
    for action in range(6):
        expected = by_torch(layers, torch.tensor(state), action)
        found = Saliency(layers)(state, action)
        assert found.shape == (36, 36)
        assert found.max() > 0
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6 * found.max())
