"""Which pixels increase an action's Q-value: guided backpropagation from it to the screens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nvis.convolution import FloatArray, convolutions, folded
from nvis.guided_backpropagation import floats
from snapshot.layers import SavedLayer


@dataclass
class _Linear:
    """y = (weights @ x) * scale + shift, which includes batch normalization or the bias."""

    weights: FloatArray  # (outputs, inputs)
    scale: FloatArray | float = 1.0  # (outputs,)
    shift: FloatArray | float = 0.0


class Saliency:
    """Computes saliency with NumPy from a network's layers, whichever engine trained it."""

    def __init__(self, layers: Sequence[SavedLayer]) -> None:
        """Copy what is needed of `layers`. Raises UserError if they do not fit (`convolutions`)."""
        self.convolutions = convolutions(layers)
        self.linears = _linears(layers)

    def __call__(self, state: NDArray[np.uint8], action: int) -> FloatArray:
        """state (history, height, width) -> saliency (height, width), zero or more.

        It is the gradient of the action's Q-value, where only positive gradients are passed back
        and only through units that were active (Springenberg et al. 2014); absolute values are
        summed over the screens.
        """
        inputs = [floats(state[None])]  # of each convolution, the last one's output at the end
        for layer in self.convolutions:
            inputs.append(layer.rectified(layer.responses(inputs[-1])))
        hidden = [inputs[-1].ravel()]
        for linear in self.linears[:-1]:
            y = linear.weights @ hidden[-1] * linear.scale + linear.shift
            hidden.append(np.maximum(y, 0))
        errors = self.linears[-1].weights[action]
        for linear, seen in zip(self.linears[-2::-1], hidden[:0:-1], strict=True):
            errors = (np.maximum(errors, 0) * (seen > 0) * linear.scale) @ linear.weights
        errors = errors.reshape(inputs[-1].shape)
        for layer, below, seen in zip(
            self.convolutions[::-1], inputs[-2::-1], inputs[:0:-1], strict=True
        ):
            errors = np.maximum(errors, 0) * (seen > 0)
            if layer.scale is not None:
                errors = errors * layer.scale[:, None, None]
            errors = layer.backward(errors, *below.shape[2:])
        total: FloatArray = np.abs(errors[0]).sum(axis=0)
        return total


def _linears(layers: Sequence[SavedLayer]) -> list[_Linear]:
    found: list[_Linear] = []
    for layer in layers:
        params = layer.params
        if layer.kind == "Linear":
            found.append(_Linear(params["W"]))
        elif found and layer.kind == "Bias":
            found[-1].shift = params["W"][:, 0]
        elif found and layer.kind == "BatchNorm":
            found[-1].scale, found[-1].shift = folded(layer)
    return found
