"""One panel of the frontier as inline SVG for web pages: text and paths, no script."""

from __future__ import annotations

import math
from html import escape
from itertools import pairwise
from typing import Final

from latentsmooth.sweep.draw import number_text
from latentsmooth.sweep.labels import Box, place_labels
from latentsmooth.sweep.panels import AXES, Mark, Panel
from latentsmooth.sweep.points import Cost, Kind
from latentsmooth.sweep.table import UNITS, accuracy_text, cost_text

__all__ = ["STYLE", "inline_panel", "key"]

STYLE: Final = """
.name { font-size: 12px; paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }
.f0 { fill: var(--s0); } .f1 { fill: var(--s1); } .behind { fill: var(--paper); }
.mark { stroke-width: 1.6; } .bar { stroke-width: 1.2; opacity: .45; }
.leader { stroke: var(--soft); stroke-width: .7; }
thead th { overflow-wrap: normal; } td { white-space: nowrap; }
"""
_SERIES: Final[dict[Kind, str]] = {"LSRS": "0", "ISRS": "1"}
_WIDTH: Final = 720
_HEIGHT: Final = 400
_FRAME: Final = Box(56, 12, 708, 348)
_LETTER: Final = 6.9
"""Widest that a letter of a name is on average, whatever the reader's font."""
_LINE: Final = 14.0
_MARK: Final = 4.0
_FAR: Final = 10.0


def inline_panel(panel: Panel, cost: Cost) -> str:
    """Draw a panel as an ``<svg>`` element; colours come from the page's style sheet."""
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Certified accuracy against '
        f'{escape(AXES[cost][0])}, {escape(panel.title)}">',
        *_grid(panel, cost),
        *(_line(panel, kind) for kind in panel.lines),
        *(_bar(panel, mark) for mark in panel.marks),
        *(_mark(panel, mark, cost) for mark in panel.marks),
        *_names(panel),
        "</svg>",
    ]
    return "\n".join(parts)


def key(kind: Kind) -> str:
    """Draw a legend's sample of a kind's line."""
    series = _SERIES[kind]
    return (
        '<svg class="key" viewBox="0 0 28 10" aria-hidden="true">'
        f'<path class="series s{series} d{series}" d="M0 5H28"/>{_shape(kind, 14, 5, leading=True)}'
        "</svg>"
    )


def _grid(panel: Panel, cost: Cost) -> list[str]:
    parts = []
    for percent in panel.y_ticks:
        y = _y(panel, percent)
        parts.append(f'<path class="grid" d="M{_FRAME.left} {y}H{_FRAME.right}"/>')
        parts.append(
            f'<text class="axis" x="{_FRAME.left - 8}" y="{y}" dy=".32em" text-anchor="end">'
            f"{percent:g}</text>"
        )
    for value in panel.x_ticks:
        x = _x(panel, value)
        parts.append(f'<path class="grid" d="M{x} {_FRAME.bottom}V{_FRAME.top}"/>')
        parts.append(
            f'<text class="axis" x="{x}" y="{_FRAME.top + 18}" text-anchor="middle">'
            f"{number_text(value)}</text>"
        )
    middle = (_FRAME.bottom + _FRAME.top) / 2
    parts.append(
        f'<text class="axis" x="{(_FRAME.left + _FRAME.right) / 2}" y="{_HEIGHT - 12}" '
        f'text-anchor="middle">{escape(AXES[cost][0])}</text>'
    )
    parts.append(
        f'<text class="axis" transform="translate(14 {middle}) rotate(-90)" '
        'text-anchor="middle">certified accuracy (%)</text>'
    )
    return parts


def _line(panel: Panel, kind: Kind) -> str:
    places = [f"{_x(panel, x)} {_y(panel, y)}" for x, y in panel.lines[kind]]
    series = _SERIES[kind]
    return f'<path class="series s{series} d{series}" d="M{"L".join(places)}"/>'


