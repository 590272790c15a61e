"""Bounds that hold at every look: a bet against each probability, or alpha spent over the looks."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from scipy.special import betaincc, betaln, ndtri

from latentsmooth.certification.bounds import clopper_pearson_lower, clopper_pearson_upper

__all__ = ["BettingBound", "SpendingBound", "TimeUniformBound", "geometric_looks"]

_NEWTON_STEPS = 100
_SAFETY = 1e-12
"""Relative error allowed to an inversion; its bound is lowered by as much."""
_RESERVE = 0.5
"""Part of alpha kept for the last look, where hard cases end."""
_PRIOR = 0.5
"""Both exponents of the beta mixture (Krichevsky and Trofimov's)."""


def geometric_looks(first: int, last: int, ratio: float) -> tuple[int, ...]:
    """Numbers of draws to look at: ``first``, growing by ``ratio``, ending at ``last``.

    Example:
        >>> geometric_looks(32, 100, 1.5)
        (32, 48, 72, 100)
    """
    looks = []
    draws = first
    while draws < last:
        looks.append(draws)
        draws = math.ceil(draws * ratio)
    return (*looks, last)


class TimeUniformBound(ABC):
    """Bounds of one probability at every look, of which any may be used when stopping.

    Args:
        looks: numbers of draws at which the votes are looked at, growing.
        alpha: probability that any lower bound is wrong; the same again for the upper.
    """

    def __init__(self, looks: Sequence[int], alpha: float) -> None:
        self.looks = tuple(looks)
        self.alpha = alpha

    @abstractmethod
    def lower(self, successes: int, look: int) -> float:
        """With probability ``1 - alpha`` the truth is below none of these, over all looks."""

    @abstractmethod
    def upper(self, successes: int, look: int) -> float:
        """With probability ``1 - alpha`` the truth is above none of these, over all looks."""

    @abstractmethod
    def majority(self, successes: int, failures: int, look: int) -> bool:
        """Whether successes are the likelier of the two, wrong with probability ``alpha``.

        The number of draws that were either may be any by this look, since it tells nothing of
        which of the two they were.
        """


class BettingBound(TimeUniformBound):
    """Wealth of a gambler who bets on the votes against each possible probability.

    After ``k`` successes in ``n`` draws the bet against p has turned 1 into

        M_n(p) = integral w(q) q^k (1 - q)^(n - k) dq / (p^k (1 - p)^(n - k)),

    w being the Beta(1/2, 1/2) density cut to ``[floor, 1]``. Under p this is a martingale of mean
    1, so by Ville's inequality it ever reaches ``1 / a`` with probability at most a. The
    lower bound is the largest p below k/n at which it has. Since M_n falls in p up to k/n, every
    lesser p is refused too, and the truth is below the bound only where the truth is refused.
    Cutting w puts the stakes where they matter: at values of p that would answer the question.

    A bet that may end at any time is a poor one when time is up. So half of alpha is kept for the
    last look, where Clopper and Pearson's bound at that half may replace the bet's; both hold
    together by the union bound.

    ``M_n(p) <= p^-n``, so no lower bound exceeds ``alpha^(1/n)``.

    Args:
        looks: numbers of draws at which the votes are looked at.
        alpha: error probability.
        floor: least probability that lower bounds bet on, in [0, 1).

    Source:
        V. Voracek, *Treatment of Statistical Estimation Problems in Randomized Smoothing for
        Adversarial Robustness*, arXiv 2406.17830; I. Waudby-Smith, A. Ramdas, *Estimating means
        of bounded random variables by betting*, arXiv 2010.09686; J. Ville (1939).

    Example:
        >>> bound = BettingBound((100, 1000, 10_000), 0.001)
        >>> round(bound.lower(990, 1), 3)
        0.968
    """

    def __init__(self, looks: Sequence[int], alpha: float, *, floor: float = 0.5) -> None:
        super().__init__(looks, alpha)
        self._floor = floor
        self._reserve = alpha * _RESERVE
        self._staked = alpha - self._reserve

    def lower(self, successes: int, look: int) -> float:
        """Invert the wealth; about ten microseconds."""
        trials = self.looks[look]
        bet = _refused_below(successes, trials, self._log_level(successes, trials, self._floor))
        if look < len(self.looks) - 1:
            return bet
        return max(bet, clopper_pearson_lower(successes, trials, self._reserve))

    def upper(self, successes: int, look: int) -> float:
        """One minus the lower bound of the failures, bet on without a floor."""
        trials = self.looks[look]
        failures = trials - successes
        refused = _refused_below(failures, trials, self._log_level(failures, trials, 0.0))
        bet = min(1.0, math.nextafter(1 - refused, 2.0))
        if look < len(self.looks) - 1:
            return bet
        return min(bet, clopper_pearson_upper(successes, trials, self._reserve))

    def majority(self, successes: int, failures: int, look: int) -> bool:
        """Whether the bet against one half has reached its level."""
        trials = successes + failures
        if self._log_level(successes, trials, 0.5) >= -trials * math.log(2):
            return True
        if look < len(self.looks) - 1 or trials == 0:
            return False
        return clopper_pearson_lower(successes, trials, self._reserve) > 0.5

    def _log_level(self, successes: int, trials: int, floor: float) -> float:
        """Log-likelihood at which a probability is refused."""
        a, b = successes + _PRIOR, trials - successes + _PRIOR
        kept, whole = float(betaincc(a, b, floor)), float(betaincc(_PRIOR, _PRIOR, floor))
        if kept <= 0:
            return -math.inf
        # Logarithms of beta functions are differences of numbers of size n log n.
        rounding = 1e-9 + 1e-14 * trials * math.log(trials + 1)
        mixture = float(betaln(a, b)) - float(betaln(_PRIOR, _PRIOR)) + math.log(kept / whole)
        return mixture + math.log(self._staked) - rounding


class SpendingBound(TimeUniformBound):
    """Exact Clopper-Pearson bounds, each look spending a part of alpha.

    The last look, where hard cases end, spends half; the others share the rest equally. All
    bounds hold together with probability ``1 - alpha`` by the union bound.

    Args:
        looks: numbers of draws at which the votes are looked at.
        alpha: error probability of all looks together.

    Source:
        C. Clopper, E. Pearson (1934); K. Lan, D. DeMets, *Discrete sequential boundaries for
        clinical trials* (1983), for spending.

    Example:
        >>> bound = SpendingBound((100, 1000), 0.001)
        >>> round(bound.lower(990, 1), 3)
        0.975
    """

    def __init__(self, looks: Sequence[int], alpha: float) -> None:
        super().__init__(looks, alpha)
        early = len(self.looks) - 1
        last = alpha / 2 if early else alpha
        self._spent = (*(alpha / 2 / early for _ in range(early)), last)

    def lower(self, successes: int, look: int) -> float:
        """Clopper and Pearson's at this look's part of alpha."""
        return clopper_pearson_lower(successes, self.looks[look], self._spent[look])

    def upper(self, successes: int, look: int) -> float:
        """Clopper and Pearson's at this look's part of alpha."""
        return clopper_pearson_upper(successes, self.looks[look], self._spent[look])

    def majority(self, successes: int, failures: int, look: int) -> bool:
        """Whether a fair coin's tail is within this look's part of alpha."""
        trials = successes + failures
        if trials == 0:
            return False
        return clopper_pearson_lower(successes, trials, self._spent[look]) > 0.5


def deviations(probability: float) -> float:
    """Standard deviations that a normal variable falls below with this probability.

    Example:
        >>> round(deviations(0.05), 3)
        1.645
    """
    return -float(ndtri(probability))


def _refused_below(successes: int, trials: int, log_level: float) -> float:
    """The largest p at most ``successes / trials`` whose log-likelihood is within the level.

    The log-likelihood is concave and grows up to ``successes / trials``, so Newton's method from
    the left of the solution stays to its left, on the safe side.
    """
    if successes == 0 or log_level == -math.inf:
        return 0.0
    failures = trials - successes
    p = math.exp(log_level / successes)
    if failures == 0:
        return p * (1 - _SAFETY)
    share = successes / trials
    top = successes * math.log(share) + failures * math.log1p(-share)
    # Pinsker's inequality: a second place that is left of the solution, close where votes differ.
    p = max(p, share - math.sqrt(max(0.0, top - log_level) / (2 * trials)))
    for _ in range(_NEWTON_STEPS):
        slope = successes / p - failures / (1 - p)
        if slope <= 0:
            break
        missing = log_level - successes * math.log(p) - failures * math.log1p(-p)
        if missing <= _SAFETY / 10 * p * slope:
            break
        p += missing / slope
    return min(p, share) * (1 - _SAFETY)
