"""One seed, and a random stream of its own for each part of a run."""

from __future__ import annotations

import numpy as np

STREAMS = ("weights", "environment", "starts", "exploration", "replay", "noise")


def random_stream(seed: int, name: str, game: int = 0) -> np.random.Generator:
    """The stream of one part of a run, of one of the games side by side where each has its own."""
    key = (STREAMS.index(name), game)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
