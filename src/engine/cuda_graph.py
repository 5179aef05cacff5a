"""A weight update as one CUDA graph: a hundred small kernels started with a single call."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

WARM_UP = 3  # updates done one by one first, in which libraries choose and make what they need


class CapturedUpdate:
    """Calls `update` with tensors of always the same shapes; from the fourth call on as a graph.

    `update` must read nothing else that changes between calls, and write only in place.
    """

    def __init__(self, update: Callable[..., None]) -> None:
        """Nothing captured yet."""
        self.update = update
        self.calls = 0
        self.inputs: tuple[Tensor, ...] = ()
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *inputs: Tensor) -> None:
        """One update."""
        self.calls += 1
        if self.calls == WARM_UP + 1:
            self._capture(inputs)
        if self.graph:
            for mine, given in zip(self.inputs, inputs, strict=True):
                mine.copy_(given, non_blocking=True)
            self.graph.replay()
        elif self.calls <= WARM_UP:
            stream = torch.cuda.Stream()  # capturing wants what came before on another stream
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                self.update(*inputs)
            torch.cuda.current_stream().wait_stream(stream)
        else:
            self.update(*inputs)

    def _capture(self, inputs: tuple[Tensor, ...]) -> None:
        """Record the kernels of an update, which does not run them."""
        self.inputs = tuple(tensor.clone() for tensor in inputs)
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads may go on with work of their own (overlap.py).
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self.update(*self.inputs)
        except RuntimeError as error:
            logger.warning("This GPU cannot capture a weight update (%s): a bit slower.", error)
            return
        self.graph = graph
