"""Threads that share the work of a weight update with the thread that requests it.

PyTorch's own threads synchronize at each of an update's hundred operations. If another program
needs a core, they wait for one another most of the time. These threads work independently for
milliseconds and synchronize once or twice per update. A thread that waits for a result helps.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
LAST_SECONDS = 10.0  # how long the end of the process waits for calls in progress


class Call(Generic[R]):
    """A function call that any of the threads makes."""

    def __init__(self, function: Callable[..., R], *arguments: Any) -> None:
        """Nothing done yet."""
        self.function, self.arguments = function, arguments
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Make the call, and keep its error for `result`."""
        try:
            self.value = self.function(*self.arguments)
        except BaseException as error:
            self.error = error

    def result(self) -> R:
        """What the call returned. Raises the error that it raised."""
        if self.error:
            raise self.error
        value: R = self.value
        return value


class _Queue:
    """Calls that have not begun; threads wait here for one."""

    def __init__(self) -> None:
        self.calls: deque[Call[Any]] = deque()
        self.changed = threading.Condition()
        self.closed = False

    def work(self, until: Callable[[], bool]) -> None:
        """Make calls, and wait for more, until the condition holds."""
        while True:
            with self.changed:
                while not self.calls and not until():
                    self.changed.wait()
                if until():
                    return
                call = self.calls.popleft()
            call.run()
            with self.changed:
                call.done = True
                self.changed.notify_all()
            del call  # a waiting thread must not keep a network alive


class Workers:
    """`count` threads that make calls, one of which is the thread that waits for results."""

    def __init__(self, count: int, prepare: Callable[[], Any] = lambda: None) -> None:
        """The other threads call `prepare` first. They end when this object is deleted."""
        self.count = count
        self.queue = _Queue()
        threads = [
            threading.Thread(
                target=_serve, args=(self.queue, prepare), name=f"worker {number}", daemon=True
            )
            for number in range(count - 1)
        ]
        for thread in threads:
            thread.start()
        weakref.finalize(self, _close, self.queue, threads)

    def start(self, function: Callable[..., R], *arguments: Any) -> Call[R]:
        """Let the next free thread call `function`."""
        call = Call(function, *arguments)
        with self.queue.changed:
            self.queue.calls.append(call)
            self.queue.changed.notify()
        return call

    def finish(self, call: Call[R]) -> R:
        """Wait for the result of a call, and make other calls meanwhile."""
        self.queue.work(until=lambda: call.done)
        return call.result()

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """`function` of each item, in order, computed by all threads."""
        items = list(items)
        if self.count == 1 or len(items) == 1:
            return [function(item) for item in items]
        calls = [self.start(function, item) for item in items]
        return [self.finish(call) for call in calls]


def _serve(queue: _Queue, prepare: Callable[[], Any]) -> None:
    prepare()
    queue.work(until=lambda: queue.closed)


def _close(queue: _Queue, threads: list[threading.Thread]) -> None:
    with queue.changed:
        queue.closed = True
        queue.changed.notify_all()
    for thread in threads:
        # NB! Python ends a process with a crash if one of its threads is still in PyTorch.
        if thread is not threading.current_thread():
            thread.join(LAST_SECONDS)
