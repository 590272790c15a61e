"""Names made to steer terminals, pages and spreadsheets stay names, in every format."""

from __future__ import annotations

import csv
import io
import unicodedata
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import get_args

import pytest

from latentsmooth.reporting import html_page, summarize
from latentsmooth.reporting.curve import save_curves
from latentsmooth.reporting.formats import TableFormat, render
from latentsmooth.reporting.svg import inline_svg
from tests.records.makers import manifest
from tests.reporting.makers import view
from tests.reporting.test_page import Outline

NAMES = {
    "colours": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "one-byte escapes": "\x9b31m\x90q\x9c",
    "turned around": "\u202egnp.exe\u2066x\u2069\u200f",
    "invisible": "a\u200b\ufeff\u00adb\U000e0041",
    "lines": "a\nb\rc\u2028d\u2029e\x85f\x0bg\x0ch",
    "lone surrogate": "a\ud800b",
    "NUL": "a\0b",
    "script": "<script>alert(1)</script>",
    "attribute": "\"'><svg onload=alert(1)>",
    "comment": "--><!-- ]]> </title></svg></style>",
    "entity": "&lt;script&gt; &#x3c;b",
    "markup": "[bold red]x[/] [link=file:///etc/passwd]y[/link]",
    "markdown": "![x](http://x/?q) `code` | a | <b> ~~y~~ &amp; #1 $x$",
    "latex": r"\input{/etc/passwd} $\frac ^^M % & # _ { } ~",
    "mathtext": "$\\frac{$",
    "huge": "x" * 100_000,
}
FORMULAS = ["=1+1", "+1", "-1+1", "@SUM(A1)", '=HYPERLINK("http://x";"y")']
STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def steering(text: str) -> set[str]:
    """Characters that act on a terminal or on the order of text, but for line breaks of ours."""
    return {letter for letter in text if unicodedata.category(letter) in STEERING} - {"\n"}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("format_name", get_args(TableFormat))
def test_no_format_passes_steering_characters(format_name: TableFormat, kind: str) -> None:
    name = NAMES[kind]
    start = manifest(model_name=name, data_source=name)
    text = render([summarize(view(name=name, start=start))], format_name)
    assert not steering(text)
    plain = render([summarize(view())], format_name)
    if format_name != "table":  # a terminal's lines are folded
        assert text.count("\n") == plain.count("\n")


@pytest.mark.parametrize("kind", NAMES)
def test_pages_and_curves_are_well_formed_whatever_the_names(kind: str, tmp_path: Path) -> None:
    name = NAMES[kind]
    hostile = view(name=name, start=manifest(model_name=name, class_names=(name,) * 10))
    page = html_page([summarize(hostile)], [hostile], title=name, intro=name)
    assert not steering(page)
    assert len(page) < 200_000 + 2 * 100_000 * (kind == "huge")
    ordinary = view(start=manifest(class_names=("a",) * 10))
    read = Outline(page)
    assert (
        read.tags
        == Outline(html_page([summarize(ordinary)], [ordinary], title="a", intro="a")).tags
    )
    assert not any(key.startswith("on") for key, _ in read.attributes)
    [title] = ElementTree.fromstring(inline_svg([hostile])).iter("title")
    assert title.text is not None
    save_curves([hostile], tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text("utf-8")
    assert not steering(drawn)
    assert "onload=alert" not in {
        key for element in ElementTree.fromstring(drawn).iter() for key in element.attrib
    }


@pytest.mark.parametrize("name", FORMULAS)
def test_spreadsheets_see_text(name: str) -> None:
    start = manifest(model_name=name)
    text = render([summarize(view(name=name, start=start))], "csv")
    [row] = csv.DictReader(io.StringIO(text))
    assert row["name"] == row["model"] == f"'{name}"
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row.values())
