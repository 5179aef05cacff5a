"""The deep Q-network: predictions, and weight updates from minibatches of transitions.

One update computes targets y with the target network, the outputs of the actions taken, and their
gradient, and then calls the optimizer. On a CPU the minibatch is divided into parts, each computed
from screens to gradients by one thread. Gradients are added in the order of the parts, so that the
number of threads changes no result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from config import NetworkSettings
from engine.cuda_graph import Captured
from engine.device import DATATYPES, FLOAT16_SCALE, set_up_device, to_device, use_one_thread
from engine.divide import divide, needs_whole_minibatch
from engine.hardware import cores
from engine.inspection import Inspector
from engine.predictor import Predictor
from engine.saliency import guided_saliency
from engine.state import Learned, read_state, write_state
from engine.workers import Call, Workers
from network import Network
from optimizers import Optimizer
from replay_memory import Index, Minibatch
from snapshot.compatibility import check_same_network
from snapshot.format import Snapshot, read_snapshot, write_snapshot
from snapshot.layers import SavedLayer
from snapshot.torch_weights import from_snapshot, layers_from_0_to_1, to_snapshot
from targets import Batch, taken
from variants.average import average_rate, follow
from variants.heads import make_head
from variants.networks import make_features
from variants.optimizers import make_rule
from variants.resets import reset_last_layers
from variants.targets import make_target_rule

Array = NDArray[np.float32]


class Gradients(NamedTuple):
    """The result of one part of a minibatch."""

    gradients: tuple[Tensor, ...]  # of each parameter, over the part
    cost: Tensor  # summed over the part
    errors: Tensor  # (part,) sizes of the TD errors


class DeepQNetwork:
    """Predicts Q(s, a), and learns it from minibatches of transitions."""

    def __init__(
        self, settings: NetworkSettings, *, num_actions: int, rng: np.random.Generator
    ) -> None:
        """A network with new weights drawn from `rng`.

        Raises UserError if the device cannot compute in this datatype, and OutOfMemory if the GPU
        has too little memory.
        """
        self.settings = s = settings
        self.num_actions = num_actions
        self.state_shape = (s.history_length, s.screen_height, s.screen_width)
        self.device = set_up_device(s.backend, s.device_id)
        on_gpu = self.device.type == "cuda"
        self.workers = Workers(1 if on_gpu else s.threads or cores(), use_one_thread)
        self.target_rule = make_target_rule(s)
        # Draws the noise of noisy layers and IQN's fractions, on the CPU for every device.
        self.random = torch.Generator()
        self.random.manual_seed(int(rng.spawn(1)[0].integers(2**63)))
        self.online = self._new_network()
        self.online.initialize(s.init, rng)
        whole = on_gpu or needs_whole_minibatch(self.online)
        self.num_parts = 1 if whole else min(s.update_parts, s.batch_size)
        self.target = self._new_network() if s.target_steps else self.online
        averaged = bool(s.average_decay)  # what tests play with and snapshots keep
        self.average = self._new_network(self.online.master_dtype) if averaged else self.online
        for network in (self.target, self.average):
            network.copy_from(self.online)
        weight = 1.0 if s.sum_gradient else 1 / s.batch_size  # of a transition in the gradient
        loss_scale = FLOAT16_SCALE / s.pixel_max / weight if s.datatype == "float16" else 1.0
        self.transition_factor = weight * loss_scale
        self.optimizer = Optimizer(
            make_rule(s),
            self.online.weights,
            copies=self.online.copies,
            shares=self.workers.count,
            loss_scale=loss_scale,
            as_one=on_gpu,
        )
        # Costs are summed on the device and read once per phase, so that no update waits for them.
        self.cost_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self.cost_count = 0
        self.in_flight: Call[Learned | None] | None = None  # the update of the overlapped loop
        self.learned: Learned | None = None  # of the last one, until `train` returns it
        self.inspector: Inspector | None = None  # sees each update of a run that is watched
        self.predictors = {
            network: Predictor(network, self.state_shape, s.num_envs)
            for network in (self.online, self.target, self.average)
        }
        capture: Callable[[Any], Any] = Captured if on_gpu else lambda function: function
        self.compute_targets = capture(self._compute_targets)
        self.change_weights = capture(self._change_weights)

    def _new_network(self, dtype: torch.dtype | None = None) -> Network:
        features = make_features(self.settings, self.random.initial_seed() + 1)
        head = make_head(self.settings, features, self.num_actions)
        dtype = dtype or DATATYPES[self.settings.datatype]
        return Network(features, head, self.settings, self.device, dtype)

    def predict(self, states: NDArray[np.uint8], training: bool = False) -> NDArray[np.float32]:
        """Q-values (N, num_actions) float32 of states (N, history, height, width) uint8.

        With `training` they are for acting in training. In the overlapped loop they then come from
        the target network, which the weight update in flight does not change.
        """
        network = self.target
        if not (training and self.settings.overlap):
            self.wait()
            network = self.online if training else self.average
        network.renew_noise(self.random if training else None)
        return self.predictors[network](states)

    def returns(self, state: NDArray[np.uint8]) -> tuple[Array, Array] | None:
        """The distribution of each action's return: (returns, probabilities), if there is one.

        Both are (num_actions, n) float32; `state` is (history, height, width).
        """
        self.wait()
        self.average.renew_noise(None)
        with torch.inference_mode():
            outputs = self.average(to_device(state[None], self.device))
            found = self.average.head.returns(outputs)
        if found is None:
            return None
        values, probabilities = (x[0].to("cpu", torch.float32).numpy() for x in found)
        return values, probabilities

    def saliency(self, state: NDArray[np.uint8], action: int) -> Array:
        """How much each pixel of a state increases an action's Q-value: see engine/saliency.py."""
        self.wait()
        self.average.renew_noise(None)
        return guided_saliency(self.average, to_device(state[None], self.device), action)

    def train(self, minibatch: Minibatch) -> Learned | None:
        """One weight update. Returns the TD errors of the last finished one, for the sampler.

        That is this one or, in the overlapped loop, the previous one.
        """
        batches = divide(self, minibatch)
        indices = minibatch.indices if minibatch.wants_errors else None
        self.target.renew_noise(self.random)
        if self.settings.overlap:
            return self._start_update(batches, indices)
        self.online.renew_noise(self.random)
        return self._update(batches, [None] * len(batches), indices)

    def _start_update(self, batches: list[Batch], indices: Index | None) -> Learned | None:
        """Start a weight update, which is finished while the agent plays; see `train`.

        (Daley and Amato 2021, arXiv:2111.01264.) Its targets are computed while the previous update
        is in flight, unless they need the weights that it changes. Minibatches are drawn as in the
        plain loop; only the actions differ, which come from the target network.
        """
        if self.target_rule.reads_online:
            self.wait()
            self.online.renew_noise(self.random)
        # NB! Copies: the next minibatch's targets overwrite those of a CUDA graph.
        targets = [y.clone() for y in self.workers.map(self.compute_targets, batches)]
        self.wait()
        if not self.target_rule.reads_online:
            self.online.renew_noise(self.random)
        self.in_flight = self.workers.start(self._update, batches, targets, indices)
        learned, self.learned = self.learned, None
        return learned

    def wait(self) -> None:
        """Wait for the weight update in flight, and raise the error if it had one."""
        if self.in_flight:
            update, self.in_flight = self.in_flight, None
            self.learned = self.workers.finish(update)

    def _update(
        self, batches: list[Batch], targets: Sequence[Tensor | None], indices: Index | None
    ) -> Learned | None:
        """A weight update towards `targets`; None: they are computed first."""
        self.optimizer.begin()
        parts = self.change_weights(batches, targets)
        self._follow_weights()
        self.cost_count += 1
        if self.inspector:
            self.inspector.see(parts)
        if indices is None:
            return None
        errors = torch.cat([part.errors for part in parts])  # NB! Reading them waits for a GPU.
        return Learned(indices, errors.to("cpu", torch.float32).numpy())

    def _change_weights(
        self, batches: list[Batch], targets: Sequence[Tensor | None]
    ) -> list[Gradients]:
        """Change the weights by the gradients of all parts, which are returned."""
        pairs = zip(batches, targets, strict=True)
        parts = self.workers.map(lambda pair: self._compute_gradients(*pair), pairs)
        gradients = [part.gradients for part in parts]
        shares = range(len(self.optimizer.shares))
        self.workers.map(lambda share: self.optimizer.step(share, gradients), shares)
        self.online.follow_spectrum()
        self.cost_sum += sum(part.cost for part in parts) / self.settings.batch_size
        return parts

    def _follow_weights(self) -> None:
        """The average follows the weights; see variants/average.py."""
        if self.average is not self.online:
            since_drawn = self.optimizer.updates - self.optimizer.drawn_at
            if rate := average_rate(self.settings.average_decay, since_drawn):
                follow(self.average, self.online, rate)

    @torch.no_grad()
    def _compute_targets(self, batch: Batch) -> Tensor:
        """The targets y of the actions taken."""
        return self.target_rule.compute(self.online, self.target, batch)

    def _compute_gradients(self, batch: Batch, y: Tensor | None) -> Gradients:
        """The gradients that move the outputs of the actions taken towards the targets `y`."""
        y = self._compute_targets(batch) if y is None else y
        outputs = taken(self.online(batch.states, training=True, taus=batch.taus), batch.actions)
        with torch.no_grad():
            error = self.online.head.error(outputs, y, batch.taus)
            weights = (batch.weights * self.transition_factor).view(-1, *[1] * (outputs.dim() - 1))
        parameters = list(self.online.parameters())
        gradients = torch.autograd.grad(outputs, parameters, error.gradient * weights)
        return Gradients(gradients, error.cost.sum(), error.size)

    def update_target_network(self) -> None:
        """The target network becomes a copy of the network."""
        self.wait()
        self.target.copy_from(self.online)

    def reset_last_layers(self) -> None:
        """New weights for the layers after the features: see variants/resets.py."""
        self.wait()
        reset_last_layers(self.online, self.optimizer, self.settings.init, self.random)
        self.update_target_network()
        self.average.copy_from(self.online)

    @property
    def train_iterations(self) -> int:
        """Weight updates done."""
        self.wait()
        return self.optimizer.updates

    def read_cost(self) -> float:
        """The mean cost of the weight updates since the last call; 0 if there were none."""
        self.wait()
        cost = float(self.cost_sum) / max(self.cost_count, 1)
        self.cost_sum.zero_()
        self.cost_count = 0
        return cost

    def save_weights(self, path: Path, *, epoch: int = 0, info: dict[str, Any]) -> None:
        """Write a snapshot atomically. Raises OSError if that fails; an old file stays intact."""
        self.wait()
        snapshot = to_snapshot(self.average, self.optimizer, self.state_shape, epoch, info)
        write_snapshot(path, snapshot)

    def load_weights(self, path: Path, *, new_run: bool = False) -> Snapshot:
        """Load a snapshot into network, target network and optimizer, and return it.

        States of another rule are ignored. A `new_run` counts weight updates from 0, which a
        falling learning rate depends on. Raises UserError if the snapshot does not fit.
        """
        self.wait()
        snapshot = read_snapshot(path)
        check_same_network(path, snapshot, self.settings)
        from_snapshot(path, snapshot, self.online, self.optimizer, self.settings, new_run=new_run)
        self.update_target_network()
        self.average.copy_from(self.online)
        return snapshot

    def layers(self) -> list[SavedLayer]:
        """The layers without optimizer states, for screens from 0 to 1 (see --pixel_max)."""
        self.wait()
        return layers_from_0_to_1(self.average)

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Everything that training depends on, as copied arrays by name."""
        self.wait()
        return read_state(self)

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Continue from a saved state. Raises ValueError if it is not one of this network."""
        self.wait()
        write_state(self, state)
