"""A number of draws chosen by a pilot: the selection votes say how many are worth making."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from latentsmooth.certification.bounds import clopper_pearson_lower, clopper_pearson_upper
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

__all__ = ["PilotRule"]

_HOPELESS = 1e-3
"""Confidence at which a pilot's minority is taken for one."""


@dataclass(frozen=True, kw_only=True)
class PilotRule(Rule):
    """Choose from the selection votes the least number of draws that loses little radius.

    The selection votes are the pilot. The rule predicts the input radius that n draws would
    certify and takes the smallest n for which it is within ``tolerance`` of what ``n_max`` would.
    Fresh draws of that number give the Clopper-Pearson bound at ``alpha``. Given the pilot, n is a
    constant, so the bound is exact; pooling the pilot's votes into it would not be.

    A pilot that shows a minority at confidence 0.999 ends in abstention without further draws.

    Args:
        tolerance: input radius that may be lost.
        n_select: draws of the pilot.
        n_max: the most estimation draws.
        alpha: probability that the verdict is wrong.

    Raises:
        ConfigurationError: unless there is a draw a phase, alpha is in (0, 1) and the tolerance
            is positive and finite.

    Source:
        R. Chen, J. Li, J. Yan, P. Li, B. Sheng, *Input-Specific Robustness Certification for
        Randomized Smoothing*, arXiv 2112.12084, for sizing by input; the fresh draws are ours.

    Example:
        >>> setting = Setting(latent_sigma=0.25, lipschitz_bound=1.0, num_classes=2)
        >>> prepared = PilotRule(tolerance=0.05).prepare(setting)
        >>> prepared.step([80, 20], [0, 0]).estimate < prepared.step([100, 0], [0, 0]).estimate
        True
    """

    name: ClassVar[str] = "pilot"
    tolerance: float
    n_select: int = 100
    n_max: int = 100_000
    alpha: float = 1e-3

    def __post_init__(self) -> None:
        check_draws(self, "n_select", "n_max")
        if not (math.isfinite(self.tolerance) and self.tolerance > 0):
            raise ConfigurationError(f"wanted a tolerance above 0, got {self.tolerance}")

    def prepare(self, setting: Setting) -> PreparedRule:
        """Nothing beforehand: the sizes that occur are remembered."""
        return _PreparedPilot(self, setting)


class _PreparedPilot(PreparedRule):
    def __init__(self, rule: PilotRule, setting: Setting) -> None:
        super().__init__(setting)
        self._rule = rule
        self._sizes: dict[tuple[int, int], int] = {}

    def step(self, select: Sequence[int], estimate: Sequence[int]) -> More | Verdict:
        """Pilot first, then as many fresh draws as it says, then judge."""
        rule = self._rule
        selected, estimated = self.totals(select, estimate)
        if selected < rule.n_select:
            return More(select=rule.n_select - selected)
        candidate = most_voted(select)
        wanted = self._size(select[candidate], selected)
        if wanted == 0:
            return self.one_sided(candidate, 0.0, "minority in the pilot")
        if estimated < wanted:
            return More(estimate=wanted - estimated)
        p_lower = clopper_pearson_lower(estimate[candidate], estimated, rule.alpha)
        return self.one_sided(candidate, p_lower, "all draws made")

    def _size(self, votes: int, pilot: int) -> int:
        """Estimation draws for this pilot; 0 where it is hopeless."""
        if (votes, pilot) not in self._sizes:
            self._sizes[votes, pilot] = self._smallest(votes, pilot)
        return self._sizes[votes, pilot]

    def _smallest(self, votes: int, pilot: int) -> int:
        rule = self._rule
        if clopper_pearson_upper(votes, pilot, _HOPELESS) <= 0.5:
            return 0
        # Half a vote each way: a unanimous pilot does not mean a probability of one.
        share = (votes + 0.5) / (pilot + 1)
        least = self._predicted(share, rule.n_max) - rule.tolerance
        low, high = 0, rule.n_max
        while high - low > 1:
            middle = (low + high) // 2
            if self._predicted(share, middle) >= least:
                high = middle
            else:
                low = middle
        return high

    def _predicted(self, share: float, draws: int) -> float:
        p_lower = clopper_pearson_lower(math.floor(share * draws), draws, self._rule.alpha)
        return self.in_input(p_lower)
