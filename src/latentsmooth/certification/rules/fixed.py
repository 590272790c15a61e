"""A number of draws fixed beforehand: one-sided, as in Cohen et al., and two-sided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from latentsmooth.certification.bounds import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    two_sided_latent_radius,
)
from latentsmooth.certification.rules.base import (
    More,
    PreparedRule,
    Rule,
    Setting,
    Verdict,
    check_draws,
    most_voted,
)
from latentsmooth.errors import ConfigurationError

__all__ = ["FixedRule", "TwoSidedRule"]


@dataclass(frozen=True, kw_only=True)
class FixedRule(Rule):
    """Draw ``n_estimate`` votes; the exact Clopper-Pearson bound at ``alpha`` gives the radius.

    Both phases are asked for at once, so nothing ever waits.

    Args:
        n_select: draws that choose the candidate.
        n_estimate: fresh draws that bound its probability.
        alpha: probability that the verdict is wrong.

    Raises:
        ConfigurationError: unless there is a draw a phase and ``0 < alpha < 1``.

    Source:
        J. Cohen, E. Rosenfeld, Z. Kolter, *Certified Adversarial Robustness via Randomized
        Smoothing*, arXiv 1902.02918, CERTIFY.

    Example:
        >>> setting = Setting(latent_sigma=0.5, lipschitz_bound=1.0, num_classes=2)
        >>> prepared = FixedRule(n_select=10, n_estimate=1000).prepare(setting)
        >>> prepared.step([0, 0], [0, 0])
        More(select=10, estimate=1000)
        >>> prepared.step([9, 1], [990, 10]).prediction
        0
    """

    name: ClassVar[str] = "fixed"
    n_select: int = 100
    n_estimate: int = 100_000
    alpha: float = 1e-3

    def __post_init__(self) -> None:
        check_draws(self, "n_select", "n_estimate")

    @property
    def n_max(self) -> int:
        """The same as ``n_estimate``."""
        return self.n_estimate

    def prepare(self, setting: Setting) -> PreparedRule:
        """Nothing to compute beforehand."""
        return _PreparedFixed(self, setting)

    def settings(self) -> dict[str, str | int | float]:
        """The rule's name and its three numbers."""
        return {
            "rule": self.name,
            "n_select": self.n_select,
            "n_estimate": self.n_estimate,
            "alpha": self.alpha,
        }


@dataclass(frozen=True, kw_only=True)
class TwoSidedRule(Rule):
    """Draw ``n_estimate`` votes; bound the candidate from below and every rival from above.

        radius = sigma/2 (Phi^-1(p_lower) - Phi^-1(rival_upper))

    The candidate's bound spends ``(1 - rival_share) alpha``. Each rival's spends an equal part of
    the rest, so that all hold together with probability ``1 - alpha``; ``1 - p_lower`` is a
    bound as well, and the lesser counts. A class can be certified with less than half the votes.

    Args:
        n_select: draws that choose the candidate.
        n_estimate: fresh draws for all bounds.
        alpha: probability that the verdict is wrong.
        rival_share: the rivals' part of alpha.

    Raises:
        ConfigurationError: unless there is a draw a phase and alpha and the share are in (0, 1).

    Source:
        J. Cohen, E. Rosenfeld, Z. Kolter, arXiv 1902.02918, Theorem 1; the split of alpha is the
        union bound.

    Example:
        >>> setting = Setting(latent_sigma=0.5, lipschitz_bound=1.0, num_classes=3)
        >>> prepared = TwoSidedRule(n_select=10, n_estimate=1000).prepare(setting)
        >>> verdict = prepared.step([9, 1, 0], [460, 270, 270])
        >>> verdict.prediction, verdict.p_lower < 0.5, verdict.latent_radius > 0
        (0, True, True)
    """

    name: ClassVar[str] = "two-sided"
    n_select: int = 100
    n_estimate: int = 100_000
    alpha: float = 1e-3
    rival_share: float = 0.5

    def __post_init__(self) -> None:
        check_draws(self, "n_select", "n_estimate")
        if not 0 < self.rival_share < 1:
            raise ConfigurationError(f"wanted rival_share in (0, 1), got {self.rival_share}")

    @property
    def n_max(self) -> int:
        """The same as ``n_estimate``."""
        return self.n_estimate

    def prepare(self, setting: Setting) -> PreparedRule:
        """Split alpha among the classes."""
        return _PreparedTwoSided(self, setting)

    def settings(self) -> dict[str, str | int | float]:
        """The rule's name and its four numbers."""
        return {
            "rule": self.name,
            "n_select": self.n_select,
            "n_estimate": self.n_estimate,
            "alpha": self.alpha,
            "rival_share": self.rival_share,
        }


class _PreparedFixed(PreparedRule):
    def __init__(self, rule: FixedRule, setting: Setting) -> None:
        super().__init__(setting)
        self._rule = rule

    def step(self, select: Sequence[int], estimate: Sequence[int]) -> More | Verdict:
        """Ask for everything at once, then judge."""
        rule = self._rule
        selected, estimated = self.totals(select, estimate)
        if selected < rule.n_select or estimated < rule.n_estimate:
            return _missing(rule.n_select - selected, rule.n_estimate - estimated)
        candidate = most_voted(select)
        p_lower = clopper_pearson_lower(estimate[candidate], estimated, rule.alpha)
        return self.one_sided(candidate, p_lower, "all draws made")


class _PreparedTwoSided(PreparedRule):
    def __init__(self, rule: TwoSidedRule, setting: Setting) -> None:
        super().__init__(setting)
        self._rule = rule
        self._rival_alpha = rule.alpha * rule.rival_share / (setting.num_classes - 1)

    def step(self, select: Sequence[int], estimate: Sequence[int]) -> More | Verdict:
        """Ask for everything at once, then judge."""
        rule = self._rule
        selected, estimated = self.totals(select, estimate)
        if selected < rule.n_select or estimated < rule.n_estimate:
            return _missing(rule.n_select - selected, rule.n_estimate - estimated)
        candidate = most_voted(select)
        p_lower = clopper_pearson_lower(
            estimate[candidate], estimated, rule.alpha * (1 - rule.rival_share)
        )
        # The bound grows with the votes: that of the rival with the most covers every other.
        most = max(votes for number, votes in enumerate(estimate) if number != candidate)
        rival_upper = clopper_pearson_upper(most, estimated, self._rival_alpha)
        if rival_upper >= 1 - p_lower:
            return self.one_sided(candidate, p_lower, "all draws made")
        radius = two_sided_latent_radius(p_lower, rival_upper, self.setting.latent_sigma)
        return Verdict(
            candidate=candidate,
            prediction=candidate if radius > 0 else None,
            p_lower=p_lower,
            rival_upper=rival_upper,
            latent_radius=radius,
            reason="all draws made",
        )


def _missing(select: int, estimate: int) -> More:
    return More(select=max(0, select), estimate=max(0, estimate))
