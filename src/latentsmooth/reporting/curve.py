"""The certified-accuracy curve, exact at every step, as PNG, SVG or PDF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from latentsmooth.records.view import LogView
from latentsmooth.reporting.cells import plain
from latentsmooth.reporting.figure import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "AccuracyCurve",
    "accuracy_curve",
    "axis_end",
    "curves_of",
    "draw_curves",
    "save_curves",
]

COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Okabe and Ito's palette, told apart with every common colour blindness; yellow left out."""

_SMALLEST_AXIS: Final = 1e-9
_LARGEST_AXIS: Final = 1e9
_DASHES: Final = ("-", "--", ":", "-.")


@dataclass(frozen=True, slots=True)
class AccuracyCurve:
    """Certified accuracy as a step function of the radius.

    Attributes:
        input_radii: where it falls, ascending; the image certified at a radius counts there still.
        accuracies: one more than ``input_radii``; ``accuracies[i]`` holds above
            ``input_radii[i - 1]`` up to and at ``input_radii[i]``; the last one is 0.
    """

    input_radii: tuple[float, ...]
    accuracies: tuple[Fraction, ...]

    def at(self, input_radius: float) -> Fraction:
        """Return the certified accuracy at a radius."""
        below = sum(radius < input_radius for radius in self.input_radii)
        return self.accuracies[below]


def accuracy_curve(view: LogView) -> AccuracyCurve | None:
    """Return a log's certified-accuracy curve, or ``None`` where no image has a label."""
    n_labelled = sum(each.label is not None for each in view.certificates)
    if not n_labelled:
        return None
    correct = [each.input_radius for each in view.certificates if each.correct]
    return _falling(correct, of=n_labelled)


def curves_of(views: Sequence[LogView]) -> tuple[list[AccuracyCurve | None], str]:
    """Return what is drawn of each log, and the title of the axis.

    Where no image of any log has a label: the share of images certified, right or wrong.
    """
    curves = [accuracy_curve(view) for view in views]
    if any(curve is not None for curve in curves) or not any(view.certificates for view in views):
        return curves, "certified accuracy (%)"
    return [_answered_curve(view) for view in views], "images certified, right or wrong (%)"


def _answered_curve(view: LogView) -> AccuracyCurve | None:
    answered = [each.input_radius for each in view.certificates if not each.abstained]
    return _falling(answered, of=len(view.certificates)) if view.certificates else None


def _falling(input_radii: Sequence[float], *, of: int) -> AccuracyCurve:
    """The share of so many images that have a radius or a larger one."""
    radii = sorted(input_radii)
    steps = tuple(dict.fromkeys(radii))
    falls = dict.fromkeys(steps, 0)
    for radius in radii:
        falls[radius] += 1
    left = len(radii)
    accuracies = [Fraction(left, of)]
    for radius in steps:
        left -= falls[radius]
        accuracies.append(Fraction(left, of))
    return AccuracyCurve(steps, tuple(accuracies))


def axis_end(curves: Sequence[AccuracyCurve | None]) -> float:
    """Return where a drawing's radius axis ends, a little beyond the last step.

    Radii that no image has (a published file may state any) are kept from the arithmetic of axes.
    """
    ends = [curve.input_radii[-1] for curve in curves if curve is not None and curve.input_radii]
    end = min(max(ends, default=0.0) * 1.05, _LARGEST_AXIS)
    return end if end > _SMALLEST_AXIS else 1.0


def draw_curves(views: Sequence[LogView]) -> Figure:
    """Draw one curve a log into a matplotlib figure, without touching pyplot's state.

    Logs without labels appear in the legend and have no curve, unless all are; see `curves_of`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0 + 0.22 * len(views)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    curves, title = curves_of(views)
    right = axis_end(curves)
    handles = []
    for place, curve in enumerate(curves):
        x, y = ([], []) if curve is None else _vertices(curve, right)
        colour = COLOURS[place % len(COLOURS)]
        dashes = _DASHES[place // len(COLOURS) % len(_DASHES)]
        handles += axes.plot(
            x, y, drawstyle="steps-pre", color=colour, linestyle=dashes, linewidth=1.6
        )
    axes.set(xlim=(0, right), ylim=(0, 100))
    axes.set_xlabel("l2 radius (pixels in [0, 1])")
    axes.set_ylabel(title)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if handles:
        legend = figure.legend(
            handles, [str(place) for place in range(len(handles))], loc="outside lower center"
        )
        for text, view in zip(legend.get_texts(), views, strict=True):
            text.set_parse_math(False)
            text.set_text(_shortened(plain(view.name)))
        legend.set_frame_on(False)
    return figure


def save_curves(views: Sequence[LogView], path: str | Path) -> None:
    """Draw the curves into a file; its suffix (.png, .svg, .pdf) is the format.

    The same logs give the same bytes: no date is stored.

    Raises:
        ConfigurationError: another suffix, or the file cannot be written.
    """
    save_figure(path, lambda: draw_curves(views))


def _vertices(curve: AccuracyCurve, right: float) -> tuple[list[float], list[float]]:
    """Return the points of a "steps-pre" line, in percent, from radius 0 to ``right``."""
    accuracies = [float(100 * accuracy) for accuracy in curve.accuracies]
    radii = [min(radius, right) for radius in curve.input_radii]
    return [0.0, *radii, right], [accuracies[0], *accuracies]


def _shortened(name: str, most: int = 72) -> str:
    return name if len(name) <= most else name[: most // 2 - 1] + "…" + name[-most // 2 :]
