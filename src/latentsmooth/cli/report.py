"""``latentsmooth report``: certificate logs side by side."""

from __future__ import annotations

import shutil

from jsonargparse import ArgumentParser, Namespace

from latentsmooth.cli.arguments import add_positional, refuse_overwriting, require
from latentsmooth.reporting import DEFAULT_RADII, ReportFormat, report

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "run"]

HELP = "compare certificate logs: tables and certified-accuracy curves"
DESCRIPTION = """
Report on any number of logs side by side: certified accuracy at radii, average certified radius,
abstention, clean smoothed accuracy, seconds and samples per image. Reads our logs and the TSV
files that others publish. Accuracies and radii are rounded down.
Example: latentsmooth report ours.jsonl theirs.tsv --radii 0 .25 .5 --figure curve.png
"""
TERMINAL_WIDTH = 100


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the flags."""
    add_positional(parser, "logs", many=True, help="JSONL or TSV logs")
    parser.add_argument(
        "--radii",
        type=float,
        nargs="+",
        default=list(DEFAULT_RADII),
        help="l2 radii over pixels in [0, 1] to give certified accuracy at",
    )
    parser.add_argument("--format", type=ReportFormat, default="table", help="of the text")
    parser.add_argument("--output", type=str | None, default=None, help="write the text here")
    parser.add_argument(
        "--figure", type=str | None, default=None, help="draw the curves here (.png, .svg, .pdf)"
    )
    parser.add_argument(
        "--delta",
        type=float,
        default=1e-3,
        help="probability that the dataset-level statement fails",
    )


def run(options: Namespace, *, command: str) -> int:
    """Report and print, unless it went to a file."""
    require(options, ("logs",))
    refuse_overwriting(options.output, options.figure, kept=options.logs)
    text = report(
        options.logs,
        radii=options.radii,
        format=options.format,
        output=options.output,
        figure=options.figure,
        delta=options.delta,
        width=max(TERMINAL_WIDTH, shutil.get_terminal_size().columns),
    )
    if options.output:
        print(f"Report: {options.output}")
    else:
        print(text, end="" if text.endswith("\n") else "\n")
    if options.figure:
        print(f"Figure: {options.figure}")
    return 0
