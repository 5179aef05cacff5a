"""The convolutional layers of a snapshot, computed with NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from errors import UserError
from snapshot.layers import SavedLayer

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """The filters of a convolutional layer, and what else the page needs of it."""

    name: str  # four digits: the layer's place in the network, counting ReLUs
    weights: FloatArray  # (filters, channels, rows, columns)
    stride: int
    padding: int = 0
    bias: FloatArray | None = None  # (filters,)
    scale: FloatArray | None = None  # (filters,) batch normalization, folded: scale * x + shift
    shift: FloatArray | None = None  # (filters,)

    def responses(self, inputs: FloatArray) -> FloatArray:
        """(n, channels, height, width) -> (n, filters, rows, columns), before any ReLU."""
        pad = self.padding
        if pad:
            inputs = np.pad(inputs, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        windows = sliding_window_view(inputs, self.weights.shape[2:], axis=(2, 3))
        windows = windows[:, :, :: self.stride, :: self.stride]  # (n, c, rows, columns, r, s)
        outputs = np.tensordot(windows, self.weights, axes=([1, 4, 5], [1, 2, 3]))
        if self.bias is not None:
            outputs += self.bias
        return outputs.transpose(0, 3, 1, 2)

    def rectified(self, responses: FloatArray) -> FloatArray:
        """The input of the next layer: after batch normalization, if there is any, and ReLU."""
        if self.scale is not None and self.shift is not None:
            responses = responses * self.scale[:, None, None] + self.shift[:, None, None]
        return np.maximum(responses, 0)

    def backward(self, errors: FloatArray, height: int, width: int) -> FloatArray:
        """(n, filters, rows, columns) -> (n, channels, height, width): the transpose."""
        n, _, rows, columns = errors.shape
        channels, r, s = self.weights.shape[1:]
        pad, stride = self.padding, self.stride
        # (n, rows, columns, c, r, s): what each place sends back to each pixel that it saw
        sent = np.tensordot(errors, self.weights, axes=([1], [0]))
        sums = np.zeros((n, channels, height + 2 * pad, width + 2 * pad), np.float32)
        for i in range(r):
            for j in range(s):
                seen = sums[:, :, i : i + stride * rows : stride, j : j + stride * columns : stride]
                seen += sent[..., i, j].transpose(0, 3, 1, 2)
        return sums[:, :, pad : pad + height, pad : pad + width]


def convolutions(layers: Sequence[SavedLayer]) -> list[Convolution]:
    """The convolutional layers of a network, each with its bias and batch normalization.

    They have the same names as in Neon's page, 0000, 0002 and 0004: ReLUs are counted, but biases
    and batch normalization are not, so that these do not change the names. Raises UserError if the
    network does not begin with a convolution, or if a weight is not a finite number.
    """
    found: list[Convolution] = []
    for layer in layers:
        params, config = layer.params, layer.config
        if not found and layer.kind != "Convolution":
            raise UserError(
                f"The network begins with {layer.name}, not with a convolutional layer: use "
                "another snapshot."
            )
        if layer.kind == "Linear":
            break
        if not all(np.isfinite(values).all() for values in params.values()):
            raise UserError(
                f"The weights of {layer.name} are not all finite, because training has diverged: "
                "use an earlier snapshot."
            )
        if layer.kind == "Convolution":
            size = int(config["size"])
            weights = params["W"].T.reshape(-1, int(config["channels"]), size, size)
            found.append(
                Convolution(
                    name=f"{2 * len(found):04}",
                    weights=np.ascontiguousarray(weights),
                    stride=int(config["stride"]),
                    padding=int(config["padding"]),
                )
            )
        elif layer.kind == "Bias":
            found[-1] = replace(found[-1], bias=params["W"][:, 0])
        elif layer.kind == "BatchNorm":
            scale, shift = folded(layer)
            found[-1] = replace(found[-1], scale=scale, shift=shift)
    return found


def folded(layer: SavedLayer) -> tuple[FloatArray, FloatArray]:
    """Scale and shift, (outputs,) each, by which a batch normalization changes its inputs."""
    params = layer.params
    scale = params["gamma"] / np.sqrt(params["gvar"] + np.float32(layer.config["eps"]))
    return scale[:, 0], (params["beta"] - params["gmean"] * scale)[:, 0]
