"""``latentsmooth audit``: each module's Lipschitz factor and the product."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table
from rich.text import Text

from latentsmooth.cli.arguments import (
    add_positional,
    files_of,
    load_classifier,
    refuse_overwriting,
    require,
    write_text,
)
from latentsmooth.lipschitz import ModuleBound, chain_bound, module_bounds
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.records.rounding import ceil_text
from latentsmooth.reporting import plain

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "run"]

HELP = "print each encoder module's Lipschitz factor and the product"
DESCRIPTION = """
Verify a classifier's encoder anew from its weights: the l2 Lipschitz factor of every module, in
the order in which an image meets them, and their product, by which every radius is divided.
Example: latentsmooth audit runs/haar
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the flags."""
    add_positional(parser, "model", help="model folder or hub id")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--output", type=str | None, default=None, help="write to this file")


def run(options: Namespace, *, command: str) -> int:
    """Audit and print."""
    require(options, ("model",))
    refuse_overwriting(options.output, files_of(options.model))
    model = load_classifier(options.model, "cpu")
    factors = module_bounds(model.encoder)
    if options.json:
        facts = {
            "model": options.model,
            "build": model.build,
            "latent_sigma": model.latent_sigma,
            "image_shape": list(model.image_shape),
            "latent_shape": list(model.latent_shape),
            "lipschitz_bound": chain_bound(factors),
            "modules": [dataclasses.asdict(factor) for factor in factors],
        }
        text = json.dumps(facts, indent=2) + "\n"
        if options.output:
            write_text(options.output, text)
        else:
            print(text, end="")
        return 0
    console = Console(record=True, highlight=False)
    console.print(_table(options.model, model, factors))
    if options.output:
        write_text(options.output, console.export_text())
    return 0


def _table(name: str, model: LatentSmoothedClassifier, factors: Sequence[ModuleBound]) -> Table:
    table = Table(
        title=Text(f"Encoder of {plain(name)}"), caption="l2 Lipschitz factors, rounded up"
    )
    for heading in ("module", "kind", "settings"):
        table.add_column(heading, overflow="fold")
    table.add_column("factor", justify="right", no_wrap=True, min_width=10)
    for factor in factors:
        table.add_row(
            factor.path or "(encoder)",
            factor.kind,
            Text(plain(factor.description)),
            ceil_text(factor.bound, 8),
        )
    table.add_section()
    shape = "x".join(map(str, model.latent_shape))
    table.add_row("product", "", f"latent {shape}", ceil_text(chain_bound(factors), 8))
    return table
