"""Threads that share work: order, errors, helping, and how they end."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from engine.workers import Workers

SOURCE = Path(__file__).resolve().parent.parent.parent / "src"


def ended(thread: threading.Thread) -> bool:
    thread.join(timeout=20)
    return not thread.is_alive()


def threads_of(workers: Workers) -> set[threading.Thread]:
    """The threads that serve; each does one of several tasks that wait for all of them."""
    meeting = threading.Barrier(workers.count, timeout=20)

    def meet(_: int) -> threading.Thread:
        meeting.wait()
        return threading.current_thread()

    return set(workers.map(meet, range(workers.count)))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_have_the_order_of_the_items(count: int) -> None:
    workers = Workers(count)

    def slow_first(n: int) -> int:
        time.sleep(0.01 if n == 0 else 0)
        return n * n

    for _ in range(20):
        assert workers.map(slow_first, range(7)) == [n * n for n in range(7)]
    assert workers.map(slow_first, iter(())) == []


@pytest.mark.parametrize("count", [1, 2, 4])
def test_all_threads_compute_and_the_one_that_waits_is_one_of_them(count: int) -> None:
    threads = threads_of(Workers(count))
    assert len(threads) == count
    assert threading.current_thread() in threads


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_error_is_raised_to_who_asks_and_the_threads_serve_on(count: int) -> None:
    workers = Workers(count)

    def fails(n: int) -> int:
        if n == 2:
            raise ValueError(f"item {n}")
        return n

    for _ in range(5):
        with pytest.raises(ValueError, match="item 2"):
            workers.map(fails, range(4))
    task = workers.start(fails, 2)
    assert workers.map(fails, [0, 1, 3]) == [0, 1, 3]  # another's error is not theirs
    with pytest.raises(ValueError, match="item 2"):
        workers.finish(task)
    assert workers.finish(workers.start(fails, 7)) == 7
    assert len(threads_of(workers)) == count


def test_a_task_begins_while_nobody_waits_for_it() -> None:
    begun, release = threading.Event(), threading.Event()

    def task() -> str:
        begun.set()
        assert release.wait(20)
        return "done"

    workers = Workers(2)
    running = workers.start(task)
    assert begun.wait(20)
    assert not running.done
    release.set()
    assert workers.finish(running) == "done"


def test_tasks_begin_in_the_order_in_which_they_were_started() -> None:
    workers = Workers(1)
    begun: list[int] = []
    tasks = [workers.start(begun.append, n) for n in range(5)]
    workers.finish(tasks[3])
    assert begun == [0, 1, 2, 3]
    workers.finish(tasks[4])
    assert begun == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_task_may_share_its_own_work(count: int) -> None:
    """The overlapped weight update does so, and other tasks come beside it."""
    workers = Workers(count)

    def update(base: int) -> list[int]:
        return workers.map(lambda n: base + n, range(4))

    for base in range(50):
        outer = workers.start(update, base)
        beside = workers.map(lambda n: -n, range(3))
        assert workers.finish(outer) == [base, base + 1, base + 2, base + 3]
        assert beside == [0, -1, -2]


def test_every_thread_but_the_callers_is_prepared_first() -> None:
    prepared: list[threading.Thread] = []
    workers = Workers(3, lambda: prepared.append(threading.current_thread()))
    assert threads_of(workers) - {threading.current_thread()} == set(prepared)
    assert len(prepared) == 2


def test_threads_end_when_the_workers_are_dropped() -> None:
    workers = Workers(4)
    threads = threads_of(workers) - {threading.current_thread()}
    assert len(threads) == 3
    assert all(thread.is_alive() for thread in threads)
    del workers
    gc.collect()
    assert all(map(ended, threads))


def test_threads_end_when_what_owns_the_workers_is_dropped_by_one_of_its_tasks() -> None:
    """The last reference goes in a thread of its own, which cannot wait for itself."""

    class Owner:
        def __init__(self) -> None:
            self.workers = Workers(2)
            self.release = threading.Event()

        def work(self) -> None:
            assert self.release.wait(20)

    owner = Owner()
    threads = threads_of(owner.workers) - {threading.current_thread()}
    release = owner.release
    owner.workers.start(owner.work)
    del owner
    release.set()
    assert all(map(ended, threads))


def test_a_process_that_ends_in_the_middle_of_a_task_ends_in_order() -> None:
    """Python would crash where PyTorch's C++ wants its lock back: exit code 134."""
    program = """
import threading
import torch
from engine.workers import Workers

begun = threading.Event()

def compute():
    x = torch.ones(200, 200)
    for _ in range(100):
        x = (x @ x).clamp_(0, 1)
        begun.set()

workers = Workers(2)
workers.start(compute)
begun.wait()
"""
    ran: Any = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
