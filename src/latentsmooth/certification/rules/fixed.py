"""A number of draws fixed beforehand: one-sided, as in Cohen et al., and two-sided."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from latentsmooth.certification.bounds import (
    clopper_pearson_lower,
    clopper_pearson_upper,
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
class _AtOnce(Rule):
    """Numbers of draws that both rules have."""

    n_select: int = 100
    n_estimate: int = 100_000
    alpha: float = 1e-3

    def __post_init__(self) -> None:
        check_draws(self, "n_select", "n_estimate")

    @property
    def n_max(self) -> int:
        """The same as ``n_estimate``."""
        return self.n_estimate


@dataclass(frozen=True, kw_only=True)
class FixedRule(_AtOnce):
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

    def prepare(self, setting: Setting) -> PreparedRule:
        """Nothing to compute beforehand."""
        return _PreparedFixed(self, setting)


@dataclass(frozen=True, kw_only=True)
class TwoSidedRule(_AtOnce):
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
    rival_share: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.rival_share < 1:
            raise ConfigurationError(f"wanted rival_share in (0, 1), got {self.rival_share}")

    def prepare(self, setting: Setting) -> PreparedRule:
        """Split alpha among the classes."""
        return _PreparedTwoSided(self, setting)


class _PreparedAtOnce(PreparedRule):
    """Asks for everything at once; subclasses judge it."""

    def __init__(self, rule: _AtOnce, setting: Setting) -> None:
        super().__init__(setting)
        self._draws = rule

    def step(self, select: Sequence[int], estimate: Sequence[int]) -> More | Verdict:
        """Ask for what is missing, then judge."""
        selected, estimated = self.totals(select, estimate)
        missing = (self._draws.n_select - selected, self._draws.n_estimate - estimated)
        if max(missing) > 0:
            return More(select=max(0, missing[0]), estimate=max(0, missing[1]))
        return self._judge(most_voted(select), estimate, estimated)

    @abstractmethod
    def _judge(self, candidate: int, estimate: Sequence[int], estimated: int) -> Verdict:
        """What the votes prove of the candidate."""


class _PreparedFixed(_PreparedAtOnce):
    def _judge(self, candidate: int, estimate: Sequence[int], estimated: int) -> Verdict:
        p_lower = clopper_pearson_lower(estimate[candidate], estimated, self._draws.alpha)
        return self.one_sided(candidate, p_lower, "all draws made")


class _PreparedTwoSided(_PreparedAtOnce):
    def __init__(self, rule: TwoSidedRule, setting: Setting) -> None:
        super().__init__(rule, setting)
        self._rule = rule
        self._rival_alpha = rule.alpha * rule.rival_share / (setting.num_classes - 1)

    def _judge(self, candidate: int, estimate: Sequence[int], estimated: int) -> Verdict:
        rule = self._rule
        p_lower = clopper_pearson_lower(
            estimate[candidate], estimated, rule.alpha * (1 - rule.rival_share)
        )
        # The bound grows with the votes: that of the rival with the most covers every other.
        most = max(votes for number, votes in enumerate(estimate) if number != candidate)
        rival_upper = clopper_pearson_upper(most, estimated, self._rival_alpha)
        if rival_upper >= 1 - p_lower:
            return self.one_sided(candidate, p_lower, "all draws made")
        radius = self.setting.latent_radius(p_lower, rival_upper)
        return Verdict(
            candidate=candidate,
            prediction=candidate if radius > 0 else None,
            p_lower=p_lower,
            rival_upper=rival_upper,
            latent_radius=radius,
            reason="all draws made",
        )
