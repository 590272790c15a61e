"""``latentsmooth train``: a named build on a data set."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

import torch
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console

from latentsmooth.cli.arguments import (
    add_data_selection,
    add_fields,
    command_line,
    data_help,
    require,
    selected_images,
)
from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.images import ImageSet, load_images
from latentsmooth.models import build, describe_builds
from latentsmooth.reporting import plain
from latentsmooth.training import TrainingSettings, default_options, train

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "run"]

HELP = "train a classifier under latent noise"
DESCRIPTION = """
Train encoder and head of a named build under Gaussian noise in the latent, by one of several
objectives, and save the classifier in the output folder. After an interruption the same command
goes on where it stopped.
Example: latentsmooth train --build lsrs-haar --data fashion-mini --latent-sigma 0.25
--epochs 5 --output runs/haar
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the flags."""
    builds = "; ".join(f"{name}: {text}" for name, text in describe_builds().items())
    parser.add_argument("--build", type=str, default="lsrs-haar", help=builds)
    parser.add_argument("--data", type=str | None, default=None, help=data_help())
    parser.add_argument(
        "--output", type=str | None, default=None, help="folder for the classifier and its logs"
    )
    parser.add_argument(
        "--latent-sigma", type=float, default=0.25, help="standard deviation of the latent noise"
    )
    parser.add_argument("--width", type=float, default=1.0, help="multiplier of all channels")
    parser.add_argument(
        "--build-options",
        type=dict[str, int] | None,
        default=None,
        help='options of the build, e.g. {"depth": 2}',
    )
    add_data_selection(parser, split="train")
    parser.add_argument(
        "--validation-data",
        type=str | None,
        default=None,
        help="data to validate on; by default the test split of --data",
    )
    parser.add_argument("--validation-split", type=str, default="test", help="its split")
    parser.add_argument(
        "--validate", type=bool, default=True, help="whether to validate during training"
    )
    defaults = "; ".join(
        f"{name}: {', '.join(f'{option} {value}' for option, value in table.items())}"
        for name, table in default_options().items()
    )
    add_fields(
        parser,
        TrainingSettings,
        notes={"objective_options": f"All with their defaults: {defaults}"},
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(options: Namespace, *, command: str) -> int:
    """Train, save, and say what came of it."""
    require(options, ("data", "output"))
    settings = TrainingSettings(
        **{field.name: options[field.name] for field in fields(TrainingSettings)}
    )
    images = selected_images(options)
    validation = _validation(options, images) if options.validate else None
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model = build(
            options.build,
            num_classes=len(images.class_names),
            image_shape=images.image_shape,
            latent_sigma=options.latent_sigma,
            width=options.width,
            class_names=images.class_names,
            **(options.build_options or {}),
        )
    output = Path(options.output)
    summary = train(
        model,
        images,
        settings=settings,
        output=output,
        validation=validation,
        progress=not options.quiet,
    )
    model.training_summary = {**summary.to_json(), "command": command}
    model.save_pretrained(output)
    console = Console(highlight=False)
    console.print(
        f"Trained {options.build}, {summary.epochs} epochs in {summary.seconds:.0f} s "
        f"({summary.images_per_second:.0f} images/s), loss {summary.final_loss:.4f}. "
        f"Classifier: {output}",
        soft_wrap=True,
        markup=False,
    )
    if summary.validation is not None:
        figures = ", ".join(
            f"{name.replace('_', ' ')} {value:.4g}" for name, value in summary.validation.items()
        )
        console.print(f"Validation: {figures}", soft_wrap=True, markup=False)
    size = [] if options.image_size is None else ["--image-size", str(options.image_size)]
    words = ["certify", str(output), options.data, "--log", str(output / "test.jsonl"), *size]
    console.print(
        "Next: " + command_line(*words),
        soft_wrap=True,
        markup=False,
    )
    return 0


def _validation(options: Namespace, images: ImageSet) -> ImageSet | None:
    source = options.validation_data or options.data
    try:
        found = load_images(source, split=options.validation_split, image_size=options.image_size)
    except (DataError, ConfigurationError) as error:
        if options.validation_data is not None:
            raise
        print(plain(f"No validation: {error}"), file=sys.stderr)
        return None
    if found.fingerprint == images.fingerprint:
        print(f"No validation: {source} holds the images trained on", file=sys.stderr)
        return None
    return found