def _bar(panel: Panel, mark: Mark) -> str:
    x, low, high = _x(panel, mark.x), _y(panel, mark.low), _y(panel, mark.high)
    return f'<path class="bar s{_SERIES[mark.point.kind]}" d="M{x} {low}V{high}"/>'


def _mark(panel: Panel, mark: Mark, cost: Cost) -> str:
    """A mark that tells its figures to a pointer."""
    radius = panel.input_radius
    told = (
        f"{mark.point.name} ({mark.point.kind}): {accuracy_text(mark.point, radius)} %, "
        f"{cost_text(mark.point, cost)} {UNITS[cost][0]}"
    )
    told = "".join(letter if letter.isprintable() else "�" for letter in told)
    shape = _shape(mark.point.kind, _x(panel, mark.x), _y(panel, mark.y), leading=mark.leading)
    return f"<g>{shape}<title>{escape(told)}</title></g>"


def _shape(kind: Kind, x: float, y: float, *, leading: bool) -> str:
    series = _SERIES[kind]
    look = f'class="mark s{series} {f"f{series}" if leading else "behind"}"'
    if kind == "LSRS":
        return f'<circle {look} cx="{x}" cy="{y}" r="{_MARK}"/>'
    side = 2 * _MARK - 1
    return f'<rect {look} x="{x - side / 2}" y="{y - side / 2}" width="{side}" height="{side}"/>'


def _names(panel: Panel) -> list[str]:
    anchors = [(_x(panel, mark.x), _y(panel, mark.y)) for mark in panel.marks]
    hard = [Box(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y in anchors]
    soft = []
    for mark, (x, _) in zip(panel.marks, anchors, strict=True):
        soft.append((Box(x - 1, _y(panel, mark.high), x + 1, _y(panel, mark.low)), 1.5))
    for corners in panel.lines.values():
        for start, end in pairwise((_x(panel, x), _y(panel, y)) for x, y in corners):
            xs, ys = sorted((start[0], end[0])), sorted((start[1], end[1]))
            soft.append((Box(xs[0] - 1, ys[0] - 1, xs[1] + 1, ys[1] + 1), 5.0))
    sizes = [(_LETTER * len(mark.label) + 2, _LINE) for mark in panel.marks]
    places = place_labels(anchors, sizes, frame=_FRAME, hard=hard, soft=soft, gap=_MARK + 3)
    parts = []
    for mark, anchor, box in zip(panel.marks, anchors, places, strict=True):
        if box is not None:
            parts += _name(mark, anchor, box)
    return parts


def _name(mark: Mark, anchor: tuple[float, float], box: Box) -> list[str]:
    # Towards its mark, so that a narrower font than expected leaves no gap there.
    if box.left >= anchor[0]:
        side, x = "start", box.left + 1
    elif box.right <= anchor[0]:
        side, x = "end", box.right - 1
    else:
        side, x = "middle", (box.left + box.right) / 2
    nearest = (min(max(anchor[0], box.left), box.right), min(max(anchor[1], box.bottom), box.top))
    parts = []
    if math.dist(anchor, nearest) > _FAR:
        parts.append(
            f'<path class="leader" d="M{anchor[0]} {anchor[1]}'
            f'L{round(nearest[0], 2)} {round(nearest[1], 2)}"/>'
        )
    y = round((box.bottom + box.top) / 2, 2)
    parts.append(
        f'<text class="name f{_SERIES[mark.point.kind]}" x="{round(x, 2)}" y="{y}" dy=".32em" '
        f'text-anchor="{side}">{escape(mark.label)}</text>'
    )
    return parts


def _x(panel: Panel, value: float) -> float:
    share = math.log(value / panel.x.low) / math.log(panel.x.high / panel.x.low)
    return round(_FRAME.left + share * (_FRAME.right - _FRAME.left), 2)


def _y(panel: Panel, percent: float) -> float:
    share = (percent - panel.y.low) / (panel.y.high - panel.y.low)
    return round(_FRAME.top - share * (_FRAME.top - _FRAME.bottom), 2)
