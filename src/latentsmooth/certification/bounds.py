"""Confidence bounds of a vote's probability, and the radius they prove."""

from __future__ import annotations

import math
import operator

from scipy.special import betaincinv, ndtri
from scipy.stats import binomtest

from latentsmooth.errors import ConfigurationError

__all__ = [
    "check_alpha",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "input_radius",
    "latent_radius",
    "two_sided_latent_radius",
    "two_sided_p_value",
    "whole",
]

_INVERSION_ERROR = 1e-11
"""Relative error allowed to the inverse beta function; its bound is lowered by as much."""


def check_alpha(alpha: float) -> None:
    """Raise unless ``0 < alpha < 1``."""
    if not 0 < alpha < 1:
        raise ConfigurationError(f"wanted alpha between 0 and 1, got {alpha}")


def whole(name: str, value: int, *, at_least: int) -> int:
    """Return a count as a plain integer.

    Raises:
        ConfigurationError: for what is no whole number (``True`` and 1e3 included) or too small.

    Example:
        >>> whole("n_select", 100, at_least=1)
        100
    """
    try:
        count = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = None
    if count is None or count < at_least:
        raise ConfigurationError(f"wanted {name} as a whole number >= {at_least}, got {value!r}")
    return count


def clopper_pearson_lower(successes: int, trials: int, alpha: float) -> float:
    """Exact one-sided lower confidence bound of a binomial probability.

    The true probability lies below it in at most ``alpha`` of all experiments.

    Args:
        successes: votes for the class.
        trials: all votes.
        alpha: error probability.

    Raises:
        ConfigurationError: unless ``0 <= successes <= trials``, ``trials >= 1``, ``0 < alpha < 1``.

    Source:
        C. Clopper, E. Pearson, *The use of confidence or fiducial limits* (1934).

    Example:
        >>> round(clopper_pearson_lower(99_000, 100_000, 0.001), 4)
        0.989
    """
    check_alpha(alpha)
    if trials < 1 or not 0 <= successes <= trials:
        raise ConfigurationError(f"wanted 0 <= successes <= trials, got {successes} of {trials}")
    if successes == 0:
        return 0.0
    bound = float(betaincinv(successes, trials - successes + 1, alpha))
    # For an alpha below about 1e-160 the inverse can fail to be a number.
    return bound * (1 - _INVERSION_ERROR) if bound > 0 else 0.0


def clopper_pearson_upper(successes: int, trials: int, alpha: float) -> float:
    """Exact one-sided upper confidence bound of a binomial probability.

    One minus the lower bound of the failures' probability; rounded up.

    Args:
        successes: votes for the class.
        trials: all votes.
        alpha: error probability.

    Raises:
        ConfigurationError: unless ``0 <= successes <= trials``, ``trials >= 1``, ``0 < alpha < 1``.

    Source:
        C. Clopper, E. Pearson, *The use of confidence or fiducial limits* (1934).

    Example:
        >>> round(clopper_pearson_upper(1_000, 100_000, 0.001), 4)
        0.011
    """
    if not 0 <= successes <= trials:
        raise ConfigurationError(f"wanted 0 <= successes <= trials, got {successes} of {trials}")
    complement = clopper_pearson_lower(trials - successes, trials, alpha)
    return min(1.0, math.nextafter(1 - complement, 2.0))


def latent_radius(p_lower: float, latent_sigma: float) -> float:
    """l2 radius in the latent on which the smoothed head is constant: ``sigma * Phi^-1(p)``.

    Args:
        p_lower: lower bound of the class's probability under noise.
        latent_sigma: standard deviation of the noise.

    Returns:
        The radius, 0 where ``p_lower <= 1/2``.

    Source:
        J. Cohen, E. Rosenfeld, Z. Kolter, *Certified Adversarial Robustness via Randomized
        Smoothing*, arXiv 1902.02918, Theorem 1.
    """
    if p_lower <= 0.5:
        return 0.0
    return max(0.0, latent_sigma * float(ndtri(p_lower)) * (1 - _INVERSION_ERROR))


def two_sided_latent_radius(p_lower: float, rival_upper: float, latent_sigma: float) -> float:
    """l2 radius in the latent from two bounds: ``sigma/2 (Phi^-1(p_lower) - Phi^-1(rival_upper))``.

    Args:
        p_lower: lower bound of the class's probability under noise.
        rival_upper: upper bound of every other class's.
        latent_sigma: standard deviation of the noise.

    Returns:
        The radius, 0 where ``p_lower <= rival_upper``.

    Source:
        J. Cohen, E. Rosenfeld, Z. Kolter, arXiv 1902.02918, Theorem 1.

    Example:
        >>> two_sided_latent_radius(0.4, 0.3, 1.0) > 0 == two_sided_latent_radius(0.3, 0.4, 1.0)
        True
    """
    if p_lower <= rival_upper:
        return 0.0
    upper, lower = float(ndtri(p_lower)), float(ndtri(rival_upper))
    if math.isinf(upper - lower):
        return math.inf
    # The two may nearly cancel: what is deducted must scale with them, not with their difference.
    error = _INVERSION_ERROR * (abs(upper) + abs(lower))
    return max(0.0, latent_sigma / 2 * (upper - lower - error))


def input_radius(radius_in_latent: float, lipschitz_bound: float, *, slack: float = 0.0) -> float:
    """Carry a latent radius back to pixels: ``(radius - slack) / bound``, rounded down.

    Args:
        radius_in_latent: proven in the latent.
        lipschitz_bound: the encoder's.
        slack: deducted for rounding, see `Deductions.latent_slack`; what it exceeds becomes 0.

    Raises:
        ConfigurationError: unless the bound is positive and finite, and the slack is not negative.

    Example:
        >>> 0.1199 < input_radius(0.25, 2.0, slack=0.01) < 0.12
        True
    """
    if not (math.isfinite(lipschitz_bound) and lipschitz_bound > 0):
        raise ConfigurationError(f"wanted a positive finite bound, got {lipschitz_bound}")
    if not (math.isfinite(slack) and slack >= 0):
        raise ConfigurationError(f"wanted a finite slack >= 0, got {slack}")
    left = math.nextafter(radius_in_latent - slack, -math.inf) if slack else radius_in_latent
    return math.nextafter(left / lipschitz_bound, 0.0) if left > 0 else 0.0


def two_sided_p_value(first: int, second: int) -> float:
    """p-value of two vote counts being equally likely, as in Cohen et al., PREDICT.

    Example:
        >>> two_sided_p_value(1, 1)
        1.0
    """
    total = first + second
    return 1.0 if total == 0 else float(binomtest(first, total, 0.5).pvalue)
