"""The network computed by Neon, the engine of 2015, with its own `Model.fprop` and `Model.bprop`.

docs/neon.md explains how to install Neon. The last axis of its arrays is the minibatch, (features,
N). Nothing here imports torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config import NetworkSettings
from errors import UserError
from neon_engine.backend import import_neon, new_backend
from nvis.saliency import Saliency
from replay_memory import Minibatch
from snapshot.compatibility import check_fit
from snapshot.format import Snapshot, read_snapshot, write_snapshot
from snapshot.layers import SavedLayer, from_neon

PARAMETERS = ("W", "beta", "gamma", "gmean", "gvar")  # that layers of any kind may have
OPTIMIZERS = {"rmsprop": "RMSProp", "adam": "Adam", "adadelta": "Adadelta"}
STATES = {"rmsprop": 1, "adam": 2, "adadelta": 3}  # arrays kept beside a parameter


class NeonNetwork:
    """DeepQNetwork on Neon. There can be one at a time: Neon has one backend per process."""

    def __init__(
        self, settings: NetworkSettings, *, num_actions: int, rng: np.random.Generator
    ) -> None:
        """A network with new weights, drawn by Neon with a seed from `rng`.

        Raises UserError if Neon is missing or cannot compute with the settings.
        """
        s = settings
        if (s.datatype, s.optimizer) == ("float16", "adam"):
            raise UserError(
                "Adam's epsilon of 1e-8 is zero in Neon's float16 and would destroy the weights: "
                "use --optimizer rmsprop or --datatype float32."
            )
        self.num_actions = num_actions
        self.state_shape = (s.history_length, s.screen_height, s.screen_width)
        self.settings, self.batch_size, self.clip_error = s, s.batch_size, s.clip_error
        self.neon = neon = import_neon()
        self.be = new_backend(s, neon, seed=int(rng.integers(2**32)))
        self.cost = neon.layers.GeneralizedCost(costfunc=neon.transforms.SumSquared())
        self.model = self._new_model(s.batch_size, cost=self.cost)
        self.target_model = self._new_model(s.batch_size) if s.target_steps else self.model
        # The batch size of a Neon model is fixed, and acting on one state with a model of the
        # minibatch's size takes five times as long. Neon's GPU kernels need whole batches, though.
        self.acting_size = 1 if type(self.be).__name__ == "NervanaCPU" else s.batch_size
        self.acting_model = self._new_model(self.acting_size, weights_of=self.model)
        self.input, self.acting_input = (
            self._new_input(n) for n in (s.batch_size, self.acting_size)
        )
        self.targets = self.be.empty((num_actions, s.batch_size))
        rule = {
            "rmsprop": {"learning_rate": s.learning_rate, "decay_rate": s.decay_rate},
            "adam": {"learning_rate": s.learning_rate},
            "adadelta": {"decay": s.decay_rate},
        }[s.optimizer]
        self.optimizer = getattr(neon.optimizers, OPTIMIZERS[s.optimizer])(
            stochastic_round=s.stochastic_round, **rule
        )
        self.weighted = [layer for layer in self.model.layers.layers if layer.has_params]
        self.states: list[list[Any]] = []  # of each of these, in the order of a snapshot
        for layer in self.weighted:
            self.states.append([])
            for (_, gradient), states in neon.optimizers.optimizer.get_param_list([layer]):
                states.extend(self.be.zeros_like(gradient) for _ in range(STATES[s.optimizer]))
                self.states[-1] += states
        self.update_target_network()
        self.train_iterations = 0  # weight updates done
        self.cost_sum, self.cost_count = 0.0, 0

    def predict(self, states: NDArray[np.uint8], training: bool = False) -> NDArray[np.float32]:
        """Q-values (N, num_actions) float32 of states (N, history, height, width) uint8."""
        if states.shape[1:] != self.state_shape or states.dtype != np.uint8:
            raise ValueError(
                f"states are (N, {', '.join(map(str, self.state_shape))}) uint8, "
                f"not {states.shape} {states.dtype}"
            )
        size = self.acting_size
        q = np.empty((len(states), self.num_actions), np.float32)
        for first in range(0, len(states), size):
            some = states[first : first + size]
            self._set_input(self.acting_input, np.resize(some, (size, *self.state_shape)))
            out = self.acting_model.fprop(self.acting_input, inference=True)
            q[first : first + size] = out.get().T[: len(some)]
        return q

    def returns(self, state: NDArray[np.uint8]) -> None:
        """Neon's networks predict no distributions."""

    def saliency(self, state: NDArray[np.uint8], action: int) -> NDArray[np.float32]:
        """How much each pixel of a state increases an action's Q-value, (height, width)."""
        found: NDArray[np.float32] = Saliency(self.layers())(state, action)
        return found

    def train(self, minibatch: Minibatch) -> None:
        """One weight update from a minibatch of transitions."""
        self._set_input(self.input, minibatch.next_states)
        q_tp1 = self.target_model.fprop(self.input, inference=True).get()  # (num_actions, B)
        self._set_input(self.input, minibatch.states)
        q_t = self.model.fprop(self.input, inference=False)  # (num_actions, B)
        discounts = minibatch.discounts.astype(np.float32)
        y = minibatch.returns + discounts * q_tp1.max(axis=0)
        targets = q_t.get()  # the errors of all other actions are zero
        targets[minibatch.actions, np.arange(self.batch_size)] = y
        self.targets.set(targets)
        errors = self.cost.get_errors(q_t, self.targets)
        self.cost_sum += float(self.cost.get_cost(q_t, self.targets)[0, 0])
        self.cost_count += 1
        if self.clip_error:
            self.be.clip(errors, -self.clip_error, self.clip_error, out=errors)
        self.model.bprop(errors)
        self.optimizer.optimize(self.model.layers_to_optimize, epoch=0)
        self.train_iterations += 1

    def update_target_network(self) -> None:
        """Copy the network to the target network."""
        if self.target_model is not self.model:
            description = self.model.get_description(get_weights=True)
            self.target_model.deserialize(description, load_states=False)

    def reset_last_layers(self) -> None:
        """Not available on Neon; commands/combinations.py refuses it."""
        raise UserError("--reset_steps needs --engine torch.")

    def read_cost(self) -> float:
        """The mean cost of the weight updates since the last call; 0 if there were none."""
        cost = self.cost_sum / max(self.cost_count, 1)
        self.cost_sum, self.cost_count = 0.0, 0
        return cost

    def save_weights(self, path: Path, *, epoch: int = 0, info: dict[str, Any]) -> None:
        """Write a snapshot atomically. Raises OSError if that fails; an old file stays intact."""
        layers = self._layers(keep_states=self.train_iterations > 0)
        write_snapshot(path, Snapshot(layers, epoch, info, train_input_shape=self.state_shape))

    def load_weights(self, path: Path, *, new_run: bool = False) -> Snapshot:
        """Load a snapshot into network, target network and optimizer, and return it.

        States of another rule are ignored. A `new_run` counts on as well: Neon's Adam needs the
        number of all updates. Raises UserError if the snapshot does not fit.
        """
        snapshot = read_snapshot(path)
        given = [layer for layer in snapshot.layers if layer.params]
        check_fit(path, given, [layer for layer in self.layers() if layer.params])
        kept = [len(layer.states) for layer in given] == [len(states) for states in self.states]
        for theirs, layer, states in zip(given, self.weighted, self.states, strict=True):
            for name, array in theirs.params.items():
                getattr(layer, name).set(array)
            for n, state in enumerate(states):
                state.set(theirs.states[n] if kept else 0)
        self.update_target_network()
        updates = snapshot.info.get("weight_updates", 0)
        self._set_updates(snapshot.info.get("updates_since_reset", updates) if kept else 0)
        return snapshot

    def layers(self) -> list[SavedLayer]:
        """The layers as a snapshot has them: weights without optimizer states."""
        return self._layers(keep_states=False)

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Everything that training depends on, as arrays by name."""
        counts = np.array([self.train_iterations, self.cost_count, self.cost_sum], np.float64)
        return {name: tensor.get() for name, tensor in self._tensors().items()} | {"counts": counts}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Continue from a saved state. Raises ValueError if it is not one of this network."""
        tensors = self._tensors()
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        if {k: v.shape for k, v in state.items() if k != "counts"} != shapes:
            raise ValueError("the network's tensors have other names or shapes")
        for name, tensor in tensors.items():
            tensor.set(np.asarray(state[name]))
        updates, count, self.cost_sum = state["counts"].tolist()
        self.cost_count = int(count)
        self._set_updates(int(updates))

    def _new_model(self, size: int, cost: Any = None, weights_of: Any = None) -> Any:
        """A model for batches of `size`, with new weights or sharing those of another."""
        neon = self.neon
        conv, affine = (neon.initializers.Xavier(local=local) for local in (True, False))
        if self.settings.init == "gaussian":
            conv = affine = neon.initializers.Gaussian(scale=0.01)  # the original until 2015
        relu = {"activation": neon.transforms.Rectlin(), "batch_norm": self.settings.batch_norm}
        layers = [
            neon.layers.Conv((8, 8, 32), conv, strides=4, name="Convolution_0", **relu),
            neon.layers.Conv((4, 4, 64), conv, strides=2, name="Convolution_1", **relu),
            neon.layers.Conv((3, 3, 64), conv, strides=1, name="Convolution_2", **relu),
            neon.layers.Affine(512, affine, name="Linear_0", **relu),
            neon.layers.Affine(self.num_actions, affine, name="Linear_1"),
        ]
        model = neon.models.Model(layers)
        for n, layer in enumerate(model.layers.layers):
            layer.parallelism = "Disabled"  # otherwise Neon divides minibatches among several GPUs
            for name in (*PARAMETERS, "allparams") if weights_of else ():
                if hasattr(layer, name):
                    setattr(layer, name, getattr(weights_of.layers.layers[n], name))
        self.be.bsz = size
        model.initialize(self.state_shape, cost)
        self.be.bsz = self.batch_size
        return model

    def _new_input(self, size: int) -> Any:
        tensor = self.be.empty((*self.state_shape, size))
        tensor.lshape = tensor.shape  # convolutions read the shape from here
        return tensor

    def _set_input(self, tensor: Any, states: NDArray[np.uint8]) -> None:
        tensor.set(np.ascontiguousarray(states.transpose(1, 2, 3, 0)))  # (history, H, W, N)
        self.be.divide(tensor, 255, tensor)

    def _set_updates(self, updates: int) -> None:
        self.train_iterations = updates
        if hasattr(self.optimizer, "t"):  # Adam counts updates for its bias correction
            self.optimizer.t = updates

    def _layers(self, keep_states: bool) -> list[SavedLayer]:
        description = self.model.layers.get_description(get_weights=True, keep_states=keep_states)
        return from_neon(_float32(description["config"]["layers"]))

    def _tensors(self) -> dict[str, Any]:
        """Neon's arrays that training depends on."""
        found: dict[str, Any] = {}
        for role, model in (("online", self.model), ("target", self.target_model)):
            for n, layer in enumerate(model.layers.layers):
                for name in PARAMETERS:
                    if hasattr(layer, name):
                        found[f"{role}.{n}.{name}"] = getattr(layer, name)
        for n, states in enumerate(self.states):
            found |= {f"optimizer.{n}.{k}": state for k, state in enumerate(states)}
        return found


def _float32(value: Any) -> Any:
    """A copy of nested dicts and lists with all arrays in float32, as a snapshot has them."""
    if isinstance(value, dict):
        return {key: _float32(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_float32(part) for part in value]
    return value.astype(np.float32) if isinstance(value, np.ndarray) else value
