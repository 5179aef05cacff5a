"""Your own networks and targets, in a file of yours: path/to/my_network.py:MyNetwork."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from config import CODE, NetworkSettings
from errors import UserError, shown, shown_traceback
from network import Features
from targets import Batch, TargetRule, taken
from user_code.load import load_class

if TYPE_CHECKING:
    from deepqnetwork import DeepQNetwork

HIDDEN = 512  # units of the head's hidden layer, unless the class says otherwise; Mnih et al. 2015
MOST_HIDDEN = 100_000
HELP = "see docs/your_own_network.md"


def custom_features(settings: NetworkSettings) -> Features:
    """The layers up to the features that `--network my_network.py:MyNetwork` names.

    The class is called with the settings and makes a torch module. The attributes `hidden`, `block`
    and `in_order` (see Features in network.py) have defaults. The shape of the features is found by
    running its forward pass once.
    """
    name = settings.network
    made: Any = load_class(name)
    with shown_traceback(name):
        module = made(settings)
        if not isinstance(module, nn.Module):
            raise UserError(f"{name} does not make a torch.nn.Module: {HELP}.")
        features: Any = module
        for key, value in (("block", 1), ("hidden", HIDDEN), ("in_order", False)):
            if not hasattr(features, key):
                setattr(features, key, value)
        if features.block not in (1, 4):
            raise UserError(f"{name} has block {features.block}: set it to 1 or 4, or remove it.")
        if type(features.hidden) is not int or not 1 <= features.hidden <= MOST_HIDDEN:
            raise UserError(
                f"{name} has hidden {shown(features.hidden)}: it must be a number of units, 1 to "
                f"{MOST_HIDDEN}."
            )
        block = features.block
        size = (settings.screen_height // block, settings.screen_width // block)
        x = torch.zeros(2, settings.history_length * block**2, *size)
        features.eval()
        given = features(x.contiguous(memory_format=torch.channels_last))
        if not isinstance(given, Tensor) or given.dim() not in (2, 4) or len(given) != 2:
            shape = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise UserError(
                f"{name} turns states {tuple(x.shape)} into {shape}, not into features (2, F) or "
                f"(2, channels, height, width): {HELP}."
            )
        if useless := _not_learning(module, given):
            raise UserError(
                f"{name} has a parameter that cannot learn, {useless}, as it is frozen or the "
                "features do not depend on it: remove it, or register it as a buffer."
            )
        if odd := next((n for n, b in module.named_buffers() if not b.isfinite().all()), None):
            raise UserError(
                f"{name} has a buffer that is not finite, {odd}: compute it in the forward pass."
            )
        features.train()
        features.output_shape = tuple(given.shape[1:])
    return cast(Features, features)


def _not_learning(module: nn.Module, features: Tensor) -> str | None:
    """The name of a parameter by which `features` cannot be differentiated, if there is one."""
    parameters = dict(module.named_parameters())
    learning = [name for name, each in parameters.items() if each.requires_grad]
    if learning and features.requires_grad:
        weights = [parameters[name] for name in learning]
        gradients: Any = torch.autograd.grad(features.sum(), weights, allow_unused=True)
        learning = [n for n, g in zip(learning, gradients, strict=True) if g is not None]
    else:
        learning = []
    return next((name for name in parameters if name not in learning), None)


def custom_target(name: str) -> TargetRule:
    """The function that `--target my_target.py:my_target` names.

    The overlapped loop assumes that it reads the network that is learning, unless it has the
    attribute `reads_online = False`.
    """
    rule: Any = load_class(name)
    with shown_traceback(name):
        if len(inspect.signature(rule).parameters) != 3:
            raise UserError(
                f"{name} must take three arguments, the network, the target network and the "
                f"minibatch: {HELP}."
            )
    return TargetRule(rule, reads_online=getattr(rule, "reads_online", True))


def try_network(network: DeepQNetwork) -> None:
    """Predict a black state with a network of somebody's own, so that errors show at once.

    Raises UserError.
    """
    name = network.settings.network
    if name not in CODE["network"]:
        with shown_traceback(name):
            network.predict(np.zeros((1, *network.state_shape), np.uint8))


@torch.no_grad()
def try_target(network: DeepQNetwork) -> None:
    """Compute a target of somebody's own for two black states; see `try_network`."""
    if network.settings.target in CODE["target"]:
        return
    name, online, device = network.settings.target, network.online, network.device
    states = torch.zeros((2, *network.state_shape), dtype=torch.uint8, device=device)
    numbers = torch.ones(2, dtype=online.master_dtype, device=device)
    actions = torch.zeros(2, dtype=torch.int64, device=device)
    taus = torch.full((2, online.head.draws), 0.5, dtype=numbers.dtype, device=device)
    fractions = taus if online.head.draws else None
    batch = Batch(states, actions, numbers, numbers, states, numbers, fractions, fractions)
    with shown_traceback(name):
        y: Any = network.target_rule.compute(online, network.target, batch)
    wanted = taken(online.evaluate(states, fractions)[0], actions).shape
    given = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
    if given != tuple(wanted):
        raise UserError(
            f"{name} returns {given} for a minibatch of 2, not a tensor {tuple(wanted)}: {HELP}."
        )
