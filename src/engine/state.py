"""Everything that training depends on in a DeepQNetwork, as arrays by name, for checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schema import COUNT

if TYPE_CHECKING:
    from deepqnetwork import DeepQNetwork

State = dict[str, NDArray[Any]]


class Learned(NamedTuple):
    """The TD errors of a finished weight update, for prioritized replay."""

    indices: NDArray[np.int64]  # (batch,) slots of the replay memory
    errors: NDArray[np.float32]  # (batch,) absolute TD errors


def read_state(network: DeepQNetwork) -> State:
    """Copies of weights, optimizer states, counts, and TD errors that were not returned yet."""
    state = {name: tensor.cpu().numpy().copy() for name, tensor in _tensors(network).items()}
    state["random"] = network.random.get_state().numpy().copy()
    optimizer = network.optimizer
    counts = [optimizer.updates, network.cost_count, optimizer.reset_at, optimizer.drawn_at]
    state["counts"] = np.array(counts, np.int64)
    if network.learned:
        state["learned.indices"], state["learned.errors"] = network.learned
    return state


def write_state(network: DeepQNetwork, state: State) -> None:
    """Restore a state that was read. Raises ValueError if it is not one of this network.

    An average that the state lacks begins with its weights; one that is not wanted is left out.
    """
    averaged = network.average is not network.online
    begins = averaged and not any(name.startswith("average.") for name in state)
    if not averaged:
        state = {name: each for name, each in state.items() if not name.startswith("average.")}
    tensors = _tensors(network, average=averaged and not begins)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    extra = {"random", "counts", "learned.indices", "learned.errors"}
    if {name: array.shape for name, array in state.items() if name not in extra} != shapes:
        raise ValueError("the network's tensors have other names or shapes")
    updates, cost_count, *since = _checked_counts(state["counts"])
    learned = _checked_learned(state, network.settings.batch_size)
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(torch.from_numpy(np.array(state[name])))
    network.random.set_state(torch.from_numpy(state["random"].copy()))
    optimizer = network.optimizer
    optimizer.updates, network.cost_count = updates, cost_count
    since = since or [0]  # older checkpoints have one count for both, or none
    optimizer.reset_at, optimizer.drawn_at = since[0], since[-1]
    network.learned = learned
    for model in (network.online, network.target):
        model.refresh()
    if begins:
        network.average.copy_from(network.online)


def _checked_counts(counts: NDArray[Any]) -> list[int]:
    """Updates, costs since they were read, and the updates at two events. Raises ValueError.

    Events of an earlier run that has trained the weights have negative numbers.
    """
    if counts.dtype != np.int64 or counts.ndim != 1 or not 2 <= len(counts) <= 4:
        raise ValueError("its counts are of another size")
    found: list[int] = counts.tolist()
    updates, cost_count, *since = found
    if not (0 <= updates <= COUNT.high and 0 <= cost_count <= COUNT.high):
        raise ValueError("its counts of weight updates are not possible")
    if not all(-COUNT.high <= each <= updates for each in since):
        raise ValueError("its weights were drawn or reset after its last update")
    return found


def _checked_learned(state: State, batch: int) -> Learned | None:
    """The TD errors that were not returned yet, if there are any. Raises ValueError."""
    found = [state[name] for name in ("learned.indices", "learned.errors") if name in state]
    if not found:
        return None
    if [array.shape for array in found] != [(batch,), (batch,)]:
        raise ValueError("its TD errors are of another minibatch")
    learned = Learned(*found)
    indices, errors = learned
    if indices.dtype != np.int64 or errors.dtype != np.float32 or not np.isfinite(errors).all():
        raise ValueError("its TD errors are not numbers")
    return learned


def _tensors(network: DeepQNetwork, average: bool = True) -> dict[str, Tensor]:
    tensors = {"cost_sum": network.cost_sum}
    roles = {"online": network.online, "target": network.target}
    if average and network.average is not network.online:
        roles["average"] = network.average
    for role, model in roles.items():
        tensors |= {f"{role}.{name}": each for name, each in model.masters.items()}
        tensors |= {f"{role}.{name}": each for name, each in model.named_buffers()}
    for name, states in zip(network.online.masters, network.optimizer.states, strict=True):
        tensors |= {f"optimizer.{name}.{n}": state for n, state in enumerate(states)}
    return tensors
