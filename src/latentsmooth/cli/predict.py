"""``latentsmooth predict``: class, probability bound and certified radius of image files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table
from rich.text import Text

from latentsmooth.certification import Certificate, Certifier, LabelledTensor
from latentsmooth.cli.arguments import (
    UsageError,
    add_confidence,
    add_head_arguments,
    add_positional,
    engine_of,
    load_classifier,
    require,
    rule_of,
)
from latentsmooth.files import is_file
from latentsmooth.images import ImageSet, LabelledImage, load_image_files, load_images
from latentsmooth.images.decoding import survey
from latentsmooth.images.rows import FileRows
from latentsmooth.records.rounding import ceil_text, floor_text
from latentsmooth.reporting import plain

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "run"]

HELP = "classify image files, with certified radii"
DESCRIPTION = """
Classify image files with the smoothed classifier. Each is brought to the classifier's image shape:
gray or RGB, resized (shorter side), centre cropped; the radius is over the pixels after that, in
[0, 1]. fashion-mini:1 is a test image inside the package.
Example: latentsmooth predict packaged:fashion-mnist fashion-mini:1 photo.png
"""
_EXAMPLES = "fashion-mini"
_EXAMPLE = re.compile(_EXAMPLES + r":([0-9]{1,6})", re.ASCII)
_MOST_NOTES = 5


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is known of an image that was asked for, beside its pixels."""

    name: str
    label: str | None
    shape: tuple[int, int, int]


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the flags."""
    add_positional(parser, "model", help="model folder, hub id or packaged:NAME")
    add_positional(
        parser,
        "images",
        many=True,
        help="image files; fashion-mini:NUMBER for a test image inside the package",
    )
    parser.add_argument(
        "--negative",
        action="store_true",
        help="take the negative of every image file: Fashion-MNIST shows garments bright on black, "
        "photographs mostly show them on white",
    )
    add_confidence(parser, n_estimate=10_000)
    add_head_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of a table")


def run(options: Namespace, *, command: str) -> int:
    """Predict and print."""
    require(options, ("model", "images"))
    model = load_classifier(options.model, options.device)
    places = _places(options.images, model.image_shape)
    rule = rule_of(options)
    certifier = Certifier(
        model, workload=len(places) * (rule.n_select + rule.n_max), **engine_of(options)
    )
    asked: list[_Asked] = []

    def items() -> Iterator[LabelledTensor]:
        for index, (images, position) in enumerate(places):
            item = images[position]
            asked.append(_known(images, item))
            negative = options.negative and images.source != _EXAMPLES
            yield LabelledTensor(image=1 - item.image if negative else item.image, index=index)

    rows = []
    for place, made in enumerate(certifier.certify(items(), rule)):
        each = asked[place]
        answer = None if made.prediction is None else model.class_names[made.prediction]
        if options.json:
            print(json.dumps({"image": each.name, "class": answer, **_facts(each, made)}))
        else:
            rows.append((each, answer, made))
    if not options.json:
        console = Console(highlight=False)
        console.print(_table(rows, options.alpha, certifier.lipschitz_bound))
        notes = _notes(asked, model.image_shape)
        for note in [*notes, *(["Of every file the negative was taken."] * options.negative)]:
            console.print(Text(note), soft_wrap=True)
    return 0


def _places(words: Sequence[str], shape: tuple[int, int, int]) -> list[tuple[ImageSet, int]]:
    """Where each image is that a word names, in their order; a file of a word's name goes first."""
    numbers = [None if is_file(word) else _EXAMPLE.fullmatch(word) for word in words]
    paths = [word for word, number in zip(words, numbers, strict=True) if number is None]
    files = load_image_files(paths, image_shape=shape) if paths else None
    examples = _examples(shape) if len(paths) < len(words) else None
    places, used = [], 0
    for word, number in zip(words, numbers, strict=True):
        if number is not None and examples is not None:
            if int(number[1]) >= len(examples):
                raise UsageError(f"wanted {_EXAMPLES}:0 to :{len(examples) - 1}, got {word}")
            places.append((examples, int(number[1])))
        elif files is not None:
            places.append((files, used))
            used += 1
    return places


def _known(images: ImageSet, item: LabelledImage) -> _Asked:
    if images.source == _EXAMPLES:
        label = None if item.label is None else images.class_names[item.label]
        return _Asked(f"{_EXAMPLES}:{item.index}", label, images.image_shape)
    file = FileRows([Path(item.name)], np.full(1, -1, dtype=np.int64), root=None)
    return _Asked(item.name, None, survey(file, image_size=None))


def _examples(shape: tuple[int, int, int]) -> ImageSet:
    images = load_images(_EXAMPLES, split="test")
    if images.image_shape != shape:
        raise UsageError(
            f"images of {_EXAMPLES} are {_described(images.image_shape)}, this classifier takes "
            f"{_described(shape)}: give it image files"
        )
    return images


def _table(
    rows: Sequence[tuple[_Asked, str | None, Certificate]], alpha: float, bound: float
) -> Table:
    labelled = any(each.label is not None for each, _, _ in rows)
    table = Table(caption=_caption(alpha, bound))
    texts = ("image", "truly", "class") if labelled else ("image", "class")
    for heading in texts:
        table.add_column(heading)
    for heading in ("probability ≥", "radius ≥"):
        table.add_column(heading, justify="right")
    for each, answer, made in rows:
        table.add_row(
            Text(plain(each.name)),
            *([Text(plain(each.label or "?"))] if labelled else []),
            Text(plain(answer) if answer is not None else "(abstains)"),
            floor_text(made.p_lower, 4),
            floor_text(made.input_radius, 3),
        )
    return table


def _notes(asked: Sequence[_Asked], shape: tuple[int, int, int]) -> list[str]:
    """Say which images were not of the classifier's shape: certificates are about what it saw."""
    others = [each for each in asked if each.shape != shape]
    notes = [
        f"{plain(each.name)}: {_described(each.shape)}, brought to {_described(shape)}; the "
        "certificate is about that"
        for each in others[:_MOST_NOTES]
    ]
    if len(others) > _MOST_NOTES:
        notes.append(f"So were {len(others) - _MOST_NOTES} more.")
    return notes


def _described(shape: tuple[int, int, int]) -> str:
    """An image's shape in words.

    >>> _described((1, 28, 30))
    '28x30 gray'
    """
    return f"{shape[1]}x{shape[2]} {'gray' if shape[0] == 1 else 'RGB'}"


def _facts(each: _Asked, made: Certificate) -> dict[str, object]:
    return {
        **({} if each.label is None else {"label": each.label}),
        "shape": list(each.shape),
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
