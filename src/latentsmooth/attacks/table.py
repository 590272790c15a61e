"""An attack in a few lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from rich.table import Table
from rich.text import Text

from latentsmooth.attacks.result import AttackedCertificate, AttackReport
from latentsmooth.records.rounding import ceil_text, floor_text
from latentsmooth.reporting import plain

__all__ = ["summary_notes", "summary_table"]

_MOST_NAMED = 10
_OF_THE_PROGRAM = ("noise_definition", "lattice_step", "deductions", "lipschitz_bound")
"""Facts that log and program both have, and that change what the votes or radii are."""


def summary_table(report: AttackReport) -> Table:
    """The figures of an attack; shares that accuse are rounded down."""
    totals = report.totals()
    attacked = totals["attacked"]
    table = Table(show_header=False, title=Text(plain(str(report.log["name"]))))
    table.add_column()
    table.add_column(justify="right")
    factor = float(report.settings.get("control", 1.0))
    rows = [("certificates attacked", str(attacked))]
    if factor != 1:
        rows.append((f"flipped within {factor:g} times their radius", _share(report)))
    rows.append(("falsified: flipped within their radius", str(totals["falsified"])))
    rows.append(("flips found at any distance", str(totals["flips_found"])))
    for title, name in (
        ("nearest flip, in certified radii", "nearest_flip_in_radii"),
        ("median of those found, in certified radii", "median_flip_in_radii"),
    ):
        value = totals[name]
        rows.append((title, "–" if value is None else ceil_text(value, 3)))
    rows.append(("answers asked of the program", str(totals["answers"])))
    rows.append(("of them abstentions, which are no flips", str(totals["abstentions"])))
    rows.append(("seconds", ceil_text(totals["seconds"], 1)))
    for title, value in rows:
        table.add_row(Text(title), Text(value))
    return table


def summary_notes(report: AttackReport) -> list[str]:
    """What the figures mean: the verdict, which certificates are wrong, and what may mislead."""
    alpha, attacked = float(report.log["alpha"]), len(report.images)
    notes = []
    if report.falsified:
        allowed = math.floor(alpha * attacked * 1000) / 1000
        notes.append(
            f"FALSIFIED: images {_named(report.falsified)}. Each certificate may be wrong with "
            f"probability {alpha:g}: at most {allowed:g} of {attacked} are to be expected."
        )
    else:
        notes.append(
            f"No certificate falsified among {attacked}. That proves none of them: it is what an "
            "attack of this strength did not find."
        )
    notes.append(
        f"All flips reported are the program's own answers; that any of them is none has "
        f"probability at most {alpha:g}."
    )
    then, now = report.versions.get("log", {}), report.versions.get("attack", {})
    other = [name for name in ("latentsmooth", "torch") if then.get(name) != now.get(name)]
    for name in other:
        notes.append(f"The log was made with {name} {then.get(name)}, attacked with {now[name]}.")
    names = [name for name in _OF_THE_PROGRAM if report.log.get(name) != report.program.get(name)]
    if names:
        notes.append(
            "The log is of another program than the one attacked: "
            + ", ".join(name.replace("_", " ") for name in names)
            + " are not the same. Flips are answers of the program as it is now."
        )
    return notes


def _share(report: AttackReport) -> str:
    flipped, attacked = len(report.flipped_inside), len(report.images)
    return f"{flipped} ({floor_text(Fraction(100 * flipped, attacked), 1)} %)" if attacked else "0"


def _called(image: AttackedCertificate) -> str:
    return f"{image.index} {plain(image.name)}" if image.name else str(image.index)


def _named(images: Sequence[AttackedCertificate]) -> str:
    named = [
        f"{_called(one)} (radius {one.input_radius:.6g}, flip at {one.flip.input_distance:.6g})"
        for one in images[:_MOST_NAMED]
        if one.flip is not None
    ]
    more = len(images) - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")
