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
        from neon_engine import NeonNetwork

        return NeonNetwork(stochastic_round=stochastic_round, **settings)
    try:
        from deepqnetwork import DeepQNetwork
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name} is not installed: delete .venv and start a script again, which makes it "
            "anew, or take --engine neon."
        ) from error
    network = DeepQNetwork(threads=threads, **settings)
    if not overlap:
        return network
    from overlap import OverlappedNetwork

    return OverlappedNetwork(network)
