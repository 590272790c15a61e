"""Rules by name: for the command line, and back from a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast, get_args

from latentsmooth.certification.rules.base import Rule
from latentsmooth.certification.rules.fixed import FixedRule, TwoSidedRule
from latentsmooth.certification.rules.goals import parse_goal
from latentsmooth.certification.rules.pilot import PilotRule
from latentsmooth.certification.rules.sequential import BoundName, SequentialRule
from latentsmooth.errors import ConfigurationError

__all__ = ["RULE_NAMES", "parse_rule", "rule_from_settings"]

RULE_NAMES = ("fixed", "two-sided", "pilot", "sequential")
_BOUND_NAMES: tuple[str, ...] = get_args(BoundName)


def parse_rule(
    name: str,
    *,
    goal: str | None = None,
    alpha: float = 1e-3,
    n_select: int = 100,
    n_estimate: int = 100_000,
    tolerance: float | None = None,
    bound: str | None = None,
) -> Rule:
    """Make a rule from what a command line gives.

    Args:
        name: ``fixed``, ``two-sided``, ``pilot`` or ``sequential``.
        goal: of ``sequential``: ``radius>=R``, ``radii=R,R,...``, ``precision=D`` or ``decide``.
        alpha: probability that a verdict is wrong.
        n_select: draws that choose the candidate.
        n_estimate: estimation draws; the most of them where the rule may stop before.
        tolerance: of ``pilot``: input radius that may be lost to save draws.
        bound: of ``sequential``: ``betting`` (default) or ``alpha-spending``.

    Raises:
        ConfigurationError: for an unknown name, an option that is missing, or one that the rule
            does not have.

    Example:
        >>> parse_rule("sequential", goal="radius>=0.5").settings()["goal"]
        'radius>=0.5'
    """
    if name not in RULE_NAMES:
        raise ConfigurationError(f"wanted a rule among {', '.join(RULE_NAMES)}, got {name!r}")
    given = {"goal": goal, "tolerance": tolerance, "bound": bound}
    allowed = {"pilot": {"tolerance"}, "sequential": {"goal", "bound"}}.get(name, set())
    for option, value in given.items():
        if value is not None and option not in allowed:
            raise ConfigurationError(f"the rule {name!r} has no {option}, got {value!r}")
    if name == "fixed":
        return FixedRule(n_select=n_select, n_estimate=n_estimate, alpha=alpha)
    if name == "two-sided":
        return TwoSidedRule(n_select=n_select, n_estimate=n_estimate, alpha=alpha)
    if name == "pilot":
        if tolerance is None:
            raise ConfigurationError("the rule 'pilot' wants a tolerance, an input radius")
        return PilotRule(tolerance=tolerance, n_select=n_select, n_max=n_estimate, alpha=alpha)
    if goal is None:
        raise ConfigurationError(
            "the rule 'sequential' wants a goal: 'radius>=0.25', 'radii=0,0.25', "
            "'precision=0.05' or 'decide'"
        )
    return SequentialRule(
        goal=parse_goal(goal),
        n_select=n_select,
        n_max=n_estimate,
        alpha=alpha,
        bound=_bound_name(bound or "betting"),
    )


def rule_from_settings(settings: Mapping[str, object]) -> Rule:
    """Make again the rule whose `settings` these are.

    Raises:
        ConfigurationError: for settings that no rule writes.

    Example:
        >>> rule_from_settings(FixedRule(n_estimate=1000).settings())
        FixedRule(n_select=100, n_estimate=1000, alpha=0.001)
    """
    values = dict(settings)
    name = values.pop("rule", None)
    kinds: dict[object, type[Rule]] = {
        kind.name: kind for kind in (FixedRule, TwoSidedRule, PilotRule, SequentialRule)
    }
    if name not in kinds:
        raise ConfigurationError(f"wanted a rule among {', '.join(RULE_NAMES)}, got {name!r}")
    if name == "sequential":
        values["goal"] = parse_goal(str(values.get("goal")))
        values["bound"] = _bound_name(str(values.get("bound")))
    try:
        return kinds[name](**values)
    except TypeError as error:
        raise ConfigurationError(f"wanted the settings of a rule, got {settings}") from error


def _bound_name(text: str) -> BoundName:
    if text not in _BOUND_NAMES:
        raise ConfigurationError(f"wanted a bound among {', '.join(_BOUND_NAMES)}, got {text!r}")
    return cast("BoundName", text)
