"""The frontier's picture: a panel a radius, as PNG, SVG or PDF."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from latentsmooth.reporting.figure import save_figure
from latentsmooth.sweep.labels import Box, place_labels
from latentsmooth.sweep.panels import AXES, Mark, Panel, panels
from latentsmooth.sweep.points import KINDS, Cost, FrontierPoint, Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["draw_frontier", "frontier_figure", "number_text"]

_COLOURS: Final[dict[Kind, str]] = {"LSRS": "#0072b2", "ISRS": "#d55e00"}
_INKS: Final[dict[Kind, str]] = {"LSRS": "#00456c", "ISRS": "#873b00"}
_MARKERS: Final[dict[Kind, str]] = {"LSRS": "o", "ISRS": "s"}
_DASHES: Final[dict[Kind, str]] = {"LSRS": "-", "ISRS": "--"}
_FONT_POINTS: Final = 6.5
_MARK_POINTS: Final = 4.5
_GAP_POINTS: Final = 4.5
_LEADER_POINTS: Final = 5.5
"""How far off its mark a name is joined to it by a thin line."""
_LINE_WEIGHT: Final = 5.0
_BAR_WEIGHT: Final = 1.5
_ABREAST: Final = 2


def draw_frontier(
    points: Sequence[FrontierPoint],
    path: str | Path,
    *,
    radii: Sequence[float] | None = None,
    cost: Cost = "seconds",
) -> None:
    """Draw the frontier into a file; its suffix (.png, .svg, .pdf) is the format.

    The same points give the same bytes: no date is stored.

    Args:
        points: LSRS and ISRS, in any order.
        path: the file.
        radii: l2 radii, a panel each; by default those that every point has.
        cost: of an image, on the horizontal axis.

    Raises:
        ConfigurationError: another suffix, no points, a point without a figure at a radius or for
            that cost, or the file cannot be written.
    """
    save_figure(path, lambda: frontier_figure(points, radii=radii, cost=cost))


def frontier_figure(
    points: Sequence[FrontierPoint],
    *,
    radii: Sequence[float] | None = None,
    cost: Cost = "seconds",
) -> Figure:
    """Draw the frontier into a matplotlib figure, without touching pyplot's state.

    Args and errors: as `draw_frontier`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = panels(points, radii=radii, cost=cost)
    columns = min(_ABREAST, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(5.4 * columns, 3.6 * rows + 0.4), dpi=150, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for place, axes in enumerate(grid):
        if place >= len(shown):
            axes.remove()
            continue
        _draw(axes, shown[place])
        axes.set_xlabel(AXES[cost][0] if place + columns >= len(shown) else "")
        axes.set_ylabel("certified accuracy (%)" if place % columns == 0 else "")
    handles = _handles([kind for kind in KINDS if any(point.kind == kind for point in points)])
    figure.legend(
        handles=handles, loc="outside upper center", ncols=2 * columns, frameon=False, fontsize=8
    )
    figure.draw_without_rendering()  # settles where the axes are, which names are placed by
    for axes, each in zip(grid, shown, strict=False):
        _name(axes, each, canvas)
    return figure


def number_text(value: float) -> str:
    """Write a round number of an axis in full.

    >>> number_text(0.003), number_text(20000.0), number_text(2e7)
    ('0.003', '20,000', '2e+07')
    """
    return f"{value:,.6g}" if value < 1e6 else f"{value:g}"


def _handles(kinds: Sequence[Kind]) -> list[Line2D]:
    from matplotlib.lines import Line2D

    grey = "#777777"
    hollow: dict[str, Any] = {"color": grey, "markerfacecolor": "white", "linewidth": 0}
    return [
        *(Line2D([], [], **_look(kind), label=f"{kind} and its frontier") for kind in kinds),
        Line2D([], [], marker="o", markersize=_MARK_POINTS, label="behind it", **hollow),
        Line2D([], [], color=grey, marker="|", linewidth=0, label="95 % interval"),
    ]


def _look(kind: Kind) -> dict[str, Any]:
    return {
        "color": _COLOURS[kind],
        "marker": _MARKERS[kind],
        "markersize": _MARK_POINTS,
        "linestyle": _DASHES[kind],
    }


def _draw(axes: Axes, panel: Panel) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xscale("log")
    axes.set(xlim=(panel.x.low, panel.x.high), ylim=(panel.y.low, panel.y.high))
    axes.xaxis.set_major_locator(FixedLocator(panel.x_ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number_text(value)))
    axes.yaxis.set_major_locator(FixedLocator(panel.y_ticks))
    axes.tick_params(labelsize=8)
    axes.set_title(panel.title, fontsize=9.5, loc="left")
    axes.grid(visible=True, color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    for kind, corners in panel.lines.items():
        x, y = zip(*corners, strict=True)
        axes.plot(x, y, color=_COLOURS[kind], linestyle=_DASHES[kind], linewidth=1.4, alpha=0.85)
    for mark in panel.marks:
        colour = _COLOURS[mark.point.kind]
        axes.plot([mark.x] * 2, [mark.low, mark.high], color=colour, linewidth=0.8, alpha=0.45)
        axes.plot(
            [mark.x],
            [mark.y],
            marker=_MARKERS[mark.point.kind],
            markersize=_MARK_POINTS,
            markeredgecolor=colour,
            markerfacecolor=colour if mark.leading else "white",
            markeredgewidth=1.0,
            zorder=3,
        )


def _name(axes: Axes, panel: Panel, canvas: object) -> None:
    """Put the names beside the marks, in points, so that every resolution looks the same."""
    scale = 72.0 / axes.figure.dpi
    to_pixels = axes.transData.transform

    def at(x: float, y: float) -> tuple[float, float]:
        across, along = to_pixels((x, y))
        return float(across) * scale, float(along) * scale

    low, high = at(panel.x.low, panel.y.low), at(panel.x.high, panel.y.high)
    anchors = [at(mark.x, mark.y) for mark in panel.marks]
    hard, soft = [], []
    for mark, (x, y) in zip(panel.marks, anchors, strict=True):
        half = _MARK_POINTS / 2 + 1
        hard.append(Box(x - half, y - half, x + half, y + half))
        bar = Box(x - 1, at(mark.x, mark.low)[1], x + 1, at(mark.x, mark.high)[1])
        soft.append((bar, _BAR_WEIGHT))
    for corners in panel.lines.values():
        ends = [at(*corner) for corner in corners]
        for start, end in pairwise(ends):
            xs, ys = sorted((start[0], end[0])), sorted((start[1], end[1]))
            line = Box(xs[0] - 0.8, ys[0] - 0.8, xs[1] + 0.8, ys[1] + 0.8)
            soft.append((line, _LINE_WEIGHT))
    places = place_labels(
        anchors,
        [_size(mark.label, canvas, scale) for mark in panel.marks],
        frame=Box(*low, *high),
        hard=hard,
        soft=soft,
        gap=_GAP_POINTS,
    )
    for mark, anchor, box in zip(panel.marks, anchors, places, strict=True):
        if box is not None:
            _annotate(axes, mark, anchor, box)


def _size(text: str, canvas: object, scale: float) -> tuple[float, float]:
    from matplotlib.font_manager import FontProperties

    renderer = canvas.get_renderer()  # type: ignore[attr-defined]
    font = FontProperties(size=_FONT_POINTS)
    width, height, _ = renderer.get_text_width_height_descent(text, font, ismath=False)
    # A line is as high as these two letters at least, whatever stands in it.
    _, least, _ = renderer.get_text_width_height_descent("lp", font, ismath=False)
    return float(width) * scale + 1.5, float(max(height, least)) * scale + 1.2


def _annotate(axes: Axes, mark: Mark, anchor: tuple[float, float], box: Box) -> None:
    middle = ((box.left + box.right) / 2, (box.bottom + box.top) / 2)
    nearest = (
        min(max(anchor[0], box.left), box.right),
        min(max(anchor[1], box.bottom), box.top),
    )
    far = math.dist(anchor, nearest) > _LEADER_POINTS
    text = axes.annotate(
        mark.label,
        (mark.x, mark.y),
        xytext=(middle[0] - anchor[0], middle[1] - anchor[1]),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=_FONT_POINTS,
        color=_INKS[mark.point.kind],
        parse_math=False,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.4},
        arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.5, "shrinkB": 2.5}
        if far
        else None,
        zorder=4,
    )
    text.set_in_layout(False)
