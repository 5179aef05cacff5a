"""Measures weight updates for callbacks that report on a run. Measuring changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from optimizers import learning_rate

if TYPE_CHECKING:
    from deepqnetwork import DeepQNetwork, Gradients


class Inspection(NamedTuple):
    """Measurements of the weight updates since the last inspection."""

    loss: float  # mean of all of them
    td_errors: NDArray[np.float32]  # (batch,) absolute TD errors of the first of them
    gradient_norm: float  # of the gradient in the same update
    learning_rate: float  # of the last of them


class Inspector:
    """Measures the weight updates of a network from now on."""

    def __init__(self, network: DeepQNetwork) -> None:
        """Attach to `network`, which has one inspector at a time."""
        self.network = network
        self.td_errors = self.gradient_norm = torch.zeros(())  # of the first update
        self.cost = torch.zeros((), dtype=torch.float64, device=network.device)
        self.updates = 0
        network.inspector = self

    @torch.no_grad()
    def see(self, parts: Sequence[Gradients]) -> None:
        """A weight update was made; in the overlapped loop another thread calls this."""
        # NB! New tensors: a captured update overwrites its own.
        self.cost = self.cost + sum(part.cost for part in parts)
        if not self.updates:
            whole = [sum(same) for same in zip(*(part.gradients for part in parts), strict=True)]
            norms = [torch.linalg.vector_norm(g, dtype=torch.float32) for g in whole]
            self.gradient_norm = torch.linalg.vector_norm(torch.stack(norms))
            self.td_errors = torch.cat([part.errors for part in parts])
        self.updates += 1

    def take(self) -> Inspection | None:
        """The measurements since the last call; None if there were no weight updates."""
        self.network.wait()
        if not self.updates:
            return None
        found = Inspection(
            float(self.cost) / self.updates / self.network.settings.batch_size,
            self.td_errors.to("cpu", torch.float32).numpy(),
            float(self.gradient_norm) / self.network.optimizer.loss_scale,
            learning_rate(self.network.settings, self.network.optimizer.updates),
        )
        self.cost, self.updates = torch.zeros_like(self.cost), 0
        return found
