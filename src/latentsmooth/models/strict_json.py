"""JSON from files that anyone may have written: one meaning, bounded depth and numbers."""

from __future__ import annotations

import json
import math
from functools import partial
from typing import Any

__all__ = ["MAX_DEPTH", "strict_json"]

MAX_DEPTH = 32
"""Deepest nesting that is read."""


def strict_json(text: str, *, digits: int = 19) -> Any:
    """Parse JSON, refusing what Python's reader lets pass.

    Refused are a key given twice, NaN and infinities (also as 1e999), long integers, text with lone
    surrogates (no file could hold it), and nesting deeper than `MAX_DEPTH`.

    Args:
        text: one JSON value.
        digits: of an integer, at most; every one of 64 bits with a sign has 19.

    Raises:
        ValueError: with a short text that says what is wrong and holds nothing of the file but a
            few characters.

    >>> strict_json('{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    >>> strict_json('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ValueError: key 'a' is given twice
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_mapping,
            parse_int=partial(_integer, most=digits),
            parse_float=_number,
            parse_constant=_constant,
        )
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from None
    _check(value)
    return value


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key {key[:80]!r} is given twice")
            seen.add(key)
    return found


def _integer(digits: str, *, most: int) -> int:
    if len(digits.lstrip("-")) > most:
        raise ValueError(f"integer of {len(digits)} digits; at most {most} are read")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"number {digits[:80]} is too large")
    return value


def _constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _check(value: Any) -> None:
    """Refuse deep nesting and text that is not Unicode, without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        deeper: list[Any] = []
        for entry in level:
            if isinstance(entry, dict):
                deeper += entry.keys()
                deeper += entry.values()
            elif isinstance(entry, list):
                deeper += entry
            elif isinstance(entry, str) and not entry.isascii():
                entry.encode()
        level = deeper
        if not level:
            return
    raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
