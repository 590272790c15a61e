"""``latentsmooth predict``: class, probability bound and certified radius of image files."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.text import Text

from latentsmooth.certification import Certifier, LabelledTensor
from latentsmooth.cli.arguments import (
    UsageError,
    add_confidence,
    add_head_arguments,
    add_positional,
    engine_of,
    files_of,
    load_classifier,
    refuse_overwriting,
    require,
    rule_of,
    write_text,
)
from latentsmooth.cli.progress import image_bar
from latentsmooth.errors import DataError
from latentsmooth.files import is_file
from latentsmooth.images import ImageSet, load_images
from latentsmooth.images.decoding import Geometry, survey
from latentsmooth.images.requested import RequestedImage, RequestedRows, find_requested
from latentsmooth.images.saying import say
from latentsmooth.images.walk import LeftOut
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.records.rounding import ceil_text
from latentsmooth.reporting import plain
from latentsmooth.reporting.predictions import (
    PREDICTION_FORMATS,
    PredictedImage,
    prediction_table,
    predictions_text,
    thumbnail,
)

__all__ = ["DESCRIPTION", "HELP", "SOME_SKIPPED", "add_arguments", "run"]

HELP = "classify image files, with certified radii"
DESCRIPTION = """
Classify image files with the smoothed classifier. Each is brought to the classifier's image shape:
gray or RGB, resized (shorter side), centre cropped; the radius is over the pixels after that, in
[0, 1]. A folder or a zip archive stands for all images in it, a pattern for the files it matches;
fashion-mini:1 is a test image inside the package. Exit code 3: done, but --skip-bad left files out.
Example: latentsmooth predict packaged:fashion-mnist fashion-mini:1 photo.png holiday/ '*.jpg'
"""
SOME_SKIPPED = 3
"""Exit code where all but bad files were predicted."""
_EXAMPLES = "fashion-mini"
_EXAMPLE = re.compile(_EXAMPLES + r":([0-9]{1,6})", re.ASCII)
_MOST_NOTES, _NAMED = 5, 3
_BAR_FROM = 10
"""Images from which on a terminal shows a bar."""


@dataclass(frozen=True, slots=True)
class _Good:
    """A readable image: its place among all asked for, and the shape it has in its file."""

    place: int
    image: RequestedImage
    shape: tuple[int, int, int]


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the flags."""
    add_positional(parser, "model", help="model folder, hub id or packaged:NAME")
    add_positional(
        parser,
        "images",
        many=True,
        help="image files, folders, zip archives or patterns; fashion-mini:NUMBER for a test image "
        "inside the package",
    )
    parser.add_argument(
        "--negative",
        action="store_true",
        help="take the negative of every image file: Fashion-MNIST shows garments bright on black, "
        "photographs mostly show them on white",
    )
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="leave out files that cannot be read, name them, and end with exit code 3; without "
        "it they are named, and nothing is predicted",
    )
    parser.add_argument(
        "--output",
        type=str | None,
        default=None,
        help="also write the predictions here (.csv, .jsonl or .html)",
    )
    add_confidence(parser, n_estimate=10_000)
    add_head_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of a table")


def run(options: Namespace, *, command: str) -> int:
    """Predict and print; what was predicted before an error is printed and written as well."""
    require(options, ("model", "images"))
    _check_output(options)
    model = load_classifier(options.model, options.device)
    requested = _requested(options.images, model.image_shape)
    images, bad = _readable(requested, model.image_shape, skip_bad=options.skip_bad)
    rule = rule_of(options)
    certifier = Certifier(
        model, workload=len(images) * (rule.n_select + rule.n_max), **engine_of(options)
    )
    predicted: list[PredictedImage] = []
    caption = _caption(options.alpha, certifier.lipschitz_bound)
    try:
        bar = image_bar("predict", quiet=len(images) < _BAR_FROM or not sys.stderr.isatty())
        with bar as show:
            for each in _predictions(certifier, model, images, options):
                predicted.append(each)
                if options.json:
                    print(json.dumps(each.to_json()))
                show(len(predicted), len(images), "")
    finally:
        notes = _notes(predicted, model.image_shape)
        notes += ["Of every file the negative was taken."] * options.negative
        if options.output and predicted:
            suffix = Path(options.output).suffix.lower()
            said = [*notes, *(f"Left out: {text}" for text in bad)]
            write_text(
                options.output, predictions_text(predicted, suffix, notes=said, caption=caption)
            )
        if not options.json and predicted:
            _print(predicted, notes, caption)
        for text in bad:
            print(plain(f"bad file: {text}"), file=sys.stderr)
    return SOME_SKIPPED if bad else 0


def _print(predicted: Sequence[PredictedImage], notes: Sequence[str], caption: str) -> None:
    console = Console(highlight=False)
    console.print(prediction_table(predicted, caption=caption))
    for note in notes:
        console.print(Text(note), soft_wrap=True)


def _check_output(options: Namespace) -> None:
    if options.output is None:
        return
    if Path(options.output).suffix.lower() not in PREDICTION_FORMATS:
        raise UsageError(
            f"wanted --output ending in {', '.join(PREDICTION_FORMATS)}, got {options.output}"
        )
    refuse_overwriting(options.output, kept=[*options.images, *files_of(options.model)])


