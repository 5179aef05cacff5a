"""Compares guided backpropagation with pictures that Neon's own code made."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from atomic import read_whole
from errors import UserError
from nvis.convolution import convolutions
from nvis.guided_backpropagation import guided_backpropagation, strongest_activations, to_bytes
from snapshot.format import read_snapshot

MAX_BYTES = 1 << 30  # of a file, and of what it unpacks to
ACTIVATION_TOLERANCE = 1e-5
PICTURE_TOLERANCE = 1  # of 255: Neon truncates to bytes, so a different last bit can cost one


@dataclass(frozen=True, kw_only=True)
class NvisReport:
    """The differences from Neon's pictures; str() gives them in a few lines."""

    layers: int
    filters: int  # of all layers together
    elsewhere: int  # filters whose strongest activation is in another state or location
    tied: int  # filters for which both places are equally strong, and rounding decides
    activation_error: float  # the largest difference
    picture_error: int  # the largest difference, of 255

    @property
    def passed(self) -> bool:
        """Whether everything is within the tolerances."""
        return (
            self.elsewhere == 0
            and self.activation_error <= ACTIVATION_TOLERANCE
            and self.picture_error <= PICTURE_TOLERANCE
        )

    def __str__(self) -> str:
        same = self.filters - self.elsewhere - self.tied
        tied = f", and {self.tied} that tie with it" if self.tied else ""
        return (
            f"filters          {self.filters} of {self.layers} layers\n"
            f"state and place  {same} the same{tied}\n"
            f"activations      within {self.activation_error:.1e}, allowed {ACTIVATION_TOLERANCE}\n"
            f"pictures         within {self.picture_error} of 255, allowed {PICTURE_TOLERANCE}"
        )


def verify_nvis(npz: Path, snapshot: Path) -> NvisReport:
    """Computes for `snapshot` what `npz` contains, and compares.

    npz: `states` (n, history_length, h, w) uint8, and for each convolutional layer, named by four
    digits in the order of the network, `0000_state`, `0000_location`, `0000_activation`, each
    (filters,), and `0000_guided_uint8` (filters, h, w, history_length). Raises UserError if a file
    cannot be read, or if they do not belong together.
    """
    golden = _read(npz)
    network = convolutions(read_snapshot(snapshot).layers)
    names = sorted(key.removesuffix("_state") for key in golden if key.endswith("_state"))
    if len(names) != len(network):
        raise UserError(
            f"{npz} has {len(names)} convolutional layers and {snapshot} has {len(network)}: "
            "give the snapshot that the file was made for."
        )
    moved, weaker, activation_errors, picture_errors = [], [], [], []
    try:
        states = golden["states"]
        for depth, found in enumerate(strongest_activations(network, states)):
            state, location, activation, pictures = (
                golden[f"{names[depth]}_{part}"]
                for part in ("state", "location", "activation", "guided_uint8")
            )
            shown = np.arange(len(state))
            there, ours = guided_backpropagation(
                network[: depth + 1], states[state], shown, location.astype(np.int64)
            )
            moved.append((found.states[shown] != state) | (found.locations[shown] != location))
            weaker.append(found.activations[shown] - there > ACTIVATION_TOLERANCE)
            activation_errors.append(np.abs(there - activation))
            channels_last = to_bytes(ours).transpose(0, 2, 3, 1)
            picture_errors.append(np.abs(channels_last - pictures.astype(np.int16)).max((1, 2, 3)))
        other_place = np.concatenate(moved)
        elsewhere = other_place & np.concatenate(weaker)
        return NvisReport(
            layers=len(names),
            filters=len(other_place),
            elsewhere=int(elsewhere.sum()),
            tied=int((other_place & ~elsewhere).sum()),
            activation_error=float(np.concatenate(activation_errors).max()),
            picture_error=int(np.concatenate(picture_errors).max()),
        )
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise UserError(
            f"{npz} does not contain Neon's pictures for the network of {snapshot}: {error}."
        ) from None


def check_nvis(npz: Path, snapshot: Path) -> bool:
    """Prints the comparison. Returns whether everything is within the tolerances."""
    report = verify_nvis(npz, snapshot)
    print(report)
    return report.passed


def _read(npz: Path) -> dict[str, NDArray[Any]]:
    try:
        return read_arrays(npz)
    except (OSError, ValueError, TypeError, EOFError, BadZipFile) as error:
        raise UserError(f"Cannot read {npz} as a .npz file: {error}.") from None


def read_arrays(npz: Path) -> dict[str, NDArray[Any]]:
    """The arrays in a .npz file. Raises OSError, ValueError, TypeError, EOFError or BadZipFile."""
    whole = io.BytesIO(read_whole(npz, MAX_BYTES))
    with ZipFile(whole) as members:
        if sum(member.file_size for member in members.infolist()) > MAX_BYTES:
            raise ValueError("it unpacks to more than a gigabyte")
    with np.load(whole, allow_pickle=False) as arrays:
        return dict(arrays)
