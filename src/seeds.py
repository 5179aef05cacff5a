"""One seed, from which each part of a run gets its own random stream.

The stream of the weights also gives that of the network's noise and random fractions.
"""

from __future__ import annotations

import numpy as np

STREAMS = ("weights", "environment", "starts", "exploration", "replay")


def random_stream(seed: int, name: str, game: int = 0) -> np.random.Generator:
    """The stream of one part of a run; with several games, of that part of game number `game`."""
    key = (STREAMS.index(name), game)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
