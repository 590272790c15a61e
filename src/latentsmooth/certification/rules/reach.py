"""What a rule can prove at the most: with every vote for one class."""

from __future__ import annotations

import dataclasses

from latentsmooth.certification.rules.base import More, Rule, Setting, Verdict
from latentsmooth.certification.rules.fixed import FixedRule, TwoSidedRule
from latentsmooth.certification.rules.goals import Precision, Radii, RadiusAtLeast
from latentsmooth.certification.rules.pilot import PilotRule
from latentsmooth.certification.rules.sequential import SequentialRule
from latentsmooth.errors import ConfigurationError

__all__ = ["check_rule_certifies", "check_rule_certifies_anything", "largest_input_radius"]

_BUILT_IN = (FixedRule, TwoSidedRule, PilotRule, SequentialRule)
_FINEST = 1e-9
_TRIED_IN_TURN = 200
_MOST_DRAWS = 2**34
"""Where the search for a sufficient number of draws ends."""


def unanimous_verdict(rule: Rule, setting: Setting) -> Verdict:
    """The verdict on an image whose every vote is for one class.

    Raises:
        ConfigurationError: the rule cannot answer its question within its draws.
    """
    prepared = rule.prepare(setting)
    select, estimate = [0] * setting.num_classes, [0] * setting.num_classes
    while isinstance(step := prepared.step(select, estimate), More):
        select[0] += step.select
        estimate[0] += step.estimate
    return step


def largest_input_radius(rule: Rule, setting: Setting) -> float:
    """No certificate has a larger radius over pixels; of sequential rules, none after all draws.

    Example:
        >>> from latentsmooth.certification.rules import FixedRule
        >>> setting = Setting(latent_sigma=0.25, lipschitz_bound=1.0, num_classes=10)
        >>> round(largest_input_radius(FixedRule(n_estimate=1000), setting), 3)
        0.616
    """
    if isinstance(rule, SequentialRule):
        # Whatever the goal, all draws prove as much; this one asks for all of them.
        rule = dataclasses.replace(rule, goal=Precision(_FINEST))
    return setting.input_radius(unanimous_verdict(rule, setting).latent_radius)


def check_rule_certifies(rule: Rule, setting: Setting) -> None:
    """Raise where every image would have to abstain, whatever its votes.

    Raises:
        ConfigurationError: naming the least number of draws that can certify.

    Example:
        >>> from latentsmooth.certification.rules import FixedRule
        >>> setting = Setting(latent_sigma=0.25, lipschitz_bound=1.0, num_classes=10)
        >>> check_rule_certifies(FixedRule(n_estimate=9), setting)
        Traceback (most recent call last):
        latentsmooth.errors.ConfigurationError: n_estimate is 9, too few for any certificate at
        alpha 0.001: every image would abstain; at least 10 are needed
    """
    # A rule of a user's own may abstain for reasons of its own.
    if type(rule) not in _BUILT_IN or _reaches(rule, setting, rule.n_max):
        return
    least = _least_draws(rule, setting)
    goal = getattr(rule, "goal", None)
    if isinstance(goal, (RadiusAtLeast, Radii)):
        takes = "no number does" if least is None else f"it takes n_estimate of at least {least}"
        raise ConfigurationError(
            f"wanted a radius that {rule.n_max} draws can prove (at most "
            f"{largest_input_radius(rule, setting):.4g} at alpha={rule.alpha:g}), got {goal}; "
            + takes
        )
    if least is None:
        raise ConfigurationError(f"no number of votes certifies anything at alpha {rule.alpha:g}")
    raise ConfigurationError(
        f"n_estimate is {rule.n_max}, too few for any certificate at alpha {rule.alpha:g}: every "
        f"image would abstain; at least {least} are needed"
    )


def check_rule_certifies_anything(rule: Rule) -> None:
    """The same before there is a classifier: of what no classifier could be certified by.

    Raises:
        ConfigurationError: naming the least number of draws that can certify.
    """
    if isinstance(rule, SequentialRule) and isinstance(rule.goal, (RadiusAtLeast, Radii)):
        rule = dataclasses.replace(rule, goal=Radii((0.0,)))  # others depend on the classifier
    check_rule_certifies(rule, Setting(latent_sigma=1.0, lipschitz_bound=1.0, num_classes=2))


def _least_draws(rule: Rule, setting: Setting) -> int | None:
    """The least number of draws that can answer the rule's question; ``None`` if there is none."""
    # Where looks come and go a few draws more may reach less, so small numbers are tried in turn.
    near = rule.n_max + _TRIED_IN_TURN
    for draws in range(rule.n_max + 1, near):
        if _reaches(rule, setting, draws):
            return draws
    low, high = near - 1, 2 * near
    while not _reaches(rule, setting, high):
        if high > _MOST_DRAWS:
            return None
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _reaches(rule, setting, middle) else (middle, high)
    return high


def _reaches(rule: Rule, setting: Setting, draws: int) -> bool:
    """Whether so many votes, all for one class, are certified."""
    count = "n_estimate" if hasattr(rule, "n_estimate") else "n_max"
    changed: Rule = dataclasses.replace(rule, **{count: draws})  # type: ignore[type-var]
    try:
        return unanimous_verdict(changed, setting).prediction is not None
    except ConfigurationError:  # a radius out of reach
        return False
