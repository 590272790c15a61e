"""What a rule can prove at the most: with every vote for one class."""

from __future__ import annotations

import dataclasses
import logging
import math

from latentsmooth.certification.bounds import two_sided_p_value
from latentsmooth.certification.rules.base import More, Rule, Setting, Verdict
from latentsmooth.certification.rules.fixed import FixedRule, TwoSidedRule
from latentsmooth.certification.rules.goals import Decide, Precision, Radii, RadiusAtLeast
from latentsmooth.certification.rules.pilot import PilotRule
from latentsmooth.certification.rules.sequential import SequentialRule
from latentsmooth.errors import ConfigurationError

__all__ = [
    "LOGGER",
    "check_predictions",
    "check_rule_certifies",
    "check_rule_certifies_anything",
    "largest_input_radius",
    "reach_warning",
    "say_reach",
]

LOGGER = logging.getLogger("latentsmooth.certification")
"""Where it is said, before images are certified, which radii no votes can prove."""

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
    """No certificate has a larger radius over pixels; 0 where the goal is none.

    Example:
        >>> from latentsmooth.certification.rules import FixedRule
        >>> setting = Setting(latent_sigma=0.25, lipschitz_bound=1.0, num_classes=10)
        >>> round(largest_input_radius(FixedRule(n_estimate=1000), setting), 3)
        0.616
    """
    if isinstance(rule, SequentialRule) and not isinstance(rule.goal, Decide):
        # Whatever the radii asked for, all draws prove as much; this goal asks for all of them.
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
    raise ConfigurationError(_refusal(rule, setting, _least_draws(rule, setting)))


def check_rule_certifies_anything(rule: Rule) -> None:
    """The same before there is a classifier: of what no classifier could be certified by.

    Raises:
        ConfigurationError: naming the least number of draws that can certify.
    """
    if isinstance(rule, SequentialRule) and isinstance(rule.goal, (RadiusAtLeast, Radii)):
        rule = dataclasses.replace(rule, goal=Radii((0.0,)))  # others depend on the classifier
    if isinstance(rule, PilotRule):
        rule = _exacting(rule)  # so does what a tolerance is worth
    check_rule_certifies(rule, Setting(latent_sigma=1.0, lipschitz_bound=1.0, num_classes=2))


def check_predictions(n_samples: int, alpha: float) -> None:
    """Raise where every prediction by so many votes would abstain, even with all for one class.

    Raises:
        ConfigurationError: naming the least number of votes that can tell a class.

    Example:
        >>> check_predictions(10, 0.001)
        Traceback (most recent call last):
        latentsmooth.errors.ConfigurationError: n_samples is 10, too few for any prediction at
        alpha 0.001: every image would abstain; at least 11 are needed
    """
    if two_sided_p_value(n_samples, 0) <= alpha:
        return
    least = n_samples + 1
    while two_sided_p_value(least, 0) > alpha:  # which halves with every vote
        least += 1
    raise ConfigurationError(
        f"n_samples is {n_samples}, too few for any prediction at alpha {alpha:g}: every image "
        f"would abstain; at least {least} are needed"
    )


def reach_warning(rule: Rule, setting: Setting) -> str:
    """What to say before certifying of radii that no votes can prove; empty where nothing is.

    Example:
        >>> setting = Setting(latent_sigma=0.25, lipschitz_bound=1.0, num_classes=10)
        >>> rule = SequentialRule(goal=Radii((0.0, 0.5, 2.0)), n_max=1000)
        >>> reach_warning(rule, setting)
        'no image can be certified at 2: 1,000 samples prove a radius of at most 0.6072'
    """
    if type(rule) not in _BUILT_IN:
        return ""
    goal = getattr(rule, "goal", None)
    if isinstance(goal, Decide):
        return ""
    most = largest_input_radius(rule, setting)
    if most == 0:
        return (
            f"no image can have a radius: what {rule.n_max:,} samples prove is less than is "
            "deducted for rounding"
        )
    beyond = [radius for radius in getattr(goal, "input_radii", ()) if radius > most]
    if not beyond:
        return ""
    named = ", ".join(f"{radius:g}" for radius in beyond)
    return (
        f"no image can be certified at {named}: {rule.n_max:,} samples prove a radius of at most "
        f"{_rounded_down(most)}"
    )


def say_reach(rule: Rule, setting: Setting) -> None:
    """Log what `reach_warning` says, at level WARNING."""
    if warning := reach_warning(rule, setting):
        LOGGER.warning("%s", warning)


def _refusal(rule: Rule, setting: Setting, least: int | None) -> str:
    """Why nothing can be certified, and that ``least`` draws would do if any number does."""
    goal = getattr(rule, "goal", None)
    if isinstance(goal, (RadiusAtLeast, Radii)):
        most = _rounded_down(largest_input_radius(rule, setting))
        takes = "no number does" if least is None else f"it takes n_estimate of at least {least}"
        return (
            f"wanted a radius that {rule.n_max} draws can prove (at most {most} at "
            f"alpha={rule.alpha:g}), got {goal}; {takes}"
        )
    if least is not None:
        return (
            f"n_estimate is {rule.n_max}, too few for any certificate at alpha {rule.alpha:g}: "
            f"every image would abstain; at least {least} are needed"
        )
    if isinstance(rule, PilotRule) and _reaches(_exacting(rule), setting, rule.n_max):
        most = _rounded_down(largest_input_radius(_exacting(rule), setting))
        return (
            f"the tolerance {rule.tolerance:g} is too large for any certificate: {rule.n_max} "
            f"draws prove a radius of at most {most}; with so much to lose the pilot would ask "
            "for too few draws, and every image would abstain"
        )
    apart = setting.deductions.total_variation
    less = f" with the noise's total variation of {apart:g} deducted" if apart else ""
    return f"no number of votes certifies anything at alpha {rule.alpha:g}{less}"


def _rounded_down(radius: float) -> str:
    return f"{math.floor(radius * 10_000) / 10_000:g}"


def _exacting(rule: PilotRule) -> PilotRule:
    """The same rule with next to nothing to lose."""
    return dataclasses.replace(rule, tolerance=_FINEST)


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
    wanted = 0.0
    if isinstance(changed, SequentialRule) and isinstance(changed.goal, (RadiusAtLeast, Radii)):
        # All draws prove as much whatever radii are asked for, and this goal is soon prepared.
        radii = changed.goal
        wanted = radii.input_radius if isinstance(radii, RadiusAtLeast) else radii.input_radii[0]
        changed = dataclasses.replace(changed, goal=Precision(_FINEST))
    verdict = unanimous_verdict(changed, setting)
    proven = setting.input_radius(verdict.latent_radius)
    return verdict.prediction is not None and proven >= wanted
