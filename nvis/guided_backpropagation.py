"""What a filter of a convolutional layer looks for: the state that excites it most, and guided
backpropagation (Springenberg et al. 2014, arXiv:1412.6806) from there to the screens.

The results are the same as in Neon's page, including three rules of Neon's that are not in the
paper: the backward pass starts from the activation itself (a filter that is negative everywhere
gets an empty picture), black pixels of the input get nothing, and the backward pass skips batch
normalization. It needs only NumPy, whichever engine trained the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from nvis.convolution import Convolution, FloatArray

ByteArray = NDArray[np.uint8]

BATCH_SIZE = 32  # states at a time: as in Neon, because it decides ties


@dataclass(frozen=True, kw_only=True)
class Strongest:
    """For each filter of a layer, its strongest response over all states and places."""

    states: NDArray[np.int64]  # (filters,) index of the state
    locations: NDArray[np.int64]  # (filters,) row * columns + column in the layer's output
    activations: FloatArray  # (filters,) the response there, before the ReLU
    places: tuple[int, int]  # (rows, columns) of the layer's output


def floats(states: ByteArray) -> FloatArray:
    """Screens as the input of the network, 0 to 1."""
    return states.astype(np.float32) / np.float32(255)


def strongest_activations(
    convolutions: Sequence[Convolution], states: ByteArray
) -> list[Strongest]:
    """For each layer, the strongest response of each filter over states (n, channels, h, w).

    Of equal responses the first batch of states wins, in it the first place, there the first state.
    """
    found: list[Strongest] = []
    batches = range(0, len(states), BATCH_SIZE)
    for first in tqdm(batches, "Looking for the strongest", disable=None, delay=1, leave=False):
        inputs = floats(states[first : first + BATCH_SIZE])
        for depth, layer in enumerate(convolutions):
            responses = layer.responses(inputs)  # (n, filters, rows, columns)
            n, filters, rows, columns = responses.shape
            flat = responses.transpose(1, 2, 3, 0).reshape(filters, -1)  # place by place
            best = flat.argmax(axis=1)
            here = Strongest(
                states=first + best % n,
                locations=best // n,
                activations=flat[np.arange(filters), best],
                places=(rows, columns),
            )
            if first == 0:
                found.append(here)
            else:
                found[depth] = _stronger(found[depth], here)
            inputs = layer.rectified(responses)
    return found


def _stronger(old: Strongest, new: Strongest) -> Strongest:
    better = new.activations > old.activations
    return Strongest(
        states=np.where(better, new.states, old.states),
        locations=np.where(better, new.locations, old.locations),
        activations=np.where(better, new.activations, old.activations),
        places=old.places,
    )


def guided_backpropagation(
    convolutions: Sequence[Convolution],
    states: ByteArray,
    filters: NDArray[np.int64],
    locations: NDArray[np.int64],
) -> tuple[FloatArray, FloatArray]:
    """For each state, guided backpropagation from one place of one filter of the last layer.

    states (n, channels, h, w); filters and locations (n,). Returns the responses there (n,) and the
    pictures (n, channels, h, w).
    """
    inputs = [floats(states)]
    for layer in convolutions[:-1]:
        inputs.append(layer.rectified(layer.responses(inputs[-1])))
    responses = convolutions[-1].responses(inputs[-1])
    there = (np.arange(len(states)), filters, *np.divmod(locations, responses.shape[3]))
    errors = np.zeros_like(responses)
    errors[there] = responses[there]
    for layer, seen in zip(reversed(convolutions), reversed(inputs), strict=True):
        height, width = seen.shape[2:]
        # guided: only positive gradients pass, and only through units that were active
        errors = layer.backward(np.maximum(errors, 0), height, width) * (seen > 0)
    return responses[there], errors


def to_bytes(pictures: FloatArray) -> ByteArray:
    """Each of (n, channels, h, w) scaled from its own minimum and maximum to 0..255."""
    lowest = pictures.min(axis=(1, 2, 3), keepdims=True)
    span = pictures.max(axis=(1, 2, 3), keepdims=True) - lowest
    stretched: FloatArray = (pictures - lowest) / np.where(span > 0, span, 1) * 255
    return stretched.astype(np.uint8)


def receptive_field(
    convolutions: Sequence[Convolution], row: int, column: int, height: int, width: int
) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of the pixels that the last layer sees from one place.

    bottom and right are exclusive; pixels in the padding are cut off.
    """
    top, left, bottom, right = row, column, row, column
    for layer in reversed(convolutions):
        r, s = layer.weights.shape[2:]
        top, left = top * layer.stride - layer.padding, left * layer.stride - layer.padding
        bottom = bottom * layer.stride - layer.padding + r - 1
        right = right * layer.stride - layer.padding + s - 1
    return max(top, 0), max(left, 0), min(bottom + 1, height), min(right + 1, width)
