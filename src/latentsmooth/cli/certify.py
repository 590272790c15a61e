"""``latentsmooth certify``: certificates of a data set, into a log."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console

from latentsmooth.certification import Certificate
from latentsmooth.cli.arguments import (
    add_confidence,
    add_data_selection,
    add_head_arguments,
    add_positional,
    command_line,
    data_help,
    engine_of,
    files_of,
    load_classifier,
    refuse_overwriting,
    require,
    rule_of,
    selected_images,
)
from latentsmooth.cli.progress import certification_progress
from latentsmooth.images import UnknownClasses
from latentsmooth.records import certify_to_log, write_tsv
from latentsmooth.records.rounding import floor_text

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "run"]

HELP = "certify the images of a data set and write a certificate log"
DESCRIPTION = """
Certify images: for each, prove an l2 radius over pixels in [0, 1] inside which the smoothed
classifier's answer cannot change, wrong with probability at most alpha. The log is written image
by image; after an interruption the same command goes on where it stopped.
Example: latentsmooth certify runs/haar fashion-mini --log haar.jsonl --limit 100
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the flags."""
    add_positional(parser, "model", help="model folder, hub id or packaged:NAME")
    add_positional(parser, "data", help=data_help())
    parser.add_argument(
        "--log", type=str | None, default=None, help="certificate log to write or resume (JSONL)"
    )
    parser.add_argument(
        "--tsv", type=str | None, default=None, help="also write the field's TSV, radii floored"
    )
    add_data_selection(parser, split="test")
    parser.add_argument(
        "--unknown-classes",
        type=UnknownClasses,
        default="refuse",
        help="what becomes of images whose class the classifier does not know: refuse, or certify "
        "them as unlabelled",
    )
    add_confidence(parser, n_estimate=100_000)
    add_head_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(options: Namespace, *, command: str) -> int:
    """Certify and say what came of it."""
    require(options, ("model", "data", "log"))
    refuse_overwriting(options.tsv, kept=[options.log, *files_of(options.model)])
    images = selected_images(options)
    model = load_classifier(options.model, options.device)
    with certification_progress(quiet=options.quiet) as on_certificate:
        certificates = certify_to_log(
            model,
            images,
            options.log,
            rule=rule_of(options),
            unknown_classes=options.unknown_classes,
            model_name=options.model,
            command=command,
            on_certificate=on_certificate,
            **engine_of(options),
        )
    if options.tsv:
        write_tsv(options.tsv, certificates)
    console = Console(highlight=False)
    console.print(
        f"{_outcome(certificates)} Log: {options.log}\nNext: "
        + command_line("report", options.log),
        soft_wrap=True,
        markup=False,
    )
    return 0


def _outcome(certificates: Sequence[Certificate]) -> str:
    """What came of it, in a line; images without a label are neither right nor wrong."""
    abstained = sum(each.abstained for each in certificates)
    labelled = [each for each in certificates if each.label is not None]
    if labelled:
        correct = sum(each.correct for each in labelled)
        of = "" if len(labelled) == len(certificates) else f" of {len(labelled)} with a label"
        return (
            f"{len(certificates)} images certified: {correct}{of} correct, {abstained} abstained."
        )
    radii = [each.input_radius for each in certificates if not each.abstained]
    median = f", median radius {floor_text(statistics.median(radii), 3)}" if radii else ""
    return (
        f"{len(certificates)} images certified, no labels: {len(radii)} answered{median}, "
        f"{abstained} abstained."
    )
