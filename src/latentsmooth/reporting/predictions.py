"""Predictions of single images as a table, CSV, JSON Lines or a page."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from PIL import Image
from rich.table import Table
from rich.text import Text
from torch import Tensor

from latentsmooth.certification import Certificate
from latentsmooth.errors import ConfigurationError
from latentsmooth.records.rounding import floor_text
from latentsmooth.reporting.cells import plain

__all__ = ["PREDICTION_FORMATS", "PredictedImage", "prediction_table", "predictions_text"]

PREDICTION_FORMATS = (".csv", ".jsonl", ".html")
_COLUMNS = (
    "image",
    "label",
    "class",
    "p_lower",
    "input_radius",
    "latent_radius",
    "n_used",
    "alpha",
)
_LARGEST_THUMBNAIL = 64


@dataclass(frozen=True, slots=True)
class PredictedImage:
    """What is known of an image that was asked for.

    Attributes:
        name: of its file.
        label: its class where it is known.
        shape: (channels, height, width) that it had before it was brought to the classifier's.
        answer: the class predicted; ``None`` where the classifier abstains.
        certificate: of that.
        thumbnail: what the classifier saw, as PNG; empty where no page is made.
    """

    name: str
    label: str | None
    shape: tuple[int, int, int]
    answer: str | None
    certificate: Certificate
    thumbnail: bytes = b""

    def to_json(self) -> dict[str, object]:
        """Everything but the picture."""
        made = self.certificate
        return {
            "image": self.name,
            "class": self.answer,
            **({} if self.label is None else {"label": self.label}),
            "shape": list(self.shape),
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


def thumbnail(image: Tensor) -> bytes:
    """(channels, height, width) in [0, 1] as a PNG of at most 64 pixels a side."""
    pixels = (image * 255).round().byte().numpy()
    array = pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
    picture = Image.fromarray(array)
    picture.thumbnail((_LARGEST_THUMBNAIL, _LARGEST_THUMBNAIL))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def prediction_table(images: Sequence[PredictedImage], *, caption: str) -> Table:
    """A table for the terminal; probabilities and radii are rounded down."""
    labelled = any(each.label is not None for each in images)
    table = Table(caption=caption)
    for heading in ("image", *(["truly"] if labelled else []), "class"):
        table.add_column(heading)
    for heading in ("probability ≥", "radius ≥"):
        table.add_column(heading, justify="right")
    for each in images:
        table.add_row(
            Text(plain(each.name)),
            *([Text(plain(each.label or "?"))] if labelled else []),
            Text("(abstains)" if each.answer is None else plain(each.answer)),
            floor_text(each.certificate.p_lower, 4),
            floor_text(each.certificate.input_radius, 3),
        )
    return table


def predictions_text(
    images: Sequence[PredictedImage], suffix: str, *, notes: Sequence[str] = (), caption: str = ""
) -> str:
    """The content of a file of predictions.

    Args:
        images: the predictions, in the order to be written.
        suffix: the file's, which chooses the form: .csv, .jsonl or .html.
        notes: what else the reader should know, bad files among it; on the page.
        caption: what the radii mean; on the page.

    Raises:
        ConfigurationError: another suffix.
    """
    if suffix == ".jsonl":
        return "".join(json.dumps(each.to_json()) + "\n" for each in images)
    if suffix == ".csv":
        return _csv(images)
    if suffix == ".html":
        return _page(images, notes, caption)
    raise ConfigurationError(f"{suffix!r} is no form; expected {', '.join(PREDICTION_FORMATS)}")


def _csv(images: Sequence[PredictedImage]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for each in images:
        # Lone surrogates of names that are no text could not be encoded.
        facts = {**each.to_json(), "image": plain(each.name)}
        writer.writerow(["" if facts.get(name) is None else facts[name] for name in _COLUMNS])
    return stream.getvalue()


def _page(images: Sequence[PredictedImage], notes: Sequence[str], caption: str) -> str:
    from jinja2 import Environment

    place = files("latentsmooth.reporting")
    template = place.joinpath("predictions.html.j2").read_text(encoding="utf-8")
    rows = [
        {
            "name": plain(each.name),
            "label": None if each.label is None else plain(each.label),
            "answer": None if each.answer is None else plain(each.answer),
            "p_lower": floor_text(each.certificate.p_lower, 4),
            "radius": floor_text(each.certificate.input_radius, 3),
            "picture": base64.b64encode(each.thumbnail).decode("ascii"),
        }
        for each in images
    ]
    return (
        Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        .from_string(template)
        .render(
            style=place.joinpath("page.css").read_text(encoding="utf-8"),
            rows=rows,
            labelled=any(each.label is not None for each in images),
            notes=list(map(plain, notes)),
            caption=plain(caption),
        )
    )
