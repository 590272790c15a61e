"""``latentsmooth attack``: try to falsify a certificate log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from jsonargparse import ActionYesNo, ArgumentParser, Namespace
from rich.console import Console

from latentsmooth.attacks import (
    AttackedCertificate,
    AttackSettings,
    attack_log,
    save_flips,
    summary_notes,
    summary_table,
)
from latentsmooth.cli.arguments import (
    UsageError,
    add_positional,
    data_help,
    files_of,
    load_classifier,
    refuse_overwriting,
    require,
)
from latentsmooth.cli.bench import without_folders
from latentsmooth.cli.progress import image_bar
from latentsmooth.errors import ConfigurationError
from latentsmooth.images import load_images
from latentsmooth.images.splits import UNDIVIDED
from latentsmooth.records import read_log
from latentsmooth.reporting.figure import FIGURE_FORMATS

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "run"]

HELP = "try to falsify the certificates of a log by gradient attacks"
DESCRIPTION = """
Attack certificates: look for another class inside each certified radius, by projected gradients
through encoder and head, and for the nearest one beyond it. Only what the program itself answers
with confidence, on fresh noise, counts as a flip. Exit code 1 where a certificate was falsified.
With --control, radii are wrong on purpose, and the exit code is 0 only where flips were found,
none of them within the radius that the log claims.
Example: latentsmooth attack haar.jsonl runs/haar fashion-mini --images 50 --plot flips.png
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the flags."""
    add_positional(parser, "log", help="certificate log (JSONL)")
    add_positional(parser, "model", help="classifier of the log: folder, hub id or packaged:NAME")
    add_positional(parser, "data", help=f"the data that the log is of: {data_help()}")
    parser.add_argument(
        "--split", type=str | None, default=None, help="split of the data (default: the log's)"
    )
    parser.add_argument(
        "--image-size", type=int | None, default=None, help="as given when the log was made"
    )
    parser.add_argument("--images", type=int, default=200, help="certificates to attack")
    parser.add_argument(
        "--stride", type=int, default=1, help="attack every STRIDE-th certificate of the log"
    )
    parser.add_argument("--steps", type=int, default=100, help="gradient steps of each search")
    parser.add_argument(
        "--draws", type=int, default=32, help="noise draws an image and step, fresh ones each"
    )
    parser.add_argument(
        "--restarts", type=int, default=1, help="searches inside each radius, at random starts"
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of the attack and of the program's answers"
    )
    parser.add_argument(
        "--beyond",
        action=ActionYesNo(no_prefix="no-"),
        default=True,
        help="also look for the nearest flip outside the radius",
    )
    parser.add_argument(
        "--control",
        type=float | None,
        default=None,
        help="multiply every radius by this factor: certificates wrong on purpose, to be flipped",
    )
    parser.add_argument(
        "--output",
        type=str | None,
        default=None,
        help="write the result as JSON, batch by batch; given again, the attack goes on there",
    )
    parser.add_argument(
        "--plot",
        type=str | None,
        default=None,
        help="draw certified radius against nearest flip here (.png, .svg, .pdf)",
    )
    parser.add_argument(
        "--device", type=str, default="auto", help="auto, which is the log's; cpu, cuda, ..."
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(options: Namespace, *, command: str) -> int:
    """Attack, print what came of it and write the files."""
    require(options, ("log", "model", "data"))
    _check(options)
    manifest, _ = read_log(options.log)
    device = options.device
    if device == "auto":
        device = manifest.device_type
        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigurationError("the log was made on a GPU (cuda), and there is none here")
    model = load_classifier(options.model, device)
    split = options.split or manifest.data_split
    if manifest.data_split == UNDIVIDED and split == UNDIVIDED:
        split = "test"  # data without splits answer to any; others will not be the log's
    images = load_images(options.data, split=split, image_size=options.image_size)
    settings = AttackSettings(
        steps=options.steps,
        draws=options.draws,
        restarts=options.restarts,
        seed=options.seed,
        beyond=options.beyond,
        control=1.0 if options.control is None else options.control,
    )
    with _progress(quiet=options.quiet) as on_images:
        report = attack_log(
            options.log,
            model,
            images,
            settings,
            limit=options.images,
            stride=options.stride,
            output=options.output,
            command=without_folders(command),
            on_images=on_images,
        )
    if options.plot:
        save_flips(report, options.plot)
    console = Console(highlight=False)
    console.print(summary_table(report))
    for note in summary_notes(report):
        console.print(note, markup=False, soft_wrap=True)
    if report.falsified:
        return 1
    return 0 if options.control is None or report.flipped_inside else 1


def _check(options: Namespace) -> None:
    for name in ("images", "stride", "steps", "draws", "restarts"):
        if options[name] < 1:
            raise UsageError(f"wanted --{name} of at least 1, got {options[name]}")
    kept = [options.log, *files_of(options.model)]
    refuse_overwriting(options.output, options.plot, kept=kept)
    if options.plot and Path(options.plot).suffix.lower() not in FIGURE_FORMATS:
        raise UsageError(f"wanted --plot ending in {', '.join(FIGURE_FORMATS)}, got {options.plot}")


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[Sequence[AttackedCertificate], int], None]]:
    """A bar that counts images, with flips so far, on standard error."""
    with image_bar("attack", quiet=quiet) as show:

        def on_images(done: Sequence[AttackedCertificate], planned: int) -> None:
            flipped = sum(one.flipped_inside for one in done)
            show(len(done), planned, f"{flipped} flipped inside")

        yield on_images
