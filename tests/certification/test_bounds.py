"""Bounds against exact binomial tails and closed forms."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from latentsmooth.certification import (
    clopper_pearson_lower,
    input_radius,
    latent_radius,
    two_sided_p_value,
)
from latentsmooth.certification.bounds import clopper_pearson_upper, two_sided_latent_radius
from latentsmooth.errors import ConfigurationError

counts = st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
alphas = st.sampled_from([0.5, 0.1, 0.01, 0.001, 1e-6])


def upper_tail(successes: int, trials: int, p: float) -> float:
    """P(X >= successes) in exact rational arithmetic, for small trials."""
    exact = Fraction(p)
    total = sum(
        math.comb(trials, k) * exact**k * (1 - exact) ** (trials - k)
        for k in range(successes, trials + 1)
    )
    return float(total)


@settings(max_examples=300, deadline=None)
@given(pair=counts, alpha=alphas)
def test_tail_at_the_bound_is_alpha_and_never_more(pair: tuple[int, int], alpha: float) -> None:
    successes, trials = pair
    bound = clopper_pearson_lower(successes, trials, alpha)
    assert 0 <= bound < 1
    if successes:
        tail = float(binom.sf(successes - 1, trials, bound))
        assert tail <= alpha * (1 + 1e-9)
        assert tail >= alpha * (1 - 1e-5)


@settings(max_examples=60, deadline=None)
@given(
    pair=st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n))),
    alpha=alphas,
)
def test_exact_rational_tail(pair: tuple[int, int], alpha: float) -> None:
    bound = clopper_pearson_lower(*pair, alpha)
    assert upper_tail(*pair, bound) <= alpha
    assert upper_tail(*pair, bound * (1 + 1e-7)) > alpha * (1 - 1e-5)


def test_unanimous_votes_have_a_closed_form() -> None:
    assert clopper_pearson_lower(1000, 1000, 0.001) == pytest.approx(0.001 ** (1 / 1000))
    assert clopper_pearson_lower(0, 1000, 0.001) == 0.0


def test_coverage_is_exact_over_the_whole_distribution() -> None:
    """Sum of P(k) over all k whose bound exceeds p is at most alpha, for every p tried."""
    trials, alpha = 200, 0.01
    bounds = [clopper_pearson_lower(k, trials, alpha) for k in range(trials + 1)]
    for p in (0.3, 0.5, 0.77, 0.9, 0.99, 0.999):
        wrong = sum(float(binom.pmf(k, trials, p)) for k, bound in enumerate(bounds) if bound > p)
        assert wrong <= alpha * (1 + 1e-9)


@settings(max_examples=200)
@given(p=st.floats(0.5, 1, exclude_max=True), sigma=st.floats(0.01, 10))
def test_radius_is_sigma_times_the_normal_quantile_and_rounds_down(p: float, sigma: float) -> None:
    radius = latent_radius(p, sigma)
    exact = sigma * float(norm.ppf(p))
    assert 0 <= radius <= exact
    assert radius == pytest.approx(exact, rel=1e-9, abs=1e-300)


def test_half_or_less_proves_nothing() -> None:
    assert latent_radius(0.5, 1.0) == 0.0
    assert latent_radius(0.2, 1.0) == 0.0


@settings(max_examples=200)
@given(radius=st.floats(1e-6, 10), bound=st.floats(0.01, 100))
def test_input_radius_never_exceeds_the_exact_quotient(radius: float, bound: float) -> None:
    carried = input_radius(radius, bound)
    assert Fraction(carried) <= Fraction(radius) / Fraction(bound)
    assert carried == pytest.approx(radius / bound, rel=1e-14)


def test_p_values_match_the_two_sided_tail() -> None:
    assert two_sided_p_value(0, 0) == 1.0
    assert two_sided_p_value(60, 40) == pytest.approx(2 * float(binom.sf(59, 100, 0.5)))


@pytest.mark.parametrize(
    ("successes", "trials", "alpha"),
    [(5, 4, 0.1), (-1, 4, 0.1), (0, 0, 0.1), (1, 4, 0.0), (1, 4, 1.0)],
)
def test_impossible_counts_are_refused(successes: int, trials: int, alpha: float) -> None:
    with pytest.raises(ConfigurationError, match="wanted"):
        clopper_pearson_lower(successes, trials, alpha)


@pytest.mark.parametrize("bound", [0.0, -1.0, math.inf, math.nan])
def test_a_bound_must_be_positive_and_finite(bound: float) -> None:
    with pytest.raises(ConfigurationError, match="positive finite bound"):
        input_radius(1.0, bound)


@settings(max_examples=200, deadline=None)
@given(pair=counts, alpha=alphas)
def test_lower_tail_at_the_upper_bound_is_alpha_and_never_more(
    pair: tuple[int, int], alpha: float
) -> None:
    successes, trials = pair
    bound = clopper_pearson_upper(successes, trials, alpha)
    assert successes / trials <= bound <= 1 or alpha > 0.4
    if successes < trials:
        tail = float(binom.cdf(successes, trials, bound))
        # Close to 1 the bound itself is only known to 1e-16.
        assert tail <= alpha * (1 + 1e-9)
        assert tail >= alpha * (1 - 1e-4)
    else:
        assert bound == 1.0


def test_upper_bound_of_no_votes_has_a_closed_form() -> None:
    assert clopper_pearson_upper(0, 1000, 0.001) == pytest.approx(1 - 0.001 ** (1 / 1000))
    with pytest.raises(ConfigurationError, match="wanted"):
        clopper_pearson_upper(5, 4, 0.1)


@settings(max_examples=200)
@given(p=st.floats(0.01, 0.99), q=st.floats(0.01, 0.99), sigma=st.floats(0.01, 10))
def test_two_sided_radius_is_half_the_difference_and_rounds_down(
    p: float, q: float, sigma: float
) -> None:
    radius = two_sided_latent_radius(p, q, sigma)
    exact = sigma / 2 * (float(norm.ppf(p)) - float(norm.ppf(q)))
    assert 0 <= radius <= max(0.0, exact)
    assert radius == pytest.approx(max(0.0, exact), abs=sigma * 1e-9)


def test_two_sided_radius_with_one_minus_p_is_the_one_sided() -> None:
    assert two_sided_latent_radius(0.9, 0.1, 0.5) == pytest.approx(latent_radius(0.9, 0.5))
    assert two_sided_latent_radius(0.3, 0.3, 0.5) == 0.0
    assert math.isinf(two_sided_latent_radius(0.9, 0.0, 0.5))
