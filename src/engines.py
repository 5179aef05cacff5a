"""The engines that can compute the network, each imported only when it is asked for."""

from __future__ import annotations

from typing import Any

ENGINES = ("torch", "neon")


def make_network(*, engine: str = "torch", **settings: Any) -> Any:
    """A DeepQNetwork, or the like of it on another engine; `settings` are its keywords."""
    if engine == "neon":
        from neon_engine import NeonNetwork

        return NeonNetwork(**settings)
    from deepqnetwork import DeepQNetwork

    return DeepQNetwork(**settings)
