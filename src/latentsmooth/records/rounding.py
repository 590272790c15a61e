"""Decimal texts that round in a stated direction, without floating-point error."""

from __future__ import annotations

import math
from fractions import Fraction

__all__ = ["ceil_text", "exact", "floor_text"]


def exact(value: float | Fraction) -> Fraction:
    """Return the number that ``value`` is written as: a float's shortest decimal, exactly.

    Shortest decimals keep rounding idempotent: 0.3 is three tenths, not the binary fraction just
    below it, so a radius written and read back again and again doesn't shrink.

    Raises:
        ValueError: ``value`` is not finite.

    >>> exact(0.1) + exact(0.2)
    Fraction(3, 10)
    """
    if isinstance(value, Fraction):
        return value
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {value!r}")
    return Fraction(repr(float(value)))


def floor_text(value: float | Fraction, places: int) -> str:
    """Write ``value`` with ``places`` decimals, rounded towards minus infinity.

    The decimal is never above ``exact(value)``; read as a float, never above ``float(value)``.

    >>> floor_text(Fraction(6568, 100), 2), floor_text(0.12999, 2)
    ('65.68', '0.12')
    """
    return _text(math.floor(exact(value) * 10**places), places)


def ceil_text(value: float | Fraction, places: int) -> str:
    """Write ``value`` with ``places`` decimals, rounded towards plus infinity.

    >>> ceil_text(0.12001, 2)
    '0.13'
    """
    return _text(math.ceil(exact(value) * 10**places), places)


def _text(scaled: int, places: int) -> str:
    digits = str(abs(scaled)).rjust(places + 1, "0")
    sign = "-" if scaled < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else sign + digits
