"""Draw until a question is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from latentsmooth.certification.rules.base import PreparedRule, Rule, Setting, check_draws
from latentsmooth.certification.rules.goals import Decide, Goal, Precision, Radii, RadiusAtLeast
from latentsmooth.certification.rules.questions import (
    PreparedDecide,
    PreparedPrecision,
    PreparedRadii,
)
from latentsmooth.errors import ConfigurationError

__all__ = ["BoundName", "SequentialRule"]

BoundName = Literal["betting", "alpha-spending"]


@dataclass(frozen=True, kw_only=True)
class SequentialRule(Rule):
    """Look at the votes at growing numbers of draws; stop when the goal is answered.

    Bounds hold at all looks together, so that stopping at any of them is valid. The rule also
    gives up where the goal cannot be reached within ``n_max`` draws, or hardly, and then claims
    what the votes so far prove, if anything: ``miss`` trades draws for certificates, never for
    soundness.

    Args:
        goal: the question: `RadiusAtLeast`, `Radii`, `Precision` or `Decide`.
        n_select: draws that choose the candidate, asked for together with the first look's.
        n_max: the most estimation draws.
        alpha: probability that the verdict is wrong.
        bound: ``betting`` or ``alpha-spending``.
        miss: probability, a look, of giving up an image that has an even chance at ``n_max``.

    Raises:
        ConfigurationError: unless there is a draw a phase, alpha and miss are in (0, 1), and the
            bound has one of the two names.

    Source:
        V. Voracek, *Treatment of Statistical Estimation Problems in Randomized Smoothing for
        Adversarial Robustness*, arXiv 2406.17830.

    Example:
        >>> setting = Setting(latent_sigma=0.5, lipschitz_bound=1.0, num_classes=2)
        >>> rule = SequentialRule(goal=RadiusAtLeast(0.5), n_select=10)
        >>> prepared = rule.prepare(setting)
        >>> prepared.step([0, 0], [0, 0])
        More(select=10, estimate=32)
        >>> prepared.step([6, 4], [15, 17]).reason
        'radius out of reach'
        >>> prepared.step([9, 1], [32, 0])
        More(select=0, estimate=4)
    """

    name: ClassVar[str] = "sequential"
    goal: Goal
    n_select: int = 100
    n_max: int = 100_000
    alpha: float = 1e-3
    bound: BoundName = "betting"
    miss: float = 0.01

    def __post_init__(self) -> None:
        check_draws(self, "n_select", "n_max")
        if not 0 < self.miss < 1:
            raise ConfigurationError(f"wanted miss in (0, 1), got {self.miss}")
        if self.bound not in ("betting", "alpha-spending"):
            raise ConfigurationError(
                f"wanted bound 'betting' or 'alpha-spending', got {self.bound!r}"
            )

    def prepare(self, setting: Setting) -> PreparedRule:
        """Compute the looks, and for a radius the votes that settle it at each.

        Raises:
            ConfigurationError: where no votes within ``n_max`` could prove any of the goal's radii.
        """
        if isinstance(self.goal, RadiusAtLeast):
            return PreparedRadii(self, (self.goal.input_radius,), setting)
        if isinstance(self.goal, Radii):
            return PreparedRadii(self, self.goal.input_radii, setting)
        if isinstance(self.goal, Precision):
            return PreparedPrecision(self, self.goal, setting)
        if isinstance(self.goal, Decide):
            return PreparedDecide(self, setting)
        raise ConfigurationError(f"wanted a goal, got {self.goal!r}")
