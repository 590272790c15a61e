"""Arithmetic that rounds toward safety: every result is at least the exact one."""

from __future__ import annotations

import math

__all__ = [
    "FLOAT64_UNIT",
    "add_up",
    "divide_up",
    "multiply_up",
    "root_of_squares_up",
    "root_up",
    "widen",
]

FLOAT64_UNIT = 2.0**-53


def add_up(*terms: float) -> float:
    """Sum of non-negative numbers, rounded up; exact sums stay exact.

    Example:
        >>> add_up(1.0, 0.5), add_up(1.0, 1e-30) > 1.0
        (1.5, True)
    """
    total = 0.0
    for term in terms:
        summed = total + term
        # Exact where both terms are found again in the sum (Dekker's test).
        exact = summed - total == term and summed - term == total
        total = summed if exact else math.nextafter(summed, math.inf)
    return total


def multiply_up(*factors: float) -> float:
    """Product of non-negative numbers, rounded up; powers of two cost nothing.

    Example:
        >>> multiply_up(3.0, 0.5), multiply_up(1 + 2**-52, 1 - 2**-53) > 1.0
        (1.5, True)
    """
    product = 1.0
    for factor in factors:
        scaled = product * factor
        if product == 0.0 or factor == 0.0:
            product = scaled
            continue
        exact = (
            _is_power_of_two(product)
            or _is_power_of_two(factor)
            or (_is_short(product) and _is_short(factor))
        )
        # Subnormal products round even where one factor is a power of two.
        product = scaled if exact and scaled > 2.0**-1000 else math.nextafter(scaled, math.inf)
    return product


def divide_up(numerator: float, denominator: float) -> float:
    """Quotient of non-negative numbers, rounded up; infinite for a denominator of zero."""
    if denominator == 0.0:
        return math.inf
    quotient = numerator / denominator
    exact = numerator == 0.0 or (_is_power_of_two(denominator) and quotient > 2.0**-1000)
    return quotient if exact else math.nextafter(quotient, math.inf)


def root_up(square: float) -> float:
    """Square root, rounded up; roots of squares of short numbers are exact.

    Example:
        >>> root_up(9.0), root_up(2.0) ** 2 > 2
        (3.0, True)
    """
    root = math.sqrt(square)
    exact = root * root == square and _is_short(root)
    return root if exact else math.nextafter(root, math.inf)


def root_of_squares_up(*values: float) -> float:
    """Length of a vector with these entries, rounded up; one entry is its own length."""
    if len(values) == 1:
        return values[0]
    return root_up(add_up(*(_square_up(value) for value in values)))


def widen(value: float, *, roundings: float) -> float:
    """A computed non-negative value, pushed up by so many relative rounding errors."""
    return math.nextafter(value * (1 + (2 * roundings + 4) * FLOAT64_UNIT), math.inf)


def _square_up(value: float) -> float:
    return multiply_up(value, value)


def _is_short(value: float) -> bool:
    """Whether the product with another short number fits a float's 53 bits."""
    return (math.frexp(value)[0] * 2**26).is_integer()


def _is_power_of_two(value: float) -> bool:
    return math.frexp(value)[0] == 0.5
