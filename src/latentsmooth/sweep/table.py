"""The sweep's tables: every classifier, and who certifies more for its cost."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from latentsmooth.records.rounding import ceil_text, floor_text
from latentsmooth.records.settled import lowers_radii
from latentsmooth.reporting import plain
from latentsmooth.reporting.cells import MISSING, number
from latentsmooth.sweep.pareto import Lead, Rivalry, frontier, leads, of_kind, rivalries
from latentsmooth.sweep.points import COSTS, KINDS, Cost, FrontierPoint
from latentsmooth.sweep.reach import reach_lines
from latentsmooth.sweep.result import FIGURES, SweepResult, mapping

__all__ = [
    "NOTE",
    "RIVAL_HEADINGS",
    "UNITS",
    "about_lines",
    "accuracy_text",
    "cost_text",
    "lead_lines",
    "markdown",
    "point_headings",
    "point_rows",
    "rival_rows",
    "rule_note",
    "tables",
]

UNITS: dict[Cost, tuple[str, float]] = {
    "seconds": ("s per image", 1.0),
    "flops": ("GFLOP per image", 1e-9),
    "samples": ("samples per image", 1.0),
}
RIVAL_HEADINGS = (
    "radius", "ISRS", "its cost", "its %", "best LSRS for no more", "its cost", "its %",
    "LSRS − ISRS", "cheapest LSRS as accurate", "times cheaper",
)  # fmt: skip
_CHEAPEST = 8
_NAMES = ("classifier", "ISRS", "best LSRS for no more")
NOTE = (
    "Certified accuracy in %, rounded down; ± is half the 95 % interval (Clopper and Pearson) over "
    "the choice of images, rounded up. The images are the same for all, so differences are surer "
    "than the intervals alone say. * marks a classifier on its kind's frontier: none of its kind "
    "certifies as much for less."
)


def markdown(result: SweepResult) -> str:
    """Return the tables as a page of Markdown, figures included by name."""
    points = [[_escaped(cell) for cell in row] for row in point_rows(result)]
    rivals = [[_escaped(cell) for cell in row] for row in rival_rows(result)]
    parts = [
        "# Certified accuracy against cost",
        "  \n".join(_escaped(line) for line in about_lines(result)),
        f"![Certified accuracy against cost, a panel a radius]({FIGURES[0]})",
        "## Classifiers",
        _pipe(point_headings(result), points),
        NOTE,
        *([_escaped(rule_note(result))] if rule_note(result) else []),
        *map(_escaped, reach_lines(result)),
        "## Whose frontier is above",
        "\n".join(f"- {_escaped(line)}" for line in lead_lines(result)),
        *(["## LSRS at the cost of each ISRS classifier", _pipe(RIVAL_HEADINGS, rivals)]
          if rivals else []),
        *(["## Left out", "\n".join(f"- {_escaped(f'{name}: {why}')}"
                                      for name, why in result.left_out.items())]
          if result.left_out else []),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def tables(result: SweepResult) -> list[Table]:
    """Return the tables for a terminal."""
    made = [
        _terminal("Certified accuracy against cost", point_headings(result), point_rows(result))
    ]
    rivals = rival_rows(result)
    if rivals:
        # Without the cheapest one's name, for which a terminal is too narrow.
        shown = [[cell for n, cell in enumerate(row) if n != _CHEAPEST] for row in rivals]
        headings = [name for n, name in enumerate(RIVAL_HEADINGS) if n != _CHEAPEST]
        made.append(_terminal("LSRS at the cost of each ISRS classifier", headings, shown))
    return made


def point_headings(result: SweepResult) -> list[str]:
    """Return the first table's headings."""
    radii = [f"{radius:g}" for radius in result.input_radii]
    acr = "ACR ≥" if lowers_radii(mapping(result.about.get("rule"))) else "ACR"
    return ["classifier", "kind", "σ", *(UNITS[cost][0] for cost in COSTS), *radii, acr]


def point_rows(result: SweepResult) -> list[list[str]]:
    """Return a row a classifier, cheapest first."""
    leading = {
        radius: {
            each.name
            for kind in KINDS
            for each in frontier(
                of_kind(result.points, kind), input_radius=radius, cost=result.cost
            )
        }
        for radius in result.input_radii
    }
    ordered = sorted(result.points, key=lambda point: (point.cost(result.cost), point.name))
    return [
        [
            plain(point.name),
            point.kind,
            MISSING if point.latent_sigma is None else f"{point.latent_sigma:g}",
            *(cost_text(point, cost) for cost in COSTS),
            *(
                accuracy_text(point, radius, mark="*" if point.name in leading[radius] else "")
                for radius in result.input_radii
            ),
            _acr(point),
        ]
        for point in ordered
    ]


