"""``latentsmooth sweep``: many classifiers, and the frontier of accuracy and cost."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from types import GenericAlias

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.text import Text

from latentsmooth.cli.arguments import data_help, require
from latentsmooth.cli.flags import FlagType
from latentsmooth.cli.progress import certification_progress
from latentsmooth.records.run import OnCertificate
from latentsmooth.reporting import DEFAULT_RADII, plain
from latentsmooth.sweep import Cost, SweepPlan, SweepResult, parse_plan, redraw, sweep
from latentsmooth.sweep.reach import reach_lines
from latentsmooth.sweep.reading import SweepPart, setting_types
from latentsmooth.sweep.table import lead_lines, rule_note, tables
from latentsmooth.values import Fields

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "run"]

HELP = "train, certify and time many classifiers, and draw accuracy against cost"
DESCRIPTION = """
Train and certify a list or a grid of classifiers on the same images, time them in turns, and draw
certified accuracy against the cost of an image, with the frontiers of LSRS and ISRS. After an
interruption the same command goes on where it stopped. The runs are best written into a file.
Example: latentsmooth sweep --config sweep.yaml --data fashion-mini --output sweeps/first
"""
TERMINAL_WIDTH = 100


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the flags."""
    run_settings = setting_types("train")
    lists = {name: GenericAlias(list, (hint,)) for name, hint in run_settings.hints.items()}
    parser.add_argument("--data", type=str | None, default=None, help=data_help())
    parser.add_argument(
        "--image-size",
        type=int | None,
        default=None,
        help="resize the shorter side to this many pixels and crop the centre square",
    )
    parser.add_argument(
        "--output", type=str | None, default=None, help="folder for the runs and the frontier"
    )
    parser.add_argument(
        "--runs",
        type=FlagType(GenericAlias(list, (run_settings,)), "runs"),
        default=None,
        help="each a name and settings of train, or a name and reuse: a classifier's folder",
    )
    parser.add_argument(
        "--grid",
        type=FlagType(Fields(lists), "grid"),
        default=None,
        help="lists of values by setting of train; every combination is a run",
    )
    settings: dict[SweepPart, str] = {
        "train": "settings of train that all runs have in common",
        "certify": "settings of certify, the same for all runs",
        "measure": "images, rounds and tune of the timing; images 0 takes the seconds of the logs",
    }
    for name, text in settings.items():
        parser.add_argument(
            f"--{name}", type=FlagType(setting_types(name), name), default=None, help=text
        )
    parser.add_argument(
        "--radii",
        type=float,
        nargs="+",
        default=None,
        help="l2 radii over pixels in [0, 1] to compare at, by default "
        + " ".join(f"{radius:g}" for radius in DEFAULT_RADII)
        + ", or those that the goal of a sequential rule settles",
    )
    parser.add_argument(
        "--cost",
        type=Cost | None,
        default=None,
        help="of an image, on the pictures' axis: seconds (the default), flops or samples",
    )
    parser.add_argument(
        "--only",
        type=str,
        nargs="+",
        default=None,
        help="work on these runs; of the others, what is there already is shown",
    )
    parser.add_argument(
        "--no-train", action="store_true", help="leave out runs that are not trained yet"
    )
    parser.add_argument(
        "--plot-only",
        action="store_true",
        help="only write tables and pictures anew, from the output folder's frontier.json",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def run(options: Namespace, *, command: str) -> int:
    """Run or redraw it, print the comparison, and say where it was written."""
    if options.plot_only:
        require(options, ("output",))
        result = redraw(options.output, radii=options.radii, cost=options.cost)
    else:
        require(options, ("data", "output"))

        def bar(title: str) -> AbstractContextManager[OnCertificate]:
            return certification_progress(quiet=False, title=title)

        result = sweep(
            _plan(options),
            options.output,
            only=options.only or (),
            may_train=not options.no_train,
            command=command,
            say=lambda text: print(plain(text), flush=True),
            progress=None if options.quiet else bar,
        )
    _tell(result, Path(options.output))
    return 0


def _plan(options: Namespace) -> SweepPlan:
    return parse_plan(
        data=options.data,
        image_size=options.image_size,
        runs=options.runs or (),
        grid=options.grid,
        train=options.train,
        certify=options.certify,
        measure=options.measure,
        radii=options.radii,
        cost=options.cost or "seconds",
    )


def _tell(result: SweepResult, folder: Path) -> None:
    console = Console(
        width=max(TERMINAL_WIDTH, shutil.get_terminal_size().columns), highlight=False
    )
    for table in tables(result):
        console.print()
        console.print(table)
    for note in (rule_note(result), *reach_lines(result)):
        if note:
            console.print(Text(plain(note)))
    print("\nWhose frontier is above:")
    for line in lead_lines(result):
        print(f"  {line}")
    print()
    for suffix in ("png", "svg", "html", "md", "json"):
        print(plain(f"Frontier: {folder / f'frontier.{suffix}'}"))
