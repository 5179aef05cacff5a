"""Measures how a phase spends its time: emulation, prediction, sampling, weight updates.

NB! A GPU computes weight updates while the prediction after them waits, which gets their time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from envs.remote_game import RemoteGame
from runs.run import Run


class Stopwatch:
    """Sums up the time and the calls of methods."""

    def __init__(self) -> None:
        """Nothing timed yet."""
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    def watch(self, name: str, owner: Any, method: str) -> None:
        """Time `owner.method` from now on. Methods with the same `name` are added up."""
        function = getattr(owner, method)
        self.seconds.setdefault(name, 0.0)
        self.calls.setdefault(name, 0)

        def timed(*args: Any, **keywords: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **keywords)
            finally:
                self.seconds[name] += time.perf_counter() - start
                self.calls[name] += 1

        setattr(owner, method, timed)


def profile(parts: Run, work: Callable[[], None]) -> None:
    """Do `work` and print the time that each part took."""
    watch = Stopwatch()
    for game in parts.agent.games:
        if isinstance(game, RemoteGame):  # it plays while the network learns
            watch.watch("waiting for games", game, "receive")
        else:
            watch.watch("emulation", game.environment, "act")
            watch.watch("screen", game.environment, "screen")
    watch.watch("prediction", parts.network, "predict")
    if parts.memory:
        watch.watch("remembering", parts.memory, "add")
        watch.watch("sampling", parts.memory, "sample")
    watch.watch("weight update", parts.network, "train")
    start = time.perf_counter()
    work()
    total = time.perf_counter() - start
    print(f"{'':<20}{'calls':>8}{'ms each':>10}{'seconds':>10}{'share':>8}")
    for name, seconds in watch.seconds.items():
        calls = watch.calls[name]
        each = f"{1000 * seconds / calls:10.3f}" if calls else f"{'':>10}"
        print(f"{name:<20}{calls:>8}{each}{seconds:10.2f}{seconds / total:8.1%}")
    rest = total - sum(watch.seconds.values())
    print(f"{'the rest':<20}{'':>8}{'':>10}{rest:10.2f}{rest / total:8.1%}")
    print(f"{'all':<20}{'':>8}{'':>10}{total:10.2f}")
