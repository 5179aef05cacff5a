"""The overlapped loop: the network learns while the agent goes on playing.

While training, the agent acts from the *target* network, whose weights rest between copies, so that
it need not wait for the weight update in flight (Daley and Amato 2021, "Human-Level Control without
Server-Grade Hardware"). Minibatches are drawn at the same steps as in the plain loop and learned
from in the same order, one at a time, so the same seed gives the same run. Only the acting differs:
it follows the policy of up to target_steps ago. Off by default, since the published agents act from
the network.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay_memory import Minibatch


class OverlappedNetwork:
    """A DeepQNetwork whose weight updates run in a thread of their own.

    The targets of a minibatch need the target network alone, so they are computed before the update
    in flight has ended: a third of the work, beside the rest of it.
    """

    def __init__(self, network: Any) -> None:
        """Take over `network`, which must have a target network.

        Its CPU threads are divided: one for the agent, the others for the learner.
        """
        self.network = network
        self.update: Future[None] | None = None
        self.learner = ThreadPoolExecutor(1, thread_name_prefix="learner")
        self.learner.submit(network.use_threads, max(1, network.threads - 1)).result()
        network.use_threads(1)  # here, since the learner has got its number

    def train(self, minibatch: Minibatch) -> None:
        """Begin a weight update, once the one before has ended; its errors are raised here."""
        prepared = self.network.prepare(minibatch)
        self.wait()
        self.update = self.learner.submit(self.network.learn, prepared)

    def predict_target(self, states: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Q-values of the target network, at once: no update changes it."""
        values: NDArray[np.float32] = self.network.predict(states, target=True)
        return values

    def wait(self) -> None:
        """Until no update is in flight."""
        if self.update:
            self.update.result()
            self.update = None

    def __getattr__(self, name: str) -> Any:
        """Everything else is the network's own, when no update is in flight."""
        if name in ("network", "update"):  # not yet set: copying and unpickling ask for these
            raise AttributeError(name)
        self.wait()
        return getattr(self.network, name)
