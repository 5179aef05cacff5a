"""Makes the target that the flags name."""

from __future__ import annotations

from config import NetworkSettings
from targets import TargetRule, double_q_learning, q_learning
from variants.expected_sarsa import ExpectedSarsa
from variants.munchausen import munchausen


def make_target_rule(settings: NetworkSettings) -> TargetRule:
    """The rule that --target, --double_q, --munchausen and --target_exploration name."""
    if settings.target != "standard":
        from variants.custom import custom_target

        return custom_target(settings.target)
    if settings.munchausen:
        return TargetRule(munchausen, reads_online=False)
    if settings.target_exploration:
        rule = ExpectedSarsa(settings.target_exploration, settings.double_q)
        return TargetRule(rule, reads_online=settings.double_q)
    if settings.double_q:
        return TargetRule(double_q_learning, reads_online=True)
    return TargetRule(q_learning, reads_online=False)
