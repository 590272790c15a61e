"""Logs of images without labels: nothing is called wrong, and shares are of all images."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from latentsmooth.certification.rules import SequentialRule, parse_goal
from latentsmooth.reporting import draw_curves, html_page, render, summarize
from latentsmooth.reporting.svg import inline_svg
from tests.records.makers import manifest
from tests.reporting.makers import EIGHT, WIDE, view

UNLABELLED = view([replace(each, label=None) for each in EIGHT], start=WIDE)
HEADING = "Images certified, be the class right or wrong"


def test_tables_of_logs_without_labels_have_shares_and_no_accuracy() -> None:
    found = [summarize(UNLABELLED)]
    text = render(found, "table")
    assert "of any class, radius ≥ 0.25 (%)" in text
    for absent in ("clean", "certified at", "average certified radius", "ACR", "–"):
        assert absent not in text
    lines = render(found, "md").splitlines()
    # Six of eight answer, of which three from 0.25 on: 0.5, 1.3 and 2.
    assert lines[0].startswith("| log | 0 | 0.25 | 0.5 | 0.75 | 1 | abstain |")
    assert lines[2].startswith("| ours | 75.00 | 37.50 | 37.50 | 25.00 | 25.00 | 25.00 |")
    assert HEADING in render(found, "md")
    assert HEADING in render(found, "latex")
    [log] = json.loads(render(found, "json"))["logs"]
    assert [each["count_of_any_class"] for each in log["certified"]] == [6, 3, 3, 2, 2]
    assert {each["accuracy"] for each in log["certified"]} == {None}
    assert log["average_certified_radius"] is None


def test_beside_a_labelled_log_there_is_no_figure_and_a_note() -> None:
    both = [summarize(view(start=WIDE, name="labelled")), summarize(UNLABELLED)]
    text = render(both, "md")
    assert "| labelled | 62.50 | 25.00 |" in text
    assert "| ours | – | – | – | – | – | – | – | 25.00 |" in text
    assert "Certified, be the class right or wrong: 75.00 % at 0, 37.50 % at 0.25" in text


def test_curves_are_of_all_images_and_say_so() -> None:
    [axes] = draw_curves([UNLABELLED]).axes
    assert axes.get_ylabel() == "images certified, right or wrong (%)"
    [line] = axes.get_lines()
    assert np.asarray(line.get_ydata())[:2].tolist() == [75.0, 75.0]
    drawn = inline_svg([UNLABELLED])
    assert "images certified, right or wrong (%)" in drawn
    assert "series s0" in drawn
    page = html_page([summarize(UNLABELLED)], [UNLABELLED], title="x", intro="y")
    assert f"<h2>{HEADING}</h2>" in page
    [axes] = draw_curves([UNLABELLED, view(start=WIDE)]).axes
    assert axes.get_ylabel() == "certified accuracy (%)"
    assert [np.size(line.get_xdata()) > 0 for line in axes.get_lines()] == [False, True]


def test_no_images_are_no_unlabelled_ones() -> None:
    assert "certified at 0.25" in render([summarize(view([]))], "table")


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        ("decide", "ours: the goal decide proves classes and no radius above 0."),
        ("precision=0.05", "ours: no image could be certified at 1: 10,000 samples prove"),
    ],
)
def test_radii_that_no_votes_could_prove_are_said(goal: str, said: str) -> None:
    rule = SequentialRule(goal=parse_goal(goal), n_max=10_000)
    log = view([], start=manifest(rule=rule.settings()))
    assert said in " ".join(render([summarize(log, input_radii=(0.5, 1.0))], "table").split())
