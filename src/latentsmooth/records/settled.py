"""What a log says of which radii: a rule that stops early settles some and leaves the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latentsmooth.certification.rules import Decide, Radii, RadiusAtLeast, parse_goal
from latentsmooth.errors import ConfigurationError

__all__ = ["check_settled", "lowers_radii", "settled_radii"]


def settled_radii(rule: Mapping[str, Any]) -> tuple[float, ...] | None:
    """Return the input radii a rule draws samples for; ``None`` where it is about all of them.

    At others a log holds what those samples happen to prove: too little, by an unknown amount.

    Args:
        rule: its settings, as a manifest has them.

    Raises:
        ConfigurationError: its goal is none.

    Example:
        >>> settled_radii({"rule": "sequential", "goal": "radii=0,0.25,0.5"})
        (0.0, 0.25, 0.5)
        >>> settled_radii({"rule": "fixed", "n_estimate": 1000}) is None
        True
    """
    if "goal" not in rule:
        return None
    goal = parse_goal(str(rule["goal"]))
    if isinstance(goal, Radii):
        return goal.input_radii
    if isinstance(goal, RadiusAtLeast):
        return (float(goal.input_radius),)
    return (0.0,) if isinstance(goal, Decide) else None


def lowers_radii(rule: Mapping[str, Any]) -> bool:
    """Whether a rule stops before the radius is as large as its most samples would prove.

    The average certified radius of such a log compares with none of another rule.

    >>> lowers_radii({"rule": "pilot"}), lowers_radii({"rule": "two-sided"})
    (True, False)
    """
    return rule.get("rule", "fixed") not in ("fixed", "two-sided")


def check_settled(input_radii: Sequence[float], rule: Mapping[str, Any]) -> None:
    """Raise where accuracy is asked for at a radius that a rule does not settle.

    Raises:
        ConfigurationError: naming the radius and those there are.
    """
    settled = settled_radii(rule)
    other = [] if settled is None else [each for each in input_radii if each not in settled]
    if settled is not None and other:
        known = ", ".join(f"{radius:g}" for radius in settled)
        raise ConfigurationError(
            f"radius {other[0]:g} is not settled by the goal {rule.get('goal')}, which stops "
            f"before; wanted radii among {known}"
        )
