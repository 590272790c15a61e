"""``latentsmooth predict``: class, probability bound and certified radius of image files."""

from __future__ import annotations

import json

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table
from rich.text import Text

from latentsmooth.certification import Certificate, Certifier, LabelledTensor
from latentsmooth.cli.arguments import (
    add_confidence,
    add_head_arguments,
    add_positional,
    engine_of,
    load_classifier,
    require,
    rule_of,
)
from latentsmooth.images import load_image_files
from latentsmooth.records.rounding import ceil_text, floor_text
from latentsmooth.reporting import plain

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "run"]

HELP = "classify image files, with certified radii"
DESCRIPTION = """
Classify image files with the smoothed classifier. Each is resized (shorter side) and centre
cropped to the classifier's image size; the radius is over the pixels after that, in [0, 1].
Example: latentsmooth predict runs/haar photo.png other.jpg
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the flags."""
    add_positional(parser, "model", help="model folder or hub id")
    add_positional(parser, "images", many=True, help="image files")
    add_confidence(parser, n_estimate=10_000)
    add_head_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of a table")


def run(options: Namespace, *, command: str) -> int:
    """Predict and print."""
    require(options, ("model", "images"))
    model = load_classifier(options.model, options.device)
    images = load_image_files(options.images, image_shape=model.image_shape)
    rule = rule_of(options)
    certifier = Certifier(
        model, workload=len(images) * (rule.n_select + rule.n_max), **engine_of(options)
    )
    table = Table(caption=_caption(options.alpha, certifier.lipschitz_bound))
    for heading in ("image", "class", "probability ≥", "radius ≥"):
        table.add_column(heading, justify="left" if heading in ("image", "class") else "right")
    items = (LabelledTensor(image=item.image, index=item.index) for item in images)
    for item, made in zip(images, certifier.certify(items, rule), strict=True):
        answer = None if made.prediction is None else model.class_names[made.prediction]
        if options.json:
            print(json.dumps({"image": item.name, "class": answer, **_facts(made)}))
        else:
            table.add_row(
                Text(plain(item.name)),
                Text(plain(answer) if answer is not None else "(abstains)"),
                floor_text(made.p_lower, 4),
                floor_text(made.input_radius, 3),
            )
    if not options.json:
        Console(highlight=False).print(table)
    return 0


def _facts(made: Certificate) -> dict[str, object]:
    return {
        "prediction": made.prediction,
        "p_lower": made.p_lower,
        "rival_upper": made.rival_upper,
        "latent_radius": made.latent_radius,
        "input_radius": made.input_radius,
        "votes": made.votes,
        "n_used": made.n_used,
        "alpha": made.alpha,
        "reason": made.reason,
        "seconds": made.seconds,
    }


def _caption(alpha: float, bound: float) -> str:
    return (
        f"l2 radius over pixels in [0, 1], wrong with probability at most {alpha:g} an image; "
        f"encoder's Lipschitz bound {ceil_text(bound, 7)}"
    )
