"""Weight updates and predictions as CUDA graphs: one call starts a hundred small kernels."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

WARM_UP = 3  # calls before capturing, in which libraries allocate and choose their kernels


class Captured:
    """Calls `function`, from the fourth call on as a graph.

    Arguments and result are None, tensors whose shapes never change, or tuples and lists of these.
    The function must not read anything else that changes between calls, and must write in place
    only. Each call overwrites the result of the previous one.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        """The graph is captured later."""
        self.function = function
        self.calls = 0
        self.inputs: Any = ()
        self.output: Any = None
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *inputs: Any) -> Any:
        """One call."""
        self.calls += 1
        if self.calls == WARM_UP + 1:
            self._capture(inputs)
        if self.graph:
            _copy(self.inputs, inputs)
            self.graph.replay()
            return self.output
        if self.calls > WARM_UP:
            return self.function(*inputs)
        stream = torch.cuda.Stream()  # calls before capturing must use another stream
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            output = self.function(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        return output

    def _capture(self, inputs: Any) -> None:
        """Record the kernels of a call without running them."""
        self.inputs = _clone(inputs)
        graph = torch.cuda.CUDAGraph()
        try:
            # NB! After an error only the outer one leads back to the stream of before.
            with (
                torch.cuda.stream(torch.cuda.current_stream()),
                torch.cuda.graph(graph, capture_error_mode="thread_local"),
            ):
                self.output = self.function(*self.inputs)
        except RuntimeError as error:
            logger.warning(
                "This GPU cannot capture a CUDA graph (%s): the run is a little slower.", error
            )
            return
        self.graph = graph


def _clone(value: Any) -> Any:
    """The same tuples and lists with copies of the tensors."""
    if isinstance(value, Tensor):
        return value.clone()
    if value is None:
        return None
    parts = [_clone(part) for part in value]
    if hasattr(value, "_fields"):  # a NamedTuple
        return type(value)(*parts)
    return type(value)(parts)


def _copy(mine: Any, given: Any) -> None:
    """Copy the tensors of `given` into those of `mine`, which has the same structure."""
    if isinstance(mine, Tensor):
        mine.copy_(given, non_blocking=True)
        return
    if mine is None:
        return
    for a, b in zip(mine, given, strict=True):
        _copy(a, b)
