"""How many CPU threads a weight update gets: as many as turn out to be fastest.

More are not always better. The threads of an update wait for each other a hundred times, so where
other programs want the cores too, two can be slower than one.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np

from config import Config
from parts import network_of
from replay_memory import Minibatch

logger = logging.getLogger(__name__)

WARM_UP, TIMED = 2, 5  # weight updates for each number of threads
WORTH = 0.95  # more threads must take less than this share of the time


def choose_threads(config: Config) -> int:
    """The number of threads to train with, measured if --threads leaves it open.

    Stays 0, the engine's own choice, where there is nothing to measure: on a GPU, on one core, with
    --overlap (which divides the cores in its own way), and on Neon.
    """
    if config.threads or config.overlap or config.engine != "torch":
        return config.threads
    from engine.device import find_device

    if find_device(config.backend, config.device_id).type != "cpu":
        return 0
    network = network_of(config, 4, np.random.default_rng(0))
    if network.threads == 1:
        return 0
    batch = _minibatch(config)
    times = {count: _milliseconds(network, batch, count) for count in counts(network.threads)}
    chosen = 1
    for count, found in times.items():
        if found < WORTH * times[chosen]:
            chosen = count
    measured = ", ".join(f"{found:.1f} ms with {count}" for count, found in times.items())
    logger.info("Threads: %d (a weight update takes %s)", chosen, measured)
    return chosen


def counts(most: int) -> list[int]:
    """The numbers of threads worth a try: 1, 2, 4 ... and `most`."""
    return sorted({2**n for n in range(most.bit_length())} | {most})


def _minibatch(config: Config) -> Minibatch:
    """Noise of the run's shapes."""
    rng, size = np.random.default_rng(0), config.batch_size
    shape = (size, config.history_length + 1, config.screen_height, config.screen_width)
    return Minibatch(
        screens=rng.integers(0, 256, shape, np.uint8),
        actions=rng.integers(0, 4, size, np.uint8),
        rewards=np.zeros(size, np.float32),
        terminals=np.zeros(size, np.bool_),
    )


def _milliseconds(network: Any, batch: Minibatch, threads: int) -> float:
    """The shortest of a few weight updates."""
    network.use_threads(threads)
    times = []
    for _ in range(WARM_UP + TIMED):
        start = time.perf_counter()
        network.train(batch)
        times.append(time.perf_counter() - start)
    return 1000 * min(times[WARM_UP:])
