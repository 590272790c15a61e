from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from latentsmooth.records import LogView, PublishedCertificate
from latentsmooth.reporting import html_page, summarize
from latentsmooth.reporting.svg import inline_svg
from tests.records.makers import certificate, manifest
from tests.reporting.makers import HOSTILE, published, view

VOID = {"meta"}


class Outline(HTMLParser):
    """The elements, attributes and text of a page, complaining where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def page(*logs: LogView, title: str = "A title", intro: str = "One.\n\nTwo.") -> Outline:
    outline = Outline(html_page([summarize(log) for log in logs], logs, title=title, intro=intro))
    assert outline.open == []
    return outline


def test_the_page_has_curve_table_notes_and_facts() -> None:
    found = page(view(), published())
    text = "\n".join(found.words)
    assert {"svg", "table", "details", "style"} <= set(found.tags)
    assert found.tags.count("p") == 2
    for shown in ("A title", "62.50", "0.287500", "lsrs-haar", "a1" * 32, "theirs", "1.0000006"):
        assert shown in text
    assert "doesn't say how it was made" in text
    assert "with confidence 99.9 %" in text


def test_the_page_needs_nothing_else() -> None:
    found = page(view())
    assert not {"script", "link", "img", "iframe"} & set(found.tags)
    assert not {"href", "src"} & {name for name, _ in found.attributes}
    assert "url(" not in "".join(found.words)
    assert "@import" not in "".join(found.words)


@pytest.mark.parametrize("hostile", [HOSTILE, '"><img src=x onerror=alert(1)>', "</style><b>"])
def test_hostile_names_stay_text(hostile: str) -> None:
    start = manifest(
        class_names=(hostile,) * 10,
        model_name=hostile,
        data_source=hostile,
        command=hostile,
        machine={hostile: hostile},
        versions={"latentsmooth": hostile, "torch": "2", hostile: "1"},
    )
    hostile_page = page(view(name=hostile, start=start), title=hostile, intro=hostile)
    assert hostile_page.tags == page(view(), intro="one").tags
    assert not any(name.startswith("on") for name, _ in hostile_page.attributes)
    assert "\x1b" not in "".join(hostile_page.words)


def test_long_class_lists_are_cut_and_missing_ones_said() -> None:
    many = manifest(class_names=tuple(f"class{i}" for i in range(1000)))
    assert "… (1,000 in all)" in "".join(page(view(start=many)).words)
    assert "not named" in "".join(page(view(start=manifest(class_names=()))).words)


def test_the_inline_curve_ends_on_the_axis_and_falls_at_each_radius() -> None:
    svg = inline_svg([view()])
    found = re.search(r'class="series s0 d0" d="M([\d.]+) ([\d.]+)([^"]*)"', svg)
    assert found is not None
    x0, y0, rest = float(found[1]), float(found[2]), found[3]
    scale = (720 - 56 - 16) / (1.3 * 1.05)
    height = 360 - 16 - 48
    assert (x0, y0) == (56, round(312 - height * 5 / 8, 2))
    steps = [(float(x), float(y)) for x, y in re.findall(r"H([\d.]+)V([\d.]+)", rest)]
    falls = ((0.1, 4), (0.2, 2), (0.5, 1), (1.3, 0))
    for step, (radius, left) in zip(steps, falls, strict=True):
        assert step == pytest.approx((56 + radius * scale, 312 - height * left / 8), abs=0.01)
    assert re.fullmatch(r"(?:H[\d.]+V[\d.]+)+H704\.0", rest)  # across first, then down


@pytest.mark.parametrize("radius", [1e-5, 0.003, 0.2, 0.95, 1.0, 7.7, 123.0, 1e6])
def test_axes_have_a_few_round_ticks_at_every_scale(radius: float) -> None:
    log = view([certificate(0, latent_radius=radius * 2, input_radius=radius)])
    ticks = re.findall(r'text-anchor="middle">([\d.e+-]+)</text>', inline_svg([log]))
    assert 4 <= len(ticks) <= 11
    assert float(ticks[-1]) <= radius * 1.05 + 1e-12
    assert max(map(len, ticks)) <= 9


@pytest.mark.parametrize("radius", [5e-324, 1e-300, 1e300, 1.79e308])
def test_radii_that_no_image_has_are_drawn(radius: float) -> None:
    row = PublishedCertificate(index=0, label=1, prediction=1, input_radius=radius, seconds=1.0)
    svg = inline_svg([LogView(name="odd", manifest=None, certificates=(row,))])
    (path,) = re.findall(r'class="series s0 d0" d="([^"]+)"', svg)
    numbers = [float(each) for each in re.findall(r"[\d.]+", path)]
    assert all(0 <= each <= 720 for each in numbers)
    assert len(re.findall(r'text-anchor="middle">([\d.e+-]+)</text>', svg)) >= 4


def test_pages_without_curves() -> None:
    assert "series" not in inline_svg([view([])])
    assert page(view([])).tags.count("table") == 1
