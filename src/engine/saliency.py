"""Which pixels increase an action's Q-value: guided backpropagation for any PyTorch network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from network import Network

RELUS = {F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}


class _GuidedReLU(torch.autograd.Function):
    """Passes back only positive gradients, and only through units that were active."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        context.save_for_backward(x)
        return x.relu()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        x: Tensor = context.saved_tensors[0]
        return gradient.clamp(min=0) * (x > 0)


class _Guided(TorchFunctionMode):
    """Replaces every ReLU by the guided one."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        arguments: Sequence[Any] = (),
        keywords: dict[str, Any] | None = None,
    ) -> Any:
        if function in RELUS:
            return _GuidedReLU.apply(arguments[0])  # type: ignore[no-untyped-call]
        return function(*arguments, **(keywords or {}))


def guided_saliency(network: Network, states: Tensor, action: int) -> NDArray[np.float32]:
    """states (1, history, height, width) uint8 -> saliency (height, width), zero or more.

    Equals nvis/saliency.py, which computes it without PyTorch for networks that are a plain
    sequence of layers (Springenberg et al. 2014, arXiv:1412.6806).
    """
    network.eval()
    with torch.enable_grad(), _Guided():
        x = network.input(states).detach().requires_grad_()  # (1, C * block^2, H, W)
        q = network.head.q_values(network.head(network.features(x)))
        (gradient,) = torch.autograd.grad(q[0, action], x)
        gradient *= network.pixel_max  # for screens from 0 to 1
    pixels = F.pixel_shuffle(gradient.float(), network.block)[0].abs().sum(dim=0).cpu().numpy()
    height, width = states.shape[2:]
    padding = network.padding
    weights = np.zeros((height + 2 * padding, width + 2 * padding), np.float32)
    weights[: pixels.shape[0], : pixels.shape[1]] = pixels  # the rest is seen by no filter
    return weights[padding : padding + height, padding : padding + width]
