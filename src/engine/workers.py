"""Threads that share the work of a weight update with the thread that asks for it.

PyTorch's own threads meet at each of an update's hundred operations, and where another program
wants a core they wait for one another most of the time. These work for themselves for milliseconds
and meet once or twice an update; whoever waits for a result helps to compute it.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
LAST_SECONDS = 10.0  # for which the tasks in progress are waited for at the end


class Task(Generic[R]):
    """A call that some thread makes."""

    def __init__(self, function: Callable[..., R], *arguments: Any) -> None:
        """Nothing done yet."""
        self.function, self.arguments = function, arguments
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Make the call; its error is kept for whoever asks for the result."""
        try:
            self.value = self.function(*self.arguments)
        except BaseException as error:
            self.error = error

    def result(self) -> R:
        """What the call returned. Raises what it raised."""
        if self.error:
            raise self.error
        value: R = self.value
        return value


class _Queue:
    """Tasks not begun yet; threads wait here for one."""

    def __init__(self) -> None:
        self.tasks: deque[Task[Any]] = deque()
        self.changed = threading.Condition()
        self.closed = False

    def work(self, until: Callable[[], bool]) -> None:
        """Do tasks, and wait for more, until the condition holds."""
        while True:
            with self.changed:
                while not self.tasks and not until():
                    self.changed.wait()
                if until():
                    return
                task = self.tasks.popleft()
            task.run()
            with self.changed:
                task.done = True
                self.changed.notify_all()
            del task  # while this thread waits, it keeps nobody's network


class Workers:
    """`count` threads that do tasks: the one that waits for results, and others beside it."""

    def __init__(self, count: int, prepare: Callable[[], Any] = lambda: None) -> None:
        """Each of the others calls `prepare` first. They end when this object is dropped."""
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

    def start(self, function: Callable[..., R], *arguments: Any) -> Task[R]:
        """Have `function` called by the next thread that is free."""
        task = Task(function, *arguments)
        with self.queue.changed:
            self.queue.tasks.append(task)
            self.queue.changed.notify()
        return task

    def finish(self, task: Task[R]) -> R:
        """The result of a task, helping with whatever is to be done until it is there."""
        self.queue.work(until=lambda: task.done)
        return task.result()

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """`function` of each of the items, in their order, computed by all threads."""
        items = list(items)
        if self.count == 1 or len(items) == 1:
            return [function(item) for item in items]
        tasks = [self.start(function, item) for item in items]
        return [self.finish(task) for task in tasks]


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
