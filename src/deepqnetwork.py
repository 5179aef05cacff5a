"""Deep Q-learning: targets, errors and weight updates. Alone, with what it owns, in knowing torch.

y = r_t if s_tp1 is terminal, else r_t + discount * max_a Q_target(s_tp1, a)
error = clip(Q(s_t, a_t) - y), the gradient at the output a_t; it is zero at the others
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.cuda_graph import CapturedUpdate
from engine.device import (
    DATATYPES,
    OutOfMemory,
    find_device,
    keep_freed_memory,
    warn_of_slow_datatype,
)
from errors import UserError
from network import BLOCK, LayerShape, Network, nature_layers, to_blocks
from optimizers import make_optimizer
from replay_memory import Minibatch
from snapshot.format import Snapshot, read_snapshot, write_snapshot
from snapshot.layers import Layer
from snapshot.torch_weights import layers_of, load_layers

# Gradients of a float16 network are this much larger while they are float16, so that the small ones
# do not vanish: a power of two, taken out again in the optimizer's float32.
FLOAT16_SCALE = 128.0

Prepared = tuple[Tensor, Tensor, Tensor]  # states as blocks, actions, targets: on the device


class DeepQNetwork:
    """Learns Q(s, a) from minibatches of transitions and predicts it."""

    def __init__(
        self,
        *,
        num_actions: int,
        history_length: int = 4,
        screen_height: int = 84,
        screen_width: int = 84,
        batch_size: int = 32,
        learning_rate: float = 0.00025,
        discount_rate: float = 0.99,
        optimizer: str = "rmsprop",
        decay_rate: float = 0.95,
        clip_error: float = 1.0,
        min_reward: float = -1.0,
        max_reward: float = 1.0,
        batch_norm: bool = False,
        bias: bool = False,
        padding: int = 0,
        init: str = "uniform",
        sum_gradient: bool = False,
        target_network: bool = True,
        backend: str = "auto",
        device_id: int = 0,
        datatype: str = "float32",
        threads: int = 0,
        rng: np.random.Generator,
    ) -> None:
        """A network with new weights drawn from `rng`.

        `clip_error` 0 is off. `sum_gradient` sums the gradient over the minibatch (Lua code)
        instead of taking its mean. Without `target_network` the targets come from the network
        itself. Raises UserError where the device cannot compute in `datatype`, OutOfMemory if a GPU
        has no room.
        """
        keep_freed_memory()
        torch.set_flush_denormal(True)
        if threads:
            self.use_threads(threads)
        self.threads = torch.get_num_threads()
        self.num_actions = num_actions
        self.state_shape = (history_length, screen_height, screen_width)
        self.batch_size = batch_size
        self.discount_rate = discount_rate
        self.clip_error = clip_error
        self.min_reward, self.max_reward = min_reward, max_reward
        self.padding = padding
        self.device = find_device(backend, device_id)
        self.dtype = DATATYPES[datatype]
        warn_of_slow_datatype(self.device, datatype)
        layers = nature_layers(num_actions, *self.state_shape, padding)
        self.model = self._new_network(layers, batch_norm, bias)
        self.model.initialize(init, rng)
        self.target_model = self.model
        if target_network:
            self.target_model = self._new_network(layers, batch_norm, bias)
            self.target_model.copy_from(self.model)
        self.gradient_scale = FLOAT16_SCALE if datatype == "float16" else 1.0
        self.optimizer_name = optimizer
        self.optimizer = make_optimizer(
            optimizer,
            self.model.masters,
            scale=1 / self.gradient_scale / (1 if sum_gradient else batch_size),
            learning_rate=learning_rate,
            decay_rate=decay_rate,
        )
        # Costs add up on the device and are read once a phase, so that nothing waits for it.
        self.cost_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self.cost_count = 0
        self._check_datatype(datatype)
        self.update: Callable[..., None] = self._update
        self.second_half: Callable[..., None] = self._learn
        # Adam's step size depends on the count of updates, which a captured one cannot see.
        if self.device.type == "cuda" and optimizer != "adam":
            self.update = CapturedUpdate(self._update)
            self.second_half = CapturedUpdate(self._learn)

    @staticmethod
    def use_threads(count: int) -> None:
        """Divide the work of the calling thread among `count` CPU threads."""
        torch.set_num_threads(count)
        torch.get_num_threads()  # settles it: a thread's first use would take what was set last

    @property
    def train_iterations(self) -> int:
        """Weight updates done."""
        return self.optimizer.updates

    def predict(self, states: NDArray[np.uint8], target: bool = False) -> NDArray[np.float32]:
        """Q-values (N, num_actions) float32 of states (N, history, height, width) uint8.

        They are the network's, or the `target` network's.
        """
        if states.shape[1:] != self.state_shape or states.dtype != np.uint8:
            raise ValueError(
                f"states are (N, {', '.join(map(str, self.state_shape))}) uint8, "
                f"not {states.shape} {states.dtype}"
            )
        with torch.inference_mode():
            screens = torch.from_numpy(np.ascontiguousarray(states)).to(self.device)
            network = self.target_model if target else self.model
            q = network.forward(to_blocks(screens, self.padding))
            return q.to("cpu", torch.float32).numpy()

    def train(self, minibatch: Minibatch) -> None:
        """One weight update from a minibatch of transitions."""
        self._run(self.update, self._on_device(minibatch))

    def prepare(self, minibatch: Minibatch) -> Prepared:
        """The first half of `train`: what needs the target network alone."""
        return self._targets(*self._on_device(minibatch))

    def learn(self, prepared: Prepared) -> None:
        """The second half of `train`."""
        self._run(self.second_half, prepared)

    def _on_device(self, minibatch: Minibatch) -> tuple[Tensor, ...]:
        """Screens (B, 5, H, W), actions (B, 1), clipped rewards (B,), what is not the end (B,)."""
        clipped = np.clip(minibatch.rewards, self.min_reward, self.max_reward)
        return (
            torch.as_tensor(minibatch.screens).to(self.device),
            torch.from_numpy(minibatch.actions).to(self.device, torch.int64)[:, None],
            torch.from_numpy(clipped).to(self.device),
            torch.from_numpy(~minibatch.terminals).to(self.device),
        )

    def _run(self, update: Callable[..., None], inputs: tuple[Tensor, ...]) -> None:
        done = self.optimizer.updates
        update(*inputs)
        self.optimizer.updates = done + 1  # a captured update cannot count
        self.cost_count += 1

    def _update(self, screens: Tensor, a_t: Tensor, r_t: Tensor, goes_on: Tensor) -> None:
        """A weight update with everything on the device."""
        self._learn(*self._targets(screens, a_t, r_t, goes_on))

    @torch.no_grad()
    def _targets(self, screens: Tensor, a_t: Tensor, r_t: Tensor, goes_on: Tensor) -> Prepared:
        """States as blocks (B, H/4, W/4, 4 * 16), their actions (B, 1), what Q should be (B,)."""
        blocks = to_blocks(screens, self.padding)  # (B, H/4, W/4, 5 * 16)
        state = BLOCK * BLOCK * self.state_shape[0]  # channels of a state: 4 screens * 16 pixels
        s_t, s_tp1 = blocks[..., :state], blocks[..., -state:]
        q_tp1 = self.target_model.forward(s_tp1).amax(dim=1)  # (B,)
        return s_t, a_t, r_t + self.discount_rate * q_tp1 * goes_on

    def _learn(self, s_t: Tensor, a_t: Tensor, y: Tensor) -> None:
        """Move the weights so that Q(s_t, a_t) comes nearer to y."""
        q_t = self.model.forward(s_t, training=True).gather(1, a_t)[:, 0]  # (B,)
        with torch.no_grad():
            error = q_t - y
            self.cost_sum += error.square().mean() / 2
            if self.clip_error:
                error = error.clamp(-self.clip_error, self.clip_error)
        gradients = torch.autograd.grad(q_t, self.model.weights, error * self.gradient_scale)
        self.optimizer.step(self.model.masters, gradients)
        self.model.refresh()

    def update_target_network(self) -> None:
        """The target network becomes a copy of the network."""
        if self.target_model is not self.model:
            self.target_model.copy_from(self.model)

    def read_cost(self) -> float:
        """Mean cost of the weight updates since this was last called; 0 if there were none."""
        cost = float(self.cost_sum) / max(self.cost_count, 1)
        self.cost_sum.zero_()
        self.cost_count = 0
        return cost

    def save_weights(self, path: Path, *, epoch: int = 0, info: dict[str, Any]) -> None:
        """Write a snapshot, atomically. Raises OSError if that fails; an old file stays whole."""
        layers = layers_of(self.model, self.optimizer, keep_states=self.optimizer.updates > 0)
        write_snapshot(path, Snapshot(layers, epoch, info, self.state_shape))

    def load_weights(self, path: Path) -> Snapshot:
        """Read a snapshot into network, target network and optimizer, and return it.

        Optimizer states of another rule are left out. Raises UserError if it does not fit.
        """
        snapshot = read_snapshot(path)
        fits = load_layers(path, snapshot.layers, self.model, self.optimizer)
        self.model.refresh()
        self.update_target_network()
        updates = snapshot.info.get("weight_updates", 0)
        self.optimizer.updates = max(updates, 0) if fits and type(updates) is int else 0
        return snapshot

    def layers(self) -> list[Layer]:
        """The network as a snapshot has it: weights, no optimizer states."""
        return layers_of(self.model, self.optimizer, keep_states=False)

    def get_state(self) -> dict[str, NDArray[Any]]:
        """All that training goes on from, as arrays by name, copied from it."""
        tensors = {
            name: tensor.detach().cpu().numpy().copy() for name, tensor in self._tensors().items()
        }
        counts = np.array([self.optimizer.updates, self.cost_count], np.int64)
        return {**tensors, "counts": counts}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on where `get_state` was called. Raises ValueError if the network differs."""
        tensors = self._tensors()
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if {k: v.shape for k, v in state.items() if k != "counts"} != shapes:
            raise ValueError("the network's tensors have other names or shapes")
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(torch.from_numpy(np.array(state[name])))
        self.optimizer.updates, self.cost_count = (int(count) for count in state["counts"])
        self.model.refresh()
        self.target_model.refresh()

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {"cost_sum": self.cost_sum}
        for role, network in (("online", self.model), ("target", self.target_model)):
            for (i, name), master in zip(network.names, network.masters, strict=True):
                tensors[f"{role}.{i}.{name}"] = master
            for i, (mean, variance) in network.running.items():
                tensors[f"{role}.{i}.mean"], tensors[f"{role}.{i}.variance"] = mean, variance
        for (i, name), states in zip(self.model.names, self.optimizer.states, strict=True):
            for n, state in enumerate(states):
                tensors[f"optimizer.{i}.{name}.{n}"] = state
        return tensors

    def _new_network(self, layers: list[LayerShape], batch_norm: bool, bias: bool) -> Network:
        return Network(
            layers, batch_norm=batch_norm, bias=bias, device=self.device, dtype=self.dtype
        )

    def _check_datatype(self, datatype: str) -> None:
        """Find out before the work starts whether the device can compute in this datatype."""
        screens = torch.zeros(
            (self.batch_size, *self.state_shape), dtype=torch.uint8, device=self.device
        )
        try:
            q = self.model.forward(to_blocks(screens, self.padding))
            torch.autograd.grad(q.sum(), self.model.weights)
        except OutOfMemory:
            raise
        except RuntimeError as error:
            raise UserError(
                f"This {self.device.type} cannot compute in {datatype}: take --datatype float32."
            ) from error
