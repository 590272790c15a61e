"""At which radii of a sweep no votes could certify an image, whatever its classifiers answer."""

from __future__ import annotations

from collections.abc import Sequence

from latentsmooth.certification.rules import (
    Rule,
    Setting,
    largest_input_radius,
    rule_from_settings,
)
from latentsmooth.errors import ConfigurationError
from latentsmooth.records.rounding import floor_text
from latentsmooth.sweep.points import FrontierPoint
from latentsmooth.sweep.result import SweepResult, mapping

__all__ = ["reach_lines", "unreachable"]


def unreachable(input_radii: Sequence[float], rule: Rule, setting: Setting) -> str:
    """Say at which radii no image can be certified; empty where there are none.

    Example:
        >>> from latentsmooth.certification.rules import FixedRule
        >>> setting = Setting(latent_sigma=0.25, lipschitz_bound=1.0, num_classes=10)
        >>> unreachable((0.0, 0.5, 1.0), FixedRule(n_estimate=1000), setting)
        'no image can be certified at radius 1: 1,000 samples prove at most 0.615 with its noise'
    """
    most = largest_input_radius(rule, setting)
    beyond = ", ".join(f"{radius:g}" for radius in input_radii if radius > most)
    if not beyond:
        return ""
    return (
        f"no image can be certified at radius {beyond}: {rule.n_max:,} samples prove at most "
        f"{floor_text(most, 3)} with its noise"
    )


def reach_lines(result: SweepResult) -> list[str]:
    """Return the same of a sweep's classifiers, a line for all that have it in common.

    A column of zeros there is no result. Nothing is said of points that do not tell their noise.
    """
    said: dict[str, list[str]] = {}
    for point in result.points:
        if text := _of_point(point, result):
            said.setdefault(text, []).append(point.name)
    return [f"{', '.join(names)}: {text}." for text, names in said.items()]


def _of_point(point: FrontierPoint, result: SweepResult) -> str:
    bound = point.details.get("lipschitz_bound")
    if point.latent_sigma is None or not isinstance(bound, float):
        return ""
    try:
        rule = rule_from_settings(mapping(result.about.get("rule")))
        # Of two classes the radius is largest, and what rounding deducts makes it smaller.
        setting = Setting(latent_sigma=point.latent_sigma, lipschitz_bound=bound, num_classes=2)
        return unreachable(result.input_radii, rule, setting)
    except (ConfigurationError, ArithmeticError):
        return ""  # a result may come from anyone, and is drawn all the same