def rival_rows(result: SweepResult) -> list[list[str]]:
    """Return a row for each ISRS classifier and radius: what LSRS reaches for its cost."""
    return [
        _rival_row(each)
        for radius in result.input_radii
        for each in rivalries(result.points, input_radius=radius, cost=result.cost)
    ]


def rule_note(result: SweepResult) -> str:
    """Return what to know of a rule that stops early; nothing where it does not."""
    rule = mapping(result.about.get("rule"))
    if not lowers_radii(rule):
        return ""
    goal = f", {rule['goal']}," if "goal" in rule else ""
    return (
        f"ACR, the average certified radius, is a lower value: the rule {rule.get('rule')}{goal} "
        "stops before an image's radius is as large as its most samples would prove. It compares "
        "with no ACR of another rule."
    )


def lead_lines(result: SweepResult) -> list[str]:
    """Return a sentence a radius on whose frontier is above, by budget."""
    return [
        f"radius {radius:g}: {lead_text(found, result.cost)}"
        for radius in result.input_radii
        if (found := leads(result.points, input_radius=radius, cost=result.cost))
    ]


def lead_text(found: Sequence[Lead], cost: Cost) -> str:
    """Say whose frontier is above in which range of budgets."""
    unit, scale = UNITS[cost]
    said = []
    for lead in found:
        start = number(lead.start * scale)
        where = (
            f"from {start} {unit} on"
            if lead.end is None
            else f"from {start} to {number(lead.end * scale)} {unit}"
        )
        said.append(f"{lead.leader or 'neither'} {where}")
    return "; ".join(said)


def accuracy_text(point: FrontierPoint, radius: float, *, mark: str = "") -> str:
    """Write a certified accuracy and half its interval, in percent.

    >>> accuracy_text(FrontierPoint(name="a", kind="LSRS", images=100, input_radii=(0.0,),
    ...                             n_certified=(50,)), 0.0)
    '50.0 ±10.2'
    """
    low, high = point.interval(radius)
    return f"{_percent(point, radius)}{mark} ±{ceil_text(50 * (high - low), 1)}"


def cost_text(point: FrontierPoint, cost: Cost) -> str:
    """Write what an image costs, in the unit of `UNITS`."""
    value = getattr(point, cost)
    return number(None if value is None else value * UNITS[cost][1])


def _rival_row(rival: Rivalry) -> list[str]:
    radius, cost = rival.input_radius, rival.cost
    row = [
        f"{radius:g}",
        plain(rival.isrs.name),
        cost_text(rival.isrs, cost),
        _percent(rival.isrs, radius),
    ]
    if rival.lsrs is None or rival.gain is None:
        row += ["none costs as little", MISSING, MISSING, MISSING]
    else:
        row += [
            plain(rival.lsrs.name),
            cost_text(rival.lsrs, cost),
            _percent(rival.lsrs, radius),
            f"{float(100 * rival.gain):+.1f}",
        ]
    if rival.cheapest is None or rival.times_cheaper is None:
        return [*row, "none is", MISSING]
    return [*row, plain(rival.cheapest.name), number(rival.times_cheaper)]


def _percent(point: FrontierPoint, radius: float) -> str:
    return floor_text(point.accuracy(radius) * 100, 1)


def _acr(point: FrontierPoint) -> str:
    value = point.details.get("average_certified_radius")
    return floor_text(value, 3) if isinstance(value, float) else MISSING


def about_lines(result: SweepResult) -> list[str]:
    """Return what a reader needs to judge the figures, a line each."""
    about = result.about
    data, machine = mapping(about.get("data")), mapping(about.get("machine"))
    rule, versions = mapping(about.get("rule")), mapping(about.get("versions"))
    images, labelled = data.get("images", "?"), data.get("labelled")
    of = (
        f"; accuracies are over the {labelled} with a label"
        if labelled not in (None, images)
        else ""
    )
    return [
        f"{images} images of {data.get('source', '?')}, split {data.get('split', '?')}{of}; radii "
        "are l2 over pixels in [0, 1].",
        "Statistics: " + ", ".join(f"{name} {value}" for name, value in rule.items()) + ".",
        "Machine: " + ", ".join(f"{name} {value}" for name, value in machine.items()) + ".",
        "Versions: " + ", ".join(f"{name} {value}" for name, value in versions.items()) + ".",
        f"Written {result.created} by: {about.get('command') or 'a program'}",
    ]


def _escaped(text: str) -> str:
    escaped = re.sub(r"([\\`*_{}\[\]<>#|~$!])", r"\\\1", plain(text))
    return escaped.replace("&", "&amp;")


def _pipe(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(headings), ["---", *("--:" for _ in headings[1:])], *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _terminal(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich import box

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, heading in enumerate(headings):
        table.add_column(
            Text(heading),
            justify="right" if place else "left",
            overflow="fold",
            no_wrap=heading in _NAMES,
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
