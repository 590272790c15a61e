from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest

from latentsmooth.errors import ConfigurationError
from latentsmooth.reporting import false_certificates_at_most


def exact_tail(k: int, n: int, p: Fraction) -> Fraction:
    """P(Bin(n, p) > k) in exact arithmetic."""
    return 1 - sum((comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1)), Fraction(0))


@pytest.mark.parametrize("n_images", [1, 2, 10, 100, 500])
@pytest.mark.parametrize("alpha", ["0.001", "0.01", "0.3"])
@pytest.mark.parametrize("delta", ["0.001", "0.05", "0.5"])
def test_the_bound_is_the_smallest_that_the_exact_tail_allows(
    n_images: int, alpha: str, delta: str
) -> None:
    k = false_certificates_at_most(n_images, alpha=float(alpha), delta=float(delta))
    assert exact_tail(k, n_images, Fraction(alpha)) <= Fraction(delta)
    assert k == 0 or exact_tail(k - 1, n_images, Fraction(alpha)) > Fraction(delta)


def test_no_images_no_false_certificates() -> None:
    assert false_certificates_at_most(0, alpha=0.001, delta=0.001) == 0


def test_all_may_be_false_where_alpha_is_near_one() -> None:
    assert false_certificates_at_most(3, alpha=0.999, delta=0.001) == 3


@pytest.mark.parametrize(
    ("n_images", "alpha", "delta"),
    [(-1, 0.1, 0.1), (5, 0.0, 0.1), (5, 1.0, 0.1), (5, 0.1, 0.0), (5, 0.1, 1.0)],
)
def test_numbers_outside_their_range(n_images: int, alpha: float, delta: float) -> None:
    with pytest.raises(ConfigurationError, match="expected n_images"):
        false_certificates_at_most(n_images, alpha=alpha, delta=delta)
