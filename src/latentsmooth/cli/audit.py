"""``latentsmooth audit``: each module's Lipschitz bounds from above and below, and the product."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table
from rich.text import Text

from latentsmooth.cli.arguments import (
    UsageError,
    add_positional,
    files_of,
    load_classifier,
    refuse_overwriting,
    require,
    write_text,
)
from latentsmooth.lipschitz import AuditRow, audit
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.records.rounding import ceil_text, floor_text
from latentsmooth.reporting import plain

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "run"]

HELP = "print each encoder module's Lipschitz factor and the product"
DESCRIPTION = """
Verify a classifier's encoder anew from its weights: the l2 Lipschitz factor of every module, in
the order in which an image meets them, and their product, by which every radius is divided.
Beside each stands how far a power iteration could stretch an input, and the gap between the two.
Example: latentsmooth audit runs/haar
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the flags."""
    add_positional(parser, "model", help="model folder, hub id or packaged:NAME")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--output", type=str | None, default=None, help="write to this file")
    parser.add_argument(
        "--iterations",
        type=int,
        default=20,
        help="of the power method behind each lower bound; 0 leaves them out",
    )


def run(options: Namespace, *, command: str) -> int:
    """Audit and print."""
    require(options, ("model",))
    if options.iterations < 0:
        raise UsageError(f"wanted --iterations of at least 0, got {options.iterations}")
    refuse_overwriting(options.output, kept=files_of(options.model))
    model = load_classifier(options.model, "cpu")
    *rows, whole = audit(model.encoder, model.image_shape, iterations=options.iterations)
    if options.json:
        text = json.dumps(_facts(options.model, model, rows, whole), indent=2) + "\n"
        if options.output:
            write_text(options.output, text)
        else:
            print(text, end="")
        return 0
    console = Console(record=True, highlight=False)
    console.print(_table(options.model, model, rows, whole))
    if options.output:
        write_text(options.output, console.export_text())
    return 0


def _facts(
    name: str, model: LatentSmoothedClassifier, rows: Sequence[AuditRow], whole: AuditRow
) -> dict[str, Any]:
    return {
        "model": name,
        "build": model.build,
        "latent_sigma": model.latent_sigma,
        "image_shape": list(model.image_shape),
        "latent_shape": list(model.latent_shape),
        "lipschitz_bound": whole.bound,
        "lower_bound": whole.lower_bound,
        "gap": whole.gap,
        "modules": [{**dataclasses.asdict(row), "gap": row.gap} for row in rows],
    }


def _table(
    name: str, model: LatentSmoothedClassifier, rows: Sequence[AuditRow], whole: AuditRow
) -> Table:
    searched = whole.lower_bound is not None
    table = Table(
        title=Text(f"Encoder of {plain(name)}"),
        caption="l2 Lipschitz factors, rounded up"
        + ("; largest stretch found, rounded down" if searched else ""),
        padding=(0, 0, 0, 1),
    )
    table.add_column("module", overflow="fold")
    table.add_column("kind", no_wrap=True)
    table.add_column("settings", overflow="fold")
    for heading, width in (("factor", 10), ("found", 8), ("gap", 7))[: 3 if searched else 1]:
        table.add_column(heading, justify="right", no_wrap=True, min_width=width)
    for row in rows:
        table.add_row(
            Text("  " * row.depth + plain(row.path or "(encoder)")),
            Text(plain(row.kind)),
            Text(plain(row.description)),
            *_numbers(row, searched),
        )
    table.add_section()
    shape = "x".join(map(str, model.latent_shape))
    table.add_row("product", "", f"latent {shape}", *_numbers(whole, searched))
    return table


def _numbers(row: AuditRow, searched: bool) -> list[str]:
    bound = ceil_text(row.bound, 8)
    found = "" if row.lower_bound is None else floor_text(row.lower_bound, 6)
    gap = "" if row.gap is None else f"{row.gap:.1e}"
    return [bound, found, gap] if searched else [bound]
