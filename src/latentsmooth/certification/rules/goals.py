"""The question a sequential rule draws votes for."""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import dataclass

from latentsmooth.errors import ConfigurationError

__all__ = ["Decide", "Goal", "Precision", "Radii", "RadiusAtLeast", "parse_goal"]

MOST_RADII = 100
"""More would be a precision, at a price for every look."""


@dataclass(frozen=True)
class RadiusAtLeast:
    """Is the candidate certified at this input radius? Written ``radius>=0.25``.

    Args:
        input_radius: l2 radius over pixels in [0, 1].

    Raises:
        ConfigurationError: unless it is finite and not negative.
    """

    input_radius: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.input_radius) and self.input_radius >= 0):
            raise ConfigurationError(f"wanted a radius >= 0, got {self.input_radius}")

    def __str__(self) -> str:
        return f"radius>={float(self.input_radius)!r}"


@dataclass(frozen=True)
class Radii:
    """At which of these input radii is the candidate certified? Written ``radii=0,0.25,0.5``.

    What a table of certified accuracies asks of an image, and nothing more. At radius 0 the
    question is whether it is certified at all.

    Args:
        input_radii: l2 radii over pixels in [0, 1]; kept rising, each once.

    Raises:
        ConfigurationError: unless there is one, 100 at most, all finite and none negative.
    """

    input_radii: tuple[float, ...]

    def __post_init__(self) -> None:
        radii = tuple(sorted({float(radius) for radius in self.input_radii}))
        if not 1 <= len(radii) <= MOST_RADII:
            raise ConfigurationError(f"wanted 1 to {MOST_RADII} radii, got {len(radii)}")
        for radius in radii:
            RadiusAtLeast(radius)
        object.__setattr__(self, "input_radii", radii)

    def __str__(self) -> str:
        return "radii=" + ",".join(repr(radius) for radius in self.input_radii)


@dataclass(frozen=True)
class Precision:
    """How large is the input radius, to within this much? Written ``precision=0.05``.

    Args:
        input_radius: largest difference between the upper and lower bound of the radius.

    Raises:
        ConfigurationError: unless it is finite and positive.
    """

    input_radius: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.input_radius) and self.input_radius > 0):
            raise ConfigurationError(f"wanted a precision above 0, got {self.input_radius}")

    def __str__(self) -> str:
        return f"precision={float(self.input_radius)!r}"


@dataclass(frozen=True)
class Decide:
    """Is the candidate the smoothed classifier's top class? Written ``decide``; no radius."""

    def __str__(self) -> str:
        return "decide"


Goal = RadiusAtLeast | Radii | Precision | Decide


def parse_goal(text: str) -> Goal:
    """Read a goal as it is written on the command line.

    Args:
        text: ``radius>=R``, ``radii=R,R,...``, ``precision=D`` or ``decide``; R and D are input
            radii.

    Raises:
        ConfigurationError: for anything else.

    Example:
        >>> parse_goal("radius >= 0.25")
        RadiusAtLeast(input_radius=0.25)
        >>> str(parse_goal("precision=0.05"))
        'precision=0.05'
    """
    # Blanks within a number stay: "radii=0 1" lacks a comma and is not the radius 01.
    compact = re.sub(r"\s*(>=|=|,)\s*", r"\1", text.strip())
    if compact == "decide":
        return Decide()
    for prefix, kind in (("radius>=", RadiusAtLeast), ("precision=", Precision)):
        if compact.startswith(prefix):
            try:
                value = float(compact.removeprefix(prefix))
            except ValueError:
                break
            return kind(value)
    if compact.startswith("radii="):
        numbers: tuple[float, ...] = ()
        with contextlib.suppress(ValueError):
            numbers = tuple(map(float, compact.removeprefix("radii=").split(",")))
        if numbers:
            return Radii(numbers)
    raise ConfigurationError(
        "wanted a goal like 'radius>=0.25', 'radii=0,0.25,0.5', 'precision=0.05' or 'decide', "
        f"got {text!r}"
    )
