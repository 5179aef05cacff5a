"""Makes the store of screens and the sampler that the flags name; how much memory they take."""

from __future__ import annotations

import logging
import math

import numpy as np

from config import Config
from engine.hardware import free_memory
from engine.make import free_gpu_memory
from envs.parallel import games_bytes
from errors import UserError
from replay.array import ScreenArray
from replay.compressed import CompressedScreens
from replay.prioritized import Prioritized
from replay_memory import Sampler, ScreenStore, Uniform

logger = logging.getLogger(__name__)

PROCESS_BYTES = 600 * 2**20  # what a run takes in addition to its replay memory
SLOT_BYTES = 1 + 4 + 1 + 1  # action, reward, terminal, begins
TREE_BYTES = 32  # priorities and their sums, whose number is rounded up to a power of two
# Memory planned for a compressed screen, as a share of its pixels; measured: 1.5 to 5 %.
PLANNED_SHARE = 1 / 8


def make_screens(storage: str, config: Config) -> ScreenStore:
    """The `array`, `compressed` or `gpu` store of a run."""
    slots = config.replay_size // config.num_envs
    shape = (config.screen_height, config.screen_width)
    if storage == "compressed":
        return CompressedScreens(config.num_envs, slots, *shape)
    if storage == "gpu":
        from replay.gpu import GPUScreens

        return GPUScreens(config.num_envs * slots, *shape, device=f"cuda:{config.device_id}")
    return ScreenArray(config.num_envs * slots, *shape)


def make_sampler(config: Config, rng: np.random.Generator) -> Sampler:
    """The sampler of a run, which draws with `rng`."""
    return Prioritized(config, rng) if config.prioritized else Uniform(rng)


def storage_bytes(storage: str, config: Config, steps: int) -> int:
    """Bytes that a replay memory of `steps` steps takes."""
    pixels = config.screen_height * config.screen_width
    share = PLANNED_SHARE if storage == "compressed" else 1
    tree = TREE_BYTES if config.prioritized else 0
    return steps * (SLOT_BYTES + tree) + int(steps * pixels * share)


def choose_storage(config: Config) -> str:
    """The storage for the replay memory's screens: `gpu`, `array` or `compressed`.

    Raises UserError if the replay memory does not fit into the free memory.
    """
    storage, kinds = config.replay_storage, ("gpu", "array", "compressed")
    size = config.replay_size
    main = free_memory() - PROCESS_BYTES - games_bytes(config, config.num_envs)
    gpu = 0
    if storage in ("auto", "gpu"):
        gpu = free_gpu_memory(config)
    free = {"gpu": gpu, "array": main, "compressed": main}
    needed = {kind: storage_bytes(kind, config, size) for kind in kinds}
    if storage == "auto":
        comfortable = (kind for kind in kinds if needed[kind] <= free[kind] / 2)
        storage = next(comfortable, "compressed")
    if storage == "gpu" and not gpu:
        raise UserError("--replay_storage gpu needs a GPU that PyTorch can use: remove it.")
    if needed[storage] > free[storage]:
        fits = "--replay_storage compressed fits"
        if needed["compressed"] > main:
            largest = max(main, 0) * 1000 // storage_bytes("compressed", config, 1000)
            fits = f"--replay_size {largest} fits, compressed"
        raise UserError(
            f"--replay_size {size} takes {needed[storage] / 1e9:.1f} GB ({storage}) but "
            f"{max(free[storage], 0) / 1e9:.1f} GB are free: {fits}."
        )
    words = {"gpu": "screens on the GPU", "array": "screens in an array"}
    logger.info(
        "Replay memory: %d steps, %s, at most %.1f of %.1f GB free",
        size,
        words.get(storage, "screens compressed"),
        math.ceil(needed[storage] / 1e8) / 10,
        free[storage] / 1e9,
    )
    return storage
