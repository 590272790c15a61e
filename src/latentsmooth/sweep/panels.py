"""What one panel of the frontier's picture shows, before any pixel: axes, points and lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from latentsmooth.errors import ConfigurationError
from latentsmooth.reporting import plain
from latentsmooth.sweep.pareto import frontier, of_kind
from latentsmooth.sweep.points import KINDS, Cost, FrontierPoint, Kind, shared_radii

__all__ = ["AXES", "Mark", "Panel", "Span", "log_ticks", "panel", "panels", "short"]

AXES: Final[dict[Cost, tuple[str, float]]] = {
    "seconds": ("seconds an image", 1.0),
    "flops": ("GFLOP an image", 1e-9),
    "samples": ("samples an image", 1.0),
}
"""The title of each cost's axis, and what its unit is in that of the points."""
_MARGIN: Final = 0.16
"""Of an axis beyond the outermost points, in parts of what they span: room for their names."""
_LEAST_RATIO: Final = 1.5
_LONGEST_NAME: Final = 30
_LADDERS: Final = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))


@dataclass(frozen=True, slots=True)
class Span:
    """Where an axis begins and ends."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One classifier in one panel: ``x`` in the axis's unit, the rest in percent."""

    point: FrontierPoint
    x: float
    y: float
    low: float
    high: float
    leading: bool

    @property
    def label(self) -> str:
        """Its name, cut to what fits beside a mark."""
        return short(self.point.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One radius.

    Attributes:
        input_radius: over pixels in [0, 1].
        title: its heading.
        x: logarithmic axis of the cost.
        y: axis of the certified accuracy, in percent.
        x_ticks: round costs in it.
        y_ticks: round percentages in it.
        marks: the classifiers.
        lines: per kind, the corners of its frontier, from its cheapest point to the right edge.
    """

    input_radius: float
    title: str
    x: Span
    y: Span
    x_ticks: tuple[float, ...]
    y_ticks: tuple[float, ...]
    marks: tuple[Mark, ...]
    lines: dict[Kind, tuple[tuple[float, float], ...]]


def panels(
    points: Sequence[FrontierPoint], *, radii: Sequence[float] | None, cost: Cost
) -> list[Panel]:
    """Return one panel a radius, by default at every radius that all points have.

    Raises:
        ConfigurationError: no points, no radii, or a figure that a point does not have.
    """
    chosen = shared_radii(points) if radii is None else tuple(dict.fromkeys(radii))
    if not points or not chosen:
        raise ConfigurationError(
            f"wanted points and radii to draw, got {len(points)} and {len(chosen)}"
        )
    return [panel(points, input_radius=radius, cost=cost) for radius in chosen]


def panel(points: Sequence[FrontierPoint], *, input_radius: float, cost: Cost) -> Panel:
    """Settle the axes, the marks and the frontiers at one radius."""
    unit = AXES[cost][1]
    leading = {
        kind: frontier(of_kind(points, kind), input_radius=input_radius, cost=cost)
        for kind in KINDS
    }
    names = {each.name for found in leading.values() for each in found}
    marks = tuple(
        Mark(
            point=point,
            x=point.cost(cost) * unit,
            y=100 * float(point.accuracy(input_radius)),
            low=100 * point.interval(input_radius)[0],
            high=100 * point.interval(input_radius)[1],
            leading=point.name in names,
        )
        for point in points
    )
    x, y = _x_span(marks), _y_span(marks)
    by_name = {mark.point.name: mark for mark in marks}
    return Panel(
        input_radius=input_radius,
        title=f"l2 radius {input_radius:g}" + ("" if input_radius else " (clean)"),
        x=x,
        y=y,
        x_ticks=log_ticks(x.low, x.high),
        y_ticks=_percent_ticks(y),
        marks=marks,
        lines={
            kind: _corners([by_name[each.name] for each in found], x.high)
            for kind, found in leading.items()
            if found
        },
    )


def short(name: str) -> str:
    """Return a name on one line and cut to what fits beside a mark.

    >>> short("resnet18"), len(short("x" * 99))
    ('resnet18', 30)
    """
    name = plain(name)
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else name[: half - 1] + "…" + name[-half:]


def log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Return round numbers between two, three to eight where a ladder of one digit gives as many.

    >>> log_ticks(0.004, 2.0)
    (0.01, 0.03, 0.1, 0.3, 1.0)
    >>> log_ticks(90, 400)
    (100.0, 150.0, 200.0, 300.0)
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    found: tuple[float, ...] = ()
    for steps in _LADDERS:
        every = max(1, (last - first) // 8)
        rungs = (
            float(f"{step * 10.0**power:.6g}")
            for power in range(first, last + 1, every)
            for step in steps
        )
        found = tuple(value for value in rungs if low <= value <= high)
        if len(found) >= 4:
            break
    return found


def _x_span(marks: Sequence[Mark]) -> Span:
    low, high = min(mark.x for mark in marks), max(mark.x for mark in marks)
    ratio = max(high / low, _LEAST_RATIO) ** _MARGIN
    if high / low < _LEAST_RATIO:
        ratio = _LEAST_RATIO
    return Span(low / ratio, high * ratio)


def _y_span(marks: Sequence[Mark]) -> Span:
    low, high = min(mark.low for mark in marks), max(mark.high for mark in marks)
    room = max(2.0, _MARGIN * (high - low))
    return Span(max(0.0, low - room), min(100.0, high + room))


def _percent_ticks(span: Span) -> tuple[float, ...]:
    wide = span.high - span.low
    step = next(step for step in (1, 2, 5, 10, 20) if wide / step <= 7)
    first = math.ceil(span.low / step)
    return tuple(float(step * n) for n in range(first, first + 102) if step * n <= span.high)


def _corners(found: Sequence[Mark], right: float) -> tuple[tuple[float, float], ...]:
    """A step function: each accuracy holds until the next dearer point."""
    corners = [(found[0].x, found[0].y)]
    for mark in found[1:]:
        corners += [(mark.x, corners[-1][1]), (mark.x, mark.y)]
    return (*corners, (right, corners[-1][1]))
