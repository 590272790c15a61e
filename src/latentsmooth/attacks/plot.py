"""Certified radius against the nearest flip found: no point may lie under the diagonal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from latentsmooth.attacks.result import AttackReport
from latentsmooth.reporting import plain
from latentsmooth.reporting.figure import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_flips", "save_flips"]

_LONGEST_NAME: Final = 60


def draw_flips(report: AttackReport) -> Figure:
    """Draw one point an image into a matplotlib figure, without touching pyplot's state.

    The radius is the one attacked: the certified one, times the factor of a control. Images
    without a flip stand at the upper edge.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 5.2), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    found = [one for one in report.images if one.flip is not None]
    heights = [one.flip.input_distance for one in found if one.flip is not None]
    radii = [one.attacked_radius for one in report.images]
    right, top = max(radii, default=1.0) * 1.05, max([*heights, *radii], default=1.0) * 1.1
    shown = list(zip([one.attacked_radius for one in found], heights, strict=True))
    holding = [point for point, one in zip(shown, found, strict=True) if not one.flipped_inside]
    wrong = [point for point, one in zip(shown, found, strict=True) if one.flipped_inside]
    unmoved = [(one.attacked_radius, top) for one in report.images if one.flip is None]
    end = min(right, top)
    axes.plot([0, end], [0, end], color="#555555", linewidth=1.0, label="radius attacked")
    _scatter(axes, holding, "o", "#0072b2", f"flip beyond it ({len(holding)})")
    _scatter(axes, unmoved, "^", "#999999", f"no flip found ({len(unmoved)})")
    _scatter(axes, wrong, "X", "#d55e00", f"flip inside it ({len(wrong)})")
    axes.set(xlim=(0, right), ylim=(0, top * 1.02))
    factor = report.settings.get("control", 1.0)
    times = "" if factor == 1 else f" times {factor:g}, wrong on purpose"
    axes.set_xlabel(f"certified l2 radius{times} (pixels in [0, 1])")
    axes.set_ylabel("distance of the nearest flip found")
    axes.set_title(plain(str(report.log["name"]))[:_LONGEST_NAME], fontsize=10, parse_math=False)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def save_flips(report: AttackReport, path: str | Path) -> None:
    """Draw into a file; its suffix (.png, .svg, .pdf) is the format.

    Raises:
        ConfigurationError: another suffix, or the file cannot be written.
    """
    save_figure(path, lambda: draw_flips(report))


def _scatter(
    axes: Axes, points: list[tuple[float, float]], marker: str, colour: str, label: str
) -> None:
    x, y = zip(*points, strict=True) if points else ((), ())
    axes.scatter(x, y, s=22, marker=marker, color=colour, linewidths=0, alpha=0.8, label=label)
