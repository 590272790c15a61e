from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentsmooth.records.rounding import ceil_text, exact, floor_text

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.fractions(-(10**12), 10**12)
PLACES = st.integers(0, 8)


@given(NUMBERS, PLACES)
def test_floor_never_exceeds_and_loses_less_than_one_unit(
    value: float | Fraction, places: int
) -> None:
    printed = Fraction(floor_text(value, places))
    assert printed <= exact(value) < printed + Fraction(1, 10**places)
    assert float(floor_text(value, places)) <= float(value)


@given(NUMBERS, PLACES)
def test_ceil_is_the_mirror_image_of_floor(value: float | Fraction, places: int) -> None:
    assert Fraction(ceil_text(value, places)) == -Fraction(floor_text(-value, places))


@given(st.floats(0, 1e6), PLACES)
def test_flooring_again_changes_nothing(value: float, places: int) -> None:
    once = floor_text(value, places)
    assert floor_text(float(once), places) == once


def test_a_percentage_of_ten_thousand_images_prints_exactly() -> None:
    for correct in range(10_001):
        printed = floor_text(Fraction(correct, 10_000) * 100, 2)
        assert printed == f"{correct // 100}.{correct % 100:02d}"


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (0.29, 2, "0.29"),
        (1.1, 1, "1.1"),
        (-0.001, 2, "-0.01"),
        (5.9, 0, "5"),
        (1e-7, 6, "0.000000"),
    ],
)
def test_floor_of_known_numbers(value: float, places: int, text: str) -> None:
    assert floor_text(value, places) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_text_for_numbers_that_are_not_finite(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        floor_text(value, 3)
