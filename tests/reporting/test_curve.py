from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from latentsmooth.errors import ConfigurationError
from latentsmooth.reporting import accuracy_curve, draw_curves, save_curves
from latentsmooth.reporting.curve import COLOURS
from tests.records.makers import abstention, certificate
from tests.reporting.makers import EIGHT, HOSTILE, published, view


def test_the_curve_falls_just_above_each_radius() -> None:
    curve = accuracy_curve(view())
    assert curve is not None
    assert curve.input_radii == (0.1, 0.2, 0.5, 1.3)
    assert curve.accuracies == tuple(Fraction(k, 8) for k in (5, 4, 2, 1, 0))
    assert (curve.at(0.2), curve.at(0.2000001), curve.at(9)) == (
        Fraction(4, 8),
        Fraction(2, 8),
        Fraction(0),
    )


def test_no_labels_no_curve() -> None:
    assert accuracy_curve(view([])) is None
    assert accuracy_curve(view([certificate(0, label=None)])) is None


def test_the_drawn_line_is_the_step_function() -> None:
    figure = draw_curves([view()])
    [line] = figure.axes[0].get_lines()
    curve = accuracy_curve(view())
    assert curve is not None
    assert line.get_drawstyle() == "steps-pre"
    x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    for radius in (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 1.3, 1.31):
        drawn = y[np.searchsorted(x, radius, side="left")]  # steps-pre: y[i] on (x[i-1], x[i]]
        assert drawn == 100 * curve.at(radius)


def test_axes_and_legend_are_labelled_and_nothing_overlaps() -> None:
    names = ["ours", HOSTILE, "_hidden", "long" * 40, "a", "b", "c", "d"]
    figure = draw_curves([view(name=name) for name in names])
    figure.draw_without_rendering()
    [axes], [legend] = figure.axes, figure.legends
    assert "l2 radius" in axes.get_xlabel()
    assert "certified accuracy (%)" in axes.get_ylabel()
    shown = [text.get_text() for text in legend.get_texts()]
    assert shown[0] == "ours"
    assert shown[2] == "_hidden"
    assert "\x1b" not in shown[1]
    outside, plot, label = (
        legend.get_window_extent(),
        axes.get_window_extent(),
        axes.xaxis.label.get_window_extent(),
    )
    assert not outside.overlaps(plot)
    assert not outside.overlaps(label)
    assert outside.width <= figure.bbox.width
    styles = {(line.get_color(), line.get_linestyle()) for line in axes.get_lines()}
    assert len(styles) == len(names) > len(COLOURS)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".PNG"])
def test_files_of_each_kind_are_the_same_bytes_twice(tmp_path: Path, suffix: str) -> None:
    logs = [view(), published()]
    first, second = tmp_path / "new" / f"a{suffix}", tmp_path / f"b{suffix}"
    save_curves(logs, first)
    save_curves(logs, second)
    raw = first.read_bytes()
    assert raw == second.read_bytes()
    magic = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix.lower()]
    assert raw.startswith(magic)


def test_the_picture_shows_each_logs_colour(tmp_path: Path) -> None:
    others = [certificate(0), *EIGHT[1:]]
    save_curves([view(), view(others, name="other")], tmp_path / "a.png")
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).reshape(-1, 3)
    for colour in COLOURS[:2]:
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(pixels.astype(int) - rgb).max(axis=1) < 8).sum() > 100


def test_logs_without_anything_to_draw_still_make_a_picture(tmp_path: Path) -> None:
    save_curves([view([]), view([abstention(0)])], tmp_path / "a.png")
    save_curves([], tmp_path / "b.png")
    assert (tmp_path / "b.png").stat().st_size > 1000


def test_drawing_leaves_no_global_state(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    save_curves([view()], tmp_path / "a.svg")
    assert dict(mpl.rcParams) == before


def test_files_that_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="ending in"):
        save_curves([view()], tmp_path / "a.gif")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        save_curves([view()], tmp_path / "file" / "a.png")
