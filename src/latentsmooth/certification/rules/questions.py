"""The sequential rule's steps, one class a goal."""

from __future__ import annotations

import math
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scipy.special import ndtr
from scipy.stats import binom

from latentsmooth.certification.rules.base import (
    More,
    PreparedRule,
    Setting,
    Verdict,
    most_voted,
)
from latentsmooth.certification.rules.evidence import (
    BettingBound,
    SpendingBound,
    TimeUniformBound,
    deviations,
    geometric_looks,
)
from latentsmooth.certification.rules.goals import Precision
from latentsmooth.errors import ConfigurationError

if TYPE_CHECKING:
    from latentsmooth.certification.rules.sequential import SequentialRule

__all__ = ["PreparedDecide", "PreparedPrecision", "PreparedRadii"]

_FIRST_LOOK = 32
_BETTING_RATIO = 1.1
_SPENDING_RATIO = 1.25
"""Every look of alpha-spending costs some alpha, so it looks less often."""


class _PreparedSequential(PreparedRule):
    """Looks at growing numbers of draws; subclasses judge the votes at one."""

    def __init__(self, rule: SequentialRule, setting: Setting, *, floor: float) -> None:
        super().__init__(setting)
        self._rule = rule
        betting = rule.bound == "betting"
        ratio = _BETTING_RATIO if betting else _SPENDING_RATIO
        self._looks = geometric_looks(_FIRST_LOOK, rule.n_max, ratio)
        self._bound: TimeUniformBound = (
            BettingBound(self._looks, rule.alpha, floor=floor)
            if betting
            else SpendingBound(self._looks, rule.alpha)
        )

    def step(self, select: Sequence[int], estimate: Sequence[int]) -> More | Verdict:
        """Ask up to the next look, or judge at this one."""
        selected, estimated = self.totals(select, estimate)
        reached = bisect_right(self._looks, estimated) - 1
        at_look = reached >= 0 and self._looks[reached] == estimated
        if estimated > self._looks[-1]:
            raise ConfigurationError(
                f"wanted at most {self._looks[-1]} estimation draws, got {estimated}"
            )
        if selected < self._rule.n_select or not at_look:
            return More(
                select=max(0, self._rule.n_select - selected),
                estimate=0 if at_look else self._looks[reached + 1] - estimated,
            )
        verdict = self._judge(most_voted(select), estimate, reached)
        if verdict is not None:
            return verdict
        return More(estimate=self._looks[reached + 1] - estimated)

    @abstractmethod
    def _judge(self, candidate: int, votes: Sequence[int], look: int) -> Verdict | None:
        """The verdict at a look, or ``None`` to go on; never ``None`` at the last."""

    def _abstain(self, candidate: int, p_lower: float, reason: str) -> Verdict:
        return Verdict(
            candidate=candidate,
            prediction=None,
            p_lower=p_lower,
            rival_upper=None,
            latent_radius=0.0,
            reason=reason,
        )


class PreparedRadii(_PreparedSequential):
    """At which radii the candidate is certified: two whole numbers a look settle each.

    With ``accepts[j]`` votes or more at look j the lower bound proves the radius. With
    ``rejects[j]`` or fewer the rule gives the radius up: a candidate with an even chance of being
    accepted at the last look would rarely have so few, or no later look can accept any more.
    Radii that no votes could prove are settled beforehand, and nothing is drawn for them.

    Args:
        rule: the sequential rule.
        input_radii: rising; one, or a table's columns.
        setting: of the classifier.
    """

    def __init__(
        self, rule: SequentialRule, input_radii: Sequence[float], setting: Setting
    ) -> None:
        in_latent = input_radii[0] * setting.lipschitz_bound + setting.deductions.latent_slack
        wanted = in_latent / setting.latent_sigma
        super().__init__(rule, setting, floor=min(float(ndtr(wanted)), 1 - 1e-12))
        looks = range(len(self._looks))
        accepts = [
            [self._fewest_accepted(radius, look) for look in looks] for radius in input_radii
        ]
        self._accepts = [each for each in accepts if each[-1] <= self._looks[-1]]
        if not self._accepts:
            most = self.in_input(self._bound.lower(self._looks[-1], len(self._looks) - 1))
            raise ConfigurationError(
                f"wanted a radius that {rule.n_max} draws can prove (at most {most:.4g} at "
                f"alpha={rule.alpha:g}), got {rule.goal}"
            )
        self._rejects = [self._most_rejected(accepts, rule.miss) for accepts in self._accepts]

    def _judge(self, candidate: int, votes: Sequence[int], look: int) -> Verdict | None:
        count = votes[candidate]
        reached = sum(count >= accepts[look] for accepts in self._accepts)
        if reached == len(self._accepts):
            reason = "radius reached"
        elif look == len(self._looks) - 1:
            reason = "budget spent"
        # A larger radius asks for more votes, so the next one goes before those after it.
        elif count <= self._rejects[reached][look]:
            reason = "radius out of reach"
        else:
            return None
        # The bound holds at every look, so what falls short of the goal is proven all the same.
        return self.one_sided(candidate, self._bound.lower(count, look), reason)

    def _proves(self, p_lower: float, input_radius: float) -> bool:
        if self.setting.latent_radius(p_lower) <= 0:
            return False
        return self.in_input(p_lower) >= input_radius

    def _fewest_accepted(self, input_radius: float, look: int) -> int:
        """Fewest votes whose bound proves the radius; one more than all where none do."""
        low, high = -1, self._looks[look] + 1
        while high - low > 1:
            middle = (low + high) // 2
            if self._proves(self._bound.lower(middle, look), input_radius):
                high = middle
            else:
                low = middle
        return high

    def _most_rejected(self, accepts: Sequence[int], miss: float) -> list[int]:
        edge = accepts[-1] / self._looks[-1]
        rejects = [int(binom.ppf(miss, draws, edge)) - 1 for draws in self._looks]
        # Votes still missing at a later look, were all draws until then the candidate's.
        short = math.inf
        for look in range(len(self._looks) - 1, -1, -1):
            short = min(short, accepts[look] - self._looks[look])
            rejects[look] = max(rejects[look], int(short) + self._looks[look] - 1)
        return rejects


