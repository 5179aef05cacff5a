"""Makes the target that the flags name."""

from __future__ import annotations

from config import NetworkSettings
from targets import Target, double_q_learning, q_learning
from variants.munchausen import munchausen


def make_target(settings: NetworkSettings) -> Target:
    """The rule that --target, --double_q and --munchausen name."""
    if settings.target != "standard":
        from variants.custom import custom_target

        return custom_target(settings.target)
    if settings.munchausen:
        return Target(munchausen, reads_online=False)
    if settings.double_q:
        return Target(double_q_learning, reads_online=True)
    return Target(q_learning, reads_online=False)
