"""Every result is at least the exact one, and equal to it where that is a float."""

from __future__ import annotations

import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from latentsmooth.lipschitz.rules.rounding import (
    add_up,
    divide_up,
    multiply_up,
    root_of_squares_up,
    root_up,
    widen,
)

numbers = st.floats(0, 1e100)
lists = st.lists(numbers, min_size=1, max_size=5)


@given(values=lists)
def test_sums(values: list[float]) -> None:
    exact, rounded = sum(map(Fraction, values)), add_up(*values)
    assert exact <= Fraction(rounded) <= exact * (1 + Fraction(len(values), 2**52))


@given(values=st.lists(st.floats(1e-40, 1e40), min_size=1, max_size=5))
def test_products(values: list[float]) -> None:
    exact, rounded = math.prod(map(Fraction, values)), multiply_up(*values)
    assert exact <= Fraction(rounded) <= exact * (1 + Fraction(2 * len(values), 2**52))


@given(numerator=numbers, denominator=st.floats(1e-100, 1e100))
def test_quotients(numerator: float, denominator: float) -> None:
    assert Fraction(divide_up(numerator, denominator)) * Fraction(denominator) >= numerator


@given(square=numbers)
def test_roots(square: float) -> None:
    root = Fraction(root_up(square))
    assert Fraction(square) <= root**2 <= Fraction(square) * (1 + Fraction(1, 2**50)) + 2**-1000


@given(values=lists)
def test_lengths(values: list[float]) -> None:
    assert Fraction(root_of_squares_up(*values)) ** 2 >= sum(Fraction(v) ** 2 for v in values)


def test_exact_results_stay_exact() -> None:
    assert add_up(1.0, 2.0, 0.25) == 3.25
    assert multiply_up(3.0, 0.25, 4.0) == 3.0
    assert multiply_up(0.0, 3.0) == 0.0
    assert divide_up(3.0, 2.0) == 1.5
    assert root_up(6.25) == 2.5
    assert root_of_squares_up(0.1) == 0.1
    assert root_of_squares_up(3.0, 4.0) == 5.0


def test_what_has_no_finite_result() -> None:
    assert divide_up(1.0, 0.0) == math.inf
    assert math.isnan(multiply_up(0.0, math.inf))
    assert multiply_up(1e300, 1e300) == math.inf
    assert multiply_up(1e-300, 1e-300) > 0
    assert widen(1.0, roundings=3) > 1 + 6 * 2**-53
