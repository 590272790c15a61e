"""The picture as drawn: names apart, the frontier's corners, hostile names."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from latentsmooth.errors import ConfigurationError
from latentsmooth.sweep import FrontierPoint, draw_frontier
from latentsmooth.sweep.draw import frontier_figure
from latentsmooth.sweep.page import html_page
from latentsmooth.sweep.panels import log_ticks, panels
from latentsmooth.sweep.result import SweepResult
from latentsmooth.sweep.table import markdown

HOSTILE = "<script>$x^{y$|`[a](b)\x1b[2J"


def points(count: int = 14) -> list[FrontierPoint]:
    """Close together, as real ones are: costs in one decade, accuracies in a few percent."""
    return [
        FrontierPoint(
            name=f"{'lsrs-haar' if n % 2 else 'resnet18'}-w{n / 8}",
            kind="LSRS" if n % 2 else "ISRS",
            images=500,
            input_radii=(0.0, 0.25),
            n_certified=(250 + 7 * n % 40, 150 + 11 * n % 30),
            seconds=0.05 * 1.2**n,
            samples=1100.0,
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("cost", ["seconds", "samples"])
def test_every_name_is_drawn_and_none_over_another(cost: str) -> None:
    figure = frontier_figure(points(), cost=cost)  # type: ignore[arg-type]
    figure.draw_without_rendering()
    for axes in figure.axes:
        frame = axes.get_window_extent()
        patches = [each.get_bbox_patch() for each in axes.texts]
        boxes = [patch.get_window_extent() for patch in patches if patch is not None]
        assert len(boxes) == 14
        for one, other in itertools.combinations(boxes, 2):
            across = min(one.x1, other.x1) - max(one.x0, other.x0)
            along = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert min(across, along) < 0.5
        for box in boxes:
            assert frame.x0 - 1 < box.x0
            assert box.x1 < frame.x1 + 1


@pytest.mark.parametrize("rule", ["fixed", "sequential"])
def test_an_average_radius_that_is_a_lower_value_is_called_so(rule: str) -> None:
    about = {"rule": {"rule": rule, **({} if rule == "fixed" else {"goal": "radii=0.0,0.25"})}}
    result = SweepResult(points=(*points(2),), input_radii=(0.0,), cost="seconds", about=about)
    for text in (markdown(result), html_page(result)):
        assert ("ACR ≥" in text) == ("compares with no ACR" in text) == (rule == "sequential")


def test_files_are_the_same_each_time_and_other_suffixes_refused(tmp_path: Path) -> None:
    some = points(4)
    for suffix in ("png", "svg"):
        for name in ("one", "two"):
            draw_frontier(some, tmp_path / f"{name}.{suffix}", radii=[0.25])
        one, two = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in ("one", "two"))
        assert one == two
    for arguments, message in [
        ((some, tmp_path / "x.gif"), "ending in"),
        (([], tmp_path / "x.png"), "wanted points"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            draw_frontier(*arguments)
    with pytest.raises(ConfigurationError, match="no figure for its cost in flops"):
        draw_frontier(some, tmp_path / "x.png", cost="flops")
    with pytest.raises(ConfigurationError, match=r"no figure at radius 0\.75"):
        draw_frontier(some, tmp_path / "x.png", radii=[0.75])


def test_a_panels_line_goes_through_its_frontier_in_steps() -> None:
    some = [
        FrontierPoint(
            name=name, kind="LSRS", images=10, input_radii=(0.0,), n_certified=(n,), flops=flops
        )
        for name, n, flops in (("a", 3, 1e9), ("b", 2, 2e9), ("c", 7, 4e9))
    ]
    [panel] = panels(some, radii=None, cost="flops")
    assert panel.lines["LSRS"] == ((1.0, 30.0), (4.0, 30.0), (4.0, 70.0), (panel.x.high, 70.0))
    assert [mark.leading for mark in panel.marks] == [True, False, True]
    assert panel.x.low < 1.0
    assert panel.y.high <= 100.0


@pytest.mark.parametrize("low", [1e-6, 0.03, 0.9, 7.0, 4e5])
@pytest.mark.parametrize("ratio", [1.6, 4.0, 90.0, 3e7])
def test_axes_have_a_few_round_ticks(low: float, ratio: float) -> None:
    ticks = log_ticks(low, low * ratio)
    assert 1 <= len(ticks) <= 12
    assert all(low <= tick <= low * ratio for tick in ticks)
    assert list(ticks) == sorted(set(ticks))


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    point = FrontierPoint(
        name=HOSTILE,
        kind="ISRS",
        images=10,
        input_radii=(0.0,),
        n_certified=(5,),
        seconds=1.0,
        details={"<b>": HOSTILE},
    )
    result = SweepResult(
        points=(point,), input_radii=(0.0,), cost="seconds", left_out={HOSTILE: HOSTILE}
    )
    page = html_page(result)
    assert "<script>" not in page
    assert "\x1b" not in page
    for start in range(page.count("<svg")):
        part = "<svg" + page.split("<svg")[start + 1].split("</svg>")[0] + "</svg>"
        ElementTree.fromstring(part)
    text = markdown(result)
    assert "<script>" not in text
    assert "\x1b" not in text
    assert r"\|" in text
    draw_frontier([point], tmp_path / "x.svg")
    ElementTree.parse(tmp_path / "x.svg")
