"""Makes the target that the flags name."""

from __future__ import annotations

from config import NetworkSettings
from targets import Target, double_q_learning, q_learning
from variants.expected_sarsa import ExpectedSarsa
from variants.munchausen import munchausen


def make_target(settings: NetworkSettings) -> Target:
    """The rule that --target, --double_q, --munchausen and --target_exploration name."""
    if settings.target != "standard":
        from variants.custom import custom_target

        return custom_target(settings.target)
    if settings.munchausen:
        return Target(munchausen, reads_online=False)
    if settings.target_exploration:
        rule = ExpectedSarsa(settings.target_exploration, settings.double_q)
        return Target(rule, reads_online=settings.double_q)
    if settings.double_q:
        return Target(double_q_learning, reads_online=True)
    return Target(q_learning, reads_online=False)
