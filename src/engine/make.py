"""The engines that can compute the network, each imported only when it is asked for."""

from __future__ import annotations

from typing import Any

from errors import UserError

ENGINES = ("torch", "neon")


def make_network(
    *,
    engine: str = "torch",
    stochastic_round: bool = False,
    threads: int = 0,
    overlap: bool = False,
    **settings: Any,
) -> Any:
    """A DeepQNetwork, or the like of it on Neon; `settings` are the keywords of both.

    `stochastic_round` is for Neon alone, `threads` and `overlap` for PyTorch alone.
    """
    if engine == "neon":
        from neon_engine.network import NeonNetwork

        return NeonNetwork(stochastic_round=stochastic_round, **settings)
    try:
        from deepqnetwork import DeepQNetwork
        from engine.device import OutOfMemory, warn_once
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name} is not installed: delete .venv and start a script again, which makes it "
            "anew, or take --engine neon."
        ) from error
    try:
        network = DeepQNetwork(threads=threads, **settings)
    except OutOfMemory as error:
        if settings["backend"] != "auto":
            raise UserError(
                "The GPU has no memory left for the network: end other programs that use it, or "
                "take --backend cpu."
            ) from error
        warn_once("The GPU has no memory left: the network is computed on the CPU.")
        network = DeepQNetwork(threads=threads, **{**settings, "backend": "cpu"})
    if not overlap:
        return network
    from engine.overlap import OverlappedNetwork

    return OverlappedNetwork(network)


def free_gpu_memory(engine: str, backend: str, device_id: int) -> int:
    """Bytes free on the GPU that PyTorch would compute on; 0 if it is the CPU."""
    if engine != "torch" or backend == "cpu":
        return 0
    from engine.device import free_memory

    return free_memory(backend, device_id)
