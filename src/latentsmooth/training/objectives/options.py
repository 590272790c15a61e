"""An objective's options: what each may be, and what a user's dictionary of them comes to."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from latentsmooth.errors import ConfigurationError

__all__ = ["OptionValue", "check_fields", "choice", "count", "number", "resolve_options"]

OptionValue = int | float | str

_KEY = "option"


@dataclass(frozen=True)
class _Option:
    """What a field accepts: a caster that raises on the wrong type, a predicate, and words."""

    cast: Callable[[object], OptionValue]
    holds: Callable[[Any], bool]
    wanted: str

    def read(self, name: str, value: object) -> OptionValue:
        """Return the value in the field's type; a wrong type or range is an error."""
        try:
            found = self.cast(value)
        except (TypeError, OverflowError):  # the latter for integers beyond all floats
            found = math.nan
        if not self.holds(found):
            raise ConfigurationError(f"{name} must be {self.wanted}, got {value!r}")
        return found


def count(default: int, *, least: int = 1) -> Any:
    """Return a dataclass field that holds an integer of at least ``least``."""
    option = _Option(_integer, lambda value: value >= least, f"an integer, {least} or more")
    return field(default=default, metadata={_KEY: option})


def number(
    default: float,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> Any:
    """Return a dataclass field that holds a finite number within bounds."""
    bounds = [
        *([f"{least:g} or more"] if least is not None else []),
        *([f"above {above:g}"] if above is not None else []),
        *([f"at most {most:g}"] if most is not None else []),
    ]
    low = -math.inf if least is None else least
    open_low = -math.inf if above is None else above
    high = math.inf if most is None else most
    option = _Option(
        _real,
        lambda value: low <= value <= high and value > open_low,
        f"a number, {' and '.join(bounds)}",
    )
    return field(default=default, metadata={_KEY: option})


def choice(default: str, *others: str) -> Any:
    """Return a dataclass field that holds one of a few words."""
    words = (default, *others)
    option = _Option(_word, lambda value: value in words, f"one of {', '.join(words)}")
    return field(default=default, metadata={_KEY: option})


def resolve_options(
    objective: type[Any], given: Mapping[str, object], *, name: str
) -> dict[str, OptionValue]:
    """Return every option of an objective: those given, in the field's type, else the defaults.

    Args:
        objective: a dataclass whose options are fields made by `count`, `number` or `choice`.
        given: what a user asks for, by name.
        name: of the objective, for messages.

    Raises:
        ConfigurationError: for an unknown name, with the nearest known one; for a value of the
            wrong type or out of range.
    """
    known = _options(objective)
    for option in given:
        if option not in known:
            raise ConfigurationError(_unknown(option, list(known), name))
    return {
        field.name: known[field.name].read(
            f"{field.name} of objective_options for {name}", given.get(field.name, field.default)
        )
        for field in dataclasses.fields(objective)
        if field.name in known
    }


def check_fields(objective: Any) -> None:
    """Raise `ConfigurationError` where a field of an objective is out of its range."""
    for name, option in _options(type(objective)).items():
        object.__setattr__(objective, name, option.read(name, getattr(objective, name)))


def _options(objective: type[Any]) -> dict[str, _Option]:
    return {
        field.name: field.metadata[_KEY]
        for field in dataclasses.fields(objective)
        if _KEY in field.metadata
    }


def _unknown(option: object, known: list[str], name: str) -> str:
    near = difflib.get_close_matches(str(option), known, n=1, cutoff=0.0)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return (
        f"objective_options for {name} must be among {', '.join(known)}, got {str(option)!r}{hint}"
    )


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError
    if not math.isfinite(value) or value != int(value):
        raise TypeError
    return int(value)


def _real(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError
    return float(value)


def _word(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