class PreparedPrecision(_PreparedSequential):
    """The radius to within a given difference: looks until its bounds are close enough."""

    def __init__(self, rule: SequentialRule, goal: Precision, setting: Setting) -> None:
        super().__init__(rule, setting, floor=0.5)
        self._goal = goal
        last = len(self._looks) - 1
        self._most = self.in_input(self._bound.lower(self._looks[last], last))

    def _judge(self, candidate: int, votes: Sequence[int], look: int) -> Verdict | None:
        count = votes[candidate]
        lower, upper = self._bound.lower(count, look), self._bound.upper(count, look)
        if upper <= 0.5:
            return self._abstain(candidate, lower, "minority")
        # No draws within the budget prove more than `most`: there is nothing to wait for above it.
        spread = min(self.in_input(upper), self._most) - self.in_input(lower)
        if spread <= self._goal.input_radius:
            return self.one_sided(candidate, lower, "precision reached")
        if look == len(self._looks) - 1:
            return self.one_sided(candidate, lower, "budget spent")
        return None


class PreparedDecide(_PreparedSequential):
    """Whether the candidate is the top class: a test against each rival, on the draws for either.

    The verdict is wrong only if the candidate is not the top class while every rival was
    rejected, the true top class t among them. A draw that is for the candidate or for t is then
    for the candidate with probability at most one half, so the single test against t errs with
    probability at most alpha, over all looks. Whatever the other tests do, errors all lie within
    that one's: no union bound is needed.

    Of all rivals the one with the most votes is hardest to reject (its test has the candidate's
    successes and the most failures), so only that test is computed.

    A candidate that is the top class of K has a probability of at least 1/K. That is the lower
    bound reported; it follows from the decision and costs no further alpha.
    """

    def __init__(self, rule: SequentialRule, setting: Setting) -> None:
        super().__init__(rule, setting, floor=0.5)
        self._margin = self._final_margin()
        self._optimism = deviations(rule.miss)

    def _judge(self, candidate: int, votes: Sequence[int], look: int) -> Verdict | None:
        count = votes[candidate]
        most = max(other for number, other in enumerate(votes) if number != candidate)
        if self._bound.majority(count, most, look):
            p_lower = math.nextafter(1 / self.setting.num_classes, 0.0)
            return Verdict(
                candidate=candidate,
                prediction=candidate,
                p_lower=p_lower,
                rival_upper=None,
                latent_radius=0.0,
                reason="decided",
            )
        if look == len(self._looks) - 1:
            return self._abstain(candidate, 0.0, "budget spent")
        # At the last look a lead of `margin` roots of the draws for either would decide. Give up
        # where a candidate heading for exactly that would rarely be this far behind.
        roots = self._margin * math.sqrt(self._looks[look] / self._looks[-1]) - self._optimism
        if count - most < roots * math.sqrt(count + most):
            return self._abstain(candidate, 0.0, "too close, or behind")
        return None

    def _final_margin(self) -> float:
        """Lead that decides at the last look, in roots of the draws for either."""
        last = len(self._looks) - 1
        draws = self._looks[last]
        low, high = draws // 2, draws
        while high - low > 1:
            middle = (low + high) // 2
            if self._bound.majority(middle, draws - middle, last):
                high = middle
            else:
                low = middle
        return (2 * high - draws) / math.sqrt(draws)
