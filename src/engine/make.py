"""Makes the network on the engine that the flags name, and imports only that engine."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from config import NetworkSettings
from errors import UserError
from replay_memory import Minibatch
from snapshot.format import Snapshot
from snapshot.layers import SavedLayer

if TYPE_CHECKING:
    from deepqnetwork import DeepQNetwork
    from engine.inspection import Inspection

Array = NDArray[Any]


class LearningNetwork(Protocol):
    """What a run needs of a network on any engine; see deepqnetwork.py."""

    @property
    def train_iterations(self) -> int:
        """Weight updates done."""

    def predict(self, states: NDArray[np.uint8], training: bool = False) -> NDArray[np.float32]:
        """Q-values (N, num_actions) of states (N, history, height, width)."""

    def returns(self, state: NDArray[np.uint8]) -> tuple[Array, Array] | None:
        """The distribution of each action's return in a state, if the network predicts one."""

    def saliency(self, state: NDArray[np.uint8], action: int) -> Array:
        """How much each pixel of a state increases an action's Q-value, (height, width)."""

    def train(self, minibatch: Minibatch) -> tuple[Array, Array] | None:
        """One weight update; returns transitions and their absolute TD errors, if known."""

    def update_target_network(self) -> None:
        """Copy the network to the target network."""

    def reset_last_layers(self) -> None:
        """New weights for the layers after the features."""

    def read_cost(self) -> float:
        """The mean cost of the weight updates since the last call."""

    def save_weights(self, path: Path, *, epoch: int = 0, info: dict[str, Any]) -> None:
        """Write a snapshot. Raises OSError."""

    def load_weights(self, path: Path, *, new_run: bool = False) -> Snapshot:
        """Load a snapshot; a `new_run` counts updates from 0, except Neon's. Raises UserError."""

    def layers(self) -> list[SavedLayer]:
        """The layers as a snapshot has them."""

    def get_state(self) -> dict[str, Array]:
        """Everything that training depends on."""

    def set_state(self, state: dict[str, Array]) -> None:
        """Continue from a saved state. Raises ValueError."""


def make_network(
    settings: NetworkSettings, num_actions: int, rng: np.random.Generator
) -> LearningNetwork:
    """A DeepQNetwork or a NeonNetwork, with new weights drawn from `rng`."""
    if settings.engine == "neon":
        from neon_engine.network import NeonNetwork

        return NeonNetwork(settings, num_actions=num_actions, rng=rng)
    try:
        from deepqnetwork import DeepQNetwork
        from engine.device import OutOfMemory, warn_of_slow_datatype, warn_once
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name} is not installed: run one of the scripts, which installs it, or use "
            "--engine neon."
        ) from error
    unused = copy.deepcopy(rng)
    try:
        network = DeepQNetwork(settings, num_actions=num_actions, rng=rng)
    except OutOfMemory as error:
        if settings.backend != "auto":
            raise UserError(
                "The GPU has too little free memory for the network: end other programs on it, or "
                "use --backend cpu."
            ) from error
        warn_once("The GPU has too little free memory: the network is computed on the CPU.")
        settings = replace(settings, backend="cpu")
        network = DeepQNetwork(settings, num_actions=num_actions, rng=unused)
    from variants.custom import try_network, try_target

    try_network(network)
    try_target(network)
    warn_of_slow_datatype(network.device, settings.datatype)
    return network


def weights_of(settings: NetworkSettings, num_actions: int) -> int:
    """The weights of the network that `make_network` would make, counted without making it.

    0 if they are not known: on Neon, and of a class of one's own.
    """
    if settings.engine == "neon" or ":" in settings.network:
        return 0
    try:
        from engine.size import count_weights
    except ModuleNotFoundError:  # which `make_network` reports
        return 0
    return count_weights(settings, num_actions)


def inspect_updates(network: LearningNetwork | None) -> Callable[[], Inspection | None]:
    """A function that returns measurements of the updates since its last call; None on Neon."""
    if not hasattr(network, "inspector"):
        return lambda: None
    from engine.inspection import Inspector

    return Inspector(cast("DeepQNetwork", network)).take


def free_gpu_memory(settings: NetworkSettings) -> int:
    """Bytes free on the GPU that PyTorch would use; 0 if it would use the CPU."""
    if settings.engine != "torch" or settings.backend == "cpu":
        return 0
    from engine.device import free_memory

    return free_memory(settings.backend, settings.device_id)