def _requested(words: Sequence[str], shape: tuple[int, int, int]) -> list[RequestedImage]:
    """The images that the words name, in their order; a file of a word's name goes first."""
    left_out = LeftOut()
    found: list[RequestedImage] = []
    examples: ImageSet | None = None
    for word in words:
        example = None if is_file(word) else _EXAMPLE.fullmatch(word)
        if example is None:
            found += find_requested(word, left_out)
            continue
        examples = examples or _examples(shape)
        if int(example[1]) >= len(examples):
            raise UsageError(f"wanted {_EXAMPLES}:0 to :{len(examples) - 1}, got {word}")
        found.append(_example(examples, int(example[1]), word))
    say("images", left_out.notes())
    return found


def _examples(shape: tuple[int, int, int]) -> ImageSet:
    images = load_images(_EXAMPLES, split="test")
    if images.image_shape != shape:
        raise UsageError(
            f"images of {_EXAMPLES} are {_described(images.image_shape)}, this classifier takes "
            f"{_described(shape)}: give it image files"
        )
    return images


def _example(images: ImageSet, number: int, word: str) -> RequestedImage:
    item = images[number]
    pixels = (item.image[0] * 255).round().byte().numpy()
    label = None if item.label is None else images.class_names[item.label]
    return RequestedImage(word, lambda: pixels, label=label)


def _readable(
    requested: Sequence[RequestedImage], shape: tuple[int, int, int], *, skip_bad: bool
) -> tuple[list[_Good], list[str]]:
    """Each readable image, and what is wrong with the others.

    All are decoded once before the first is predicted, so that no result waits behind a bad file.

    Raises:
        DataError: some are bad and not to be skipped, or all are bad; every one is named.
    """
    good: list[_Good] = []
    bad: list[str] = []
    for place, each in enumerate(requested):
        rows = RequestedRows([each])
        try:
            _as_taken(rows, shape)[0]
            good.append(_Good(place, each, survey(rows, image_size=None)))
        except DataError as error:
            bad.append(str(error))
    if bad and (not good or not skip_bad):
        for text in bad[1:]:
            print(plain(f"bad file: {text}"), file=sys.stderr)
        more = f" (and {len(bad) - 1} more, named above)" if len(bad) > 1 else ""
        hint = "; --skip-bad predicts the others" if good else ""
        raise DataError(
            f"{len(bad)} of {len(requested)} files cannot be read: {bad[0]}{more}{hint}"
        )
    return good, bad


def _as_taken(rows: RequestedRows, shape: tuple[int, int, int]) -> ImageSet:
    geometry = Geometry(shape, resize=True)
    return ImageSet(rows, source="files", split="all", class_names=(), geometry=geometry)


def _predictions(
    certifier: Certifier,
    model: LatentSmoothedClassifier,
    images: Sequence[_Good],
    options: Namespace,
) -> Iterator[PredictedImage]:
    """Predictions in the images' order; the noise is keyed by the place among all asked for."""
    taken = _as_taken(RequestedRows([each.image for each in images]), model.image_shape)
    wants_pictures = bool(options.output) and options.output.lower().endswith(".html")
    pictures: list[bytes] = []

    def items() -> Iterator[LabelledTensor]:
        for position, each in enumerate(images):
            pixels = taken[position].image
            # Examples of the package, which have labels, are as classifiers are trained on them.
            if options.negative and each.image.label is None:
                pixels = 1 - pixels
            pictures.append(thumbnail(pixels) if wants_pictures else b"")
            yield LabelledTensor(image=pixels, index=each.place)

    for position, made in enumerate(certifier.certify(items(), rule_of(options))):
        each = images[position]
        yield PredictedImage(
            name=each.image.name,
            label=each.image.label,
            shape=each.shape,
            answer=None if made.prediction is None else model.class_names[made.prediction],
            certificate=made,
            thumbnail=pictures[position],
        )


def _notes(asked: Sequence[PredictedImage], shape: tuple[int, int, int]) -> list[str]:
    """Say which images were not of the classifier's shape: certificates are about what it saw."""
    others: dict[tuple[int, int, int], list[str]] = {}
    for each in asked:
        if each.shape != shape:
            others.setdefault(each.shape, []).append(plain(each.name))
    notes = []
    for found, names in list(others.items())[:_MOST_NOTES]:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        notes.append(
            f"{', '.join(names[:_NAMED])}{more}: {_described(found)}, brought to "
            f"{_described(shape)}; the certificate is about that"
        )
    rest = sum(map(len, list(others.values())[_MOST_NOTES:]))
    return [*notes, *([f"{rest} images of other sizes likewise."] if rest else [])]


def _described(shape: tuple[int, int, int]) -> str:
    """An image's shape in words.

    >>> _described((1, 28, 30))
    '28x30 gray'
    """
    return f"{shape[1]}x{shape[2]} {'gray' if shape[0] == 1 else 'RGB'}"


def _caption(alpha: float, bound: float) -> str:
    return (
        f"l2 radius over pixels in [0, 1], wrong with probability at most {alpha:g} an image; "
        f"encoder's Lipschitz bound {ceil_text(bound, 7)}"
    )
