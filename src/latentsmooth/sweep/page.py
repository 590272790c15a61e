"""A self-contained HTML page of a sweep: a picture a radius, the tables, how each was made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

from latentsmooth.reporting import plain
from latentsmooth.sweep.panels import panels
from latentsmooth.sweep.points import KINDS, FrontierPoint
from latentsmooth.sweep.reach import reach_lines
from latentsmooth.sweep.result import SweepResult
from latentsmooth.sweep.svg import STYLE, inline_panel, key
from latentsmooth.sweep.table import (
    NOTE,
    RIVAL_HEADINGS,
    about_lines,
    lead_lines,
    point_headings,
    point_rows,
    rival_rows,
    rule_note,
)

__all__ = ["html_page"]

_LONGEST = 4000
"""Characters of a text: a saved classifier may come from anyone, a page must open."""
_TITLE = "Certified accuracy against cost"
_INTRO = (
    "LSRS runs an orthogonal encoder once an image and adds the noise to its latent; ISRS adds it "
    "to the pixels and runs the whole network on every copy. Each line is a kind's frontier: what "
    "its best classifier within a budget certifies."
)


def html_page(result: SweepResult) -> str:
    """Return one HTML document that needs no other file, no script and no network.

    Every name is escaped, so hostile folder, class or model names stay text.
    """
    style = files("latentsmooth.reporting").joinpath("page.css").read_text(encoding="utf-8")
    rivals = rival_rows(result)
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{_TITLE}</title>",
        f"<style>\n{style}{STYLE}</style>\n</head>\n<body>\n<main>",
        f"<h1>{_TITLE}</h1>",
        f"<p>{_INTRO}</p>",
        *_figures(result),
        "<h2>Whose frontier is above</h2>",
        _list(lead_lines(result)),
        "<h2>Classifiers</h2>",
        _table(point_headings(result), point_rows(result)),
        f'<p class="notes">{_text(NOTE)} {_text(rule_note(result))}</p>',
        *(f'<p class="notes">{_text(line)}</p>' for line in reach_lines(result)),
        *(
            ["<h2>LSRS at the cost of each ISRS classifier</h2>", _table(RIVAL_HEADINGS, rivals)]
            if rivals
            else []
        ),
        *_left_out(result),
        "<h2>How each was made</h2>",
        _list(about_lines(result)),
        *(_facts(point) for point in result.points),
        "</main>\n</body>\n</html>",
    ]
    return "\n".join(parts) + "\n"


def _figures(result: SweepResult) -> list[str]:
    kinds = [kind for kind in KINDS if any(point.kind == kind for point in result.points)]
    legend = "".join(f"<li>{key(kind)}{kind}</li>" for kind in kinds)
    legend += "<li>hollow: behind its frontier; bars: 95 % intervals</li>"
    parts = [f'<ul class="legend">{legend}</ul>']
    for panel in panels(result.points, radii=result.input_radii, cost=result.cost):
        parts += [
            f"<h2>{_text(panel.title)}</h2>",
            f'<figure class="curve">\n{inline_panel(panel, result.cost)}\n</figure>',
        ]
    return parts


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{_text(heading)}</th>' for heading in headings)
    body = "\n".join(
        f'<tr><th scope="row">{_text(row[0])}</th>'
        + "".join(f"<td>{_text(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n'
        "</tbody></table></div>"
    )


def _left_out(result: SweepResult) -> list[str]:
    if not result.left_out:
        return []
    return ["<h2>Left out</h2>", _list([f"{name}: {why}" for name, why in result.left_out.items()])]


def _facts(point: FrontierPoint) -> str:
    rows = {
        "classifier sha256": point.artifact_hash,
        "build": f"{point.build}, width {point.width}",
        **{name.replace("_", " "): value for name, value in point.details.items()},
    }
    items = "".join(
        f"<dt>{_text(name)}</dt><dd>{_text(_told(value))}</dd>" for name, value in rows.items()
    )
    return f"<details><summary>{_text(point.name)}</summary><dl>{items}</dl></details>"


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _list(lines: Sequence[str]) -> str:
    return '<ul class="notes">' + "".join(f"<li>{_text(line)}</li>" for line in lines) + "</ul>"


def _text(text: str) -> str:
    cut = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return escape(plain(cut))
