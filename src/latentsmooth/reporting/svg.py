"""The certified-accuracy curve as inline SVG for web pages: text and paths, no script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from latentsmooth.records.view import LogView
from latentsmooth.reporting.cells import plain, radius_text
from latentsmooth.reporting.curve import AccuracyCurve, axis_end, curves_of

__all__ = ["inline_svg"]

_WIDTH: Final = 720
_HEIGHT: Final = 360
_LEFT: Final = 56
_RIGHT: Final = 16
_TOP: Final = 16
_BOTTOM: Final = 48
_SERIES: Final = 7


def inline_svg(views: Sequence[LogView]) -> str:
    """Draw one curve a log as an ``<svg>`` element.

    Colours come from the page's style sheet: classes ``s0`` to ``s6``, ``grid``, ``axis``.
    """
    curves, title = curves_of(views)
    drawn = [
        (place, view, curve)
        for place, (view, curve) in enumerate(zip(views, curves, strict=True))
        if curve is not None
    ]
    right = axis_end([curve for _, _, curve in drawn])
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{title.removesuffix(" (%)").capitalize()} against l2 radius">',
        *_grid(right, title),
        *(_path(place, view.name, curve, right) for place, view, curve in drawn),
        "</svg>",
    ]
    return "\n".join(parts)


def _grid(right: float, title: str) -> list[str]:
    parts = []
    for percent in range(0, 101, 20):
        y = _y(percent / 100)
        parts.append(f'<path class="grid" d="M{_LEFT} {y}H{_WIDTH - _RIGHT}"/>')
        parts.append(
            f'<text class="axis" x="{_LEFT - 8}" y="{y}" dy=".32em" text-anchor="end">'
            f"{percent}</text>"
        )
    for radius in _ticks(right):
        x = _x(radius, right)
        parts.append(f'<path class="grid" d="M{x} {_TOP}V{_HEIGHT - _BOTTOM}"/>')
        parts.append(
            f'<text class="axis" x="{x}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">'
            f"{radius_text(radius)}</text>"
        )
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text class="axis" x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 8}" '
        'text-anchor="middle">l2 radius (pixels in [0, 1])</text>'
    )
    parts.append(
        f'<text class="axis" transform="translate(14 {middle}) rotate(-90)" '
        f'text-anchor="middle">{title}</text>'
    )
    return parts


def _path(place: int, name: str, curve: AccuracyCurve, right: float) -> str:
    steps = [f"M{_x(0, right)} {_y(float(curve.accuracies[0]))}"]
    for radius, accuracy in zip(curve.input_radii, curve.accuracies[1:], strict=True):
        steps.append(f"H{_x(radius, right)}V{_y(float(accuracy))}")
    steps.append(f"H{_x(right, right)}")
    dashed = f" d{place // _SERIES % 3}"
    return (
        f'<path class="series s{place % _SERIES}{dashed}" d="{"".join(steps)}">'
        f"<title>{escape(plain(name))}</title></path>"
    )


def _ticks(right: float) -> list[float]:
    """Return round radii from 0 to ``right``, four to eleven of them."""
    power = 10.0 ** math.floor(math.log10(right))
    step = next(power * part for part in (0.1, 0.2, 0.25, 0.5, 1.0) if right / (power * part) <= 10)
    return [float(f"{step * count:.6g}") for count in range(int(right / step) + 1)]


def _x(radius: float, right: float) -> float:
    return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * min(radius / right, 1.0), 2)


def _y(share: float) -> float:
    return round(_HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share, 2)
