"""What a filter of a convolutional layer looks for: the state that excites it most, and guided
backpropagation (Springenberg et al. 2014, arXiv:1412.6806) from there to the screens.

The numbers are those of Neon's own page, so the three rules that are Neon's and not the paper's
are kept: the pass starts from the activation itself (a filter that is negative everywhere gets an
empty picture), black pixels of the input get nothing, and batch normalization takes part in the
way up but not in the way down. NumPy is all it needs, whichever engine trained the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from nvis.convolution import Convolution, FloatArray

ByteArray = NDArray[np.uint8]

BATCH_SIZE = (
    32  # states at a time; it decides ties as in Neon, and keeps a long game's memory small
)


@dataclass(frozen=True, kw_only=True)
class Strongest:
    """Where each filter of one layer responded most, over all states and places."""

    states: NDArray[np.int64]  # (filters,) index of the state
    locations: NDArray[np.int64]  # (filters,) row * columns + column in the layer's output
    activations: FloatArray  # (filters,) the response there, before the ReLU
    places: tuple[int, int]  # (rows, columns) of the layer's output


def floats(states: ByteArray) -> FloatArray:
    """Screens as the network sees them: 0 to 1."""
    return states.astype(np.float32) / np.float32(255)


def strongest_activations(
    convolutions: Sequence[Convolution], states: ByteArray
) -> list[Strongest]:
    """For each layer, the strongest response of each filter over states (n, channels, h, w).

    Of equal ones the first batch of states wins; within it the first place, then the first state.
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
    """From one place of one filter of the last layer given, back to the input, for each state.

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
        # guided: only what excites goes down, and only through what was excited on the way up
        errors = layer.backward(np.maximum(errors, 0), height, width) * (seen > 0)
    return responses[there], errors


def to_bytes(pictures: FloatArray) -> ByteArray:
    """Each of (n, channels, h, w) stretched from its own minimum and maximum to 0..255."""
    lowest = pictures.min(axis=(1, 2, 3), keepdims=True)
    span = pictures.max(axis=(1, 2, 3), keepdims=True) - lowest
    stretched: FloatArray = (pictures - lowest) / np.where(span > 0, span, 1) * 255
    return stretched.astype(np.uint8)


def receptive_field(
    convolutions: Sequence[Convolution], row: int, column: int, height: int, width: int
) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of the pixels that the last layer given sees from one place.

    bottom and right are exclusive; what would lie in the padding is cut off.
    """
    top, left, bottom, right = row, column, row, column
    for layer in reversed(convolutions):
        r, s = layer.weights.shape[2:]
        top, left = top * layer.stride - layer.padding, left * layer.stride - layer.padding
        bottom = bottom * layer.stride - layer.padding + r - 1
        right = right * layer.stride - layer.padding + s - 1
    return max(top, 0), max(left, 0), min(bottom + 1, height), min(right + 1, width)
