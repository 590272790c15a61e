"""One decoded line of a log, read field by field."""

from __future__ import annotations

import math
from dataclasses import fields
from datetime import datetime
from typing import NoReturn

from latentsmooth.certification.deductions import Deductions
from latentsmooth.errors import LogError

__all__ = ["LineFields"]

_MAX_VOTES = 5


class LineFields:
    """One decoded line, read field by field; every complaint names the line and the field.

    Args:
        content: what the line's JSON says.
        names: the fields that must be there, and no others.
        where: what messages call the line.

    Raises:
        LogError: for a line that is no object or has other fields.
    """

    def __init__(self, content: object, names: set[str], where: str) -> None:
        if not isinstance(content, dict):
            raise LogError(f"{where}: expected a JSON object, got {_shown(content)}")
        if missing := sorted(names - content.keys()):
            raise LogError(f"{where}: missing {', '.join(missing)}")
        if unknown := sorted(content.keys() - names):
            raise LogError(f"{where}: unknown {', '.join(map(_shown, unknown))}")
        self._content: dict[str, object] = content
        self._where = where

    def fail(self, name: str, wanted: str) -> NoReturn:
        """Raise `LogError` naming the line, the field, what was wanted and what arrived."""
        got = _shown(self._content[name])
        raise LogError(f"{self._where}: field {name!r} must be {wanted}, got {got}")

    def text(self, name: str) -> str:
        """A string."""
        value = self._content[name]
        return value if isinstance(value, str) else self.fail(name, "a string")

    def optional_text(self, name: str, *, at_most: int) -> str | None:
        """A string of limited length, or ``None``."""
        value = self._content[name]
        if value is not None and not (isinstance(value, str) and len(value) <= at_most):
            self.fail(name, f"null or a string of at most {at_most} characters")
        return value

    def counts(self, name: str) -> dict[str, int]:
        """Whole numbers of at least 0 by name."""
        value = self._content[name]
        if not isinstance(value, dict) or not all(map(_is_integer, value.values())):
            self.fail(name, "a mapping of integers")
        if min(value.values(), default=0) < 0:
            self.fail(name, "a mapping of integers of at least 0")
        return value

    def one_of(self, name: str, known: tuple[str, ...]) -> str:
        """One of some strings."""
        value = self.text(name)
        return value if value in known else self.fail(name, f"one of {', '.join(known)}")

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings, as a tuple."""
        value = self._content[name]
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.fail(name, "a list of strings")
        return tuple(value)

    def time(self, name: str) -> str:
        """An ISO 8601 time."""
        value = self.text(name)
        try:
            datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            self.fail(name, "an ISO 8601 time")
        return value

    def integer(self, name: str, *, at_least: int | None = None, below: int | None = None) -> int:
        """An integer in a range."""
        value = self._content[name]
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or (at_least is not None and value < at_least)
            or (below is not None and value >= below)
        ):
            least = "" if at_least is None else f" of at least {at_least}"
            most = "" if below is None else f", below {below}"
            self.fail(name, f"an integer{least}{most}")
        return value

    def optional_integer(self, name: str, *, at_least: int, below: int | None) -> int | None:
        """An integer in a range, or ``None``."""
        if self._content[name] is None:
            return None
        return self.integer(name, at_least=at_least, below=below)

    def optional_number(self, name: str, *, at_least: float, at_most: float) -> float | None:
        """A finite number in a range, or ``None``."""
        if self._content[name] is None:
            return None
        number = _as_float(self._content[name])
        if number is None or not at_least <= number <= at_most:
            self.fail(name, f"null or a number in [{at_least:g}, {at_most:g}]")
        return number

    def rule(self, name: str) -> dict[str, str | int | float]:
        """A stopping rule's settings."""
        value = self._content[name]
        if not isinstance(value, dict) or not isinstance(value.get("rule"), str):
            self.fail(name, "a mapping that names its rule")
        if not all(isinstance(v, str) or _as_float(v) is not None for v in value.values()):
            self.fail(name, "a mapping of strings and numbers")
        return value

    def number(
        self,
        name: str,
        *,
        above: float = -math.inf,
        at_least: float = -math.inf,
        below: float = math.inf,
    ) -> float:
        """A finite number in a range."""
        value = self._content[name]
        number = _as_float(value)
        if number is None or not (above < number < below and number >= at_least):
            low = f"({above:g}" if above > at_least else f"[{at_least:g}"
            self.fail(name, f"a number in {low}, {below:g})")
        return number

    def deductions(self, name: str) -> Deductions:
        """What rounding and the noise took off every radius."""
        value = self._content[name]
        wanted = {field.name for field in fields(Deductions)}
        if not isinstance(value, dict) or value.keys() != wanted:
            self.fail(name, f"a mapping of {', '.join(sorted(wanted))}")
        numbers = {key: _as_float(number) for key, number in value.items()}
        found = {key: number for key, number in numbers.items() if number is not None}
        if len(found) < len(wanted) or min(found.values()) < 0:
            self.fail(name, "a mapping of numbers of at least 0")
        return Deductions(**found)

    def versions(self, name: str) -> dict[str, str]:
        """Versions by package."""
        value = self._content[name]
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            self.fail(name, "a mapping of package to version")
        if not {"latentsmooth", "torch"} <= value.keys():
            self.fail(name, "a mapping with at least latentsmooth and torch")
        return value

    def facts(self, name: str) -> dict[str, str | int]:
        """Facts about a machine."""
        value = self._content[name]
        if not isinstance(value, dict) or not all(
            isinstance(fact, str) or _is_integer(fact) for fact in value.values()
        ):
            self.fail(name, "a mapping of strings and integers")
        return value

    def votes(self, name: str, classes: int | None) -> tuple[tuple[int, int], ...]:
        """Pairs of class and count, most votes first."""
        value = self._content[name]
        if not isinstance(value, list) or len(value) > _MAX_VOTES:
            self.fail(name, f"a list of at most {_MAX_VOTES} pairs")
        for pair in value:
            if not (isinstance(pair, list) and len(pair) == 2 and all(map(_is_integer, pair))):
                self.fail(name, "pairs of a class and a count")
            if min(pair) < 0 or (classes is not None and pair[0] >= classes):
                self.fail(name, "known classes and counts of at least 0")
        counts = [count for _, count in value]
        if counts != sorted(counts, reverse=True) or len({c for c, _ in value}) < len(value):
            self.fail(name, "distinct classes, most votes first")
        return tuple((chosen, count) for chosen, count in value)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _as_float(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
