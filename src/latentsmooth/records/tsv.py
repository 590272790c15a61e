"""The field's tab-separated certification files: ``idx label predict radius correct time``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from latentsmooth.errors import LogError
from latentsmooth.files import write_whole
from latentsmooth.records.content import BOM, lines_of, read_content
from latentsmooth.records.rounding import floor_text
from latentsmooth.records.view import CertificateLike

__all__ = ["PublishedCertificate", "parse_tsv", "read_tsv", "tsv_text", "write_tsv"]

_COLUMNS: Final = ("idx", "label", "predict", "radius", "correct", "time")
_MOST_COLUMNS: Final = 64
_MOST_LINES: Final = 1 << 21
"""Room for every image of the largest set, and an end to lines without content."""
_MOST_SECONDS: Final = timedelta.max.total_seconds()
_RADIUS_PLACES: Final = 6
_CLOCK: Final = re.compile(
    r"(?:([0-9]{1,18}) days?, ?)?([0-9]{1,18}):([0-9]{1,2}):([0-9]{1,2}(?:\.[0-9]*)?)"
)
_NONE: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedCertificate:
    """One row of a published file, which holds less than a :class:`Certificate` does.

    Attributes:
        index: position of the image in its data set.
        label: the true class, or ``None`` where the file has -1.
        prediction: the certified class, or ``None`` where the file has -1 (abstained).
        input_radius: l2 radius as printed in the file, which may have been rounded up.
        seconds: wall time spent on the image.
        n_used: samples drawn; these files don't say.
        alpha: probability that the certificate is wrong; these files don't say.
    """

    index: int
    label: int | None
    prediction: int | None
    input_radius: float
    seconds: float
    n_used: int | None = None
    alpha: float | None = None

    @property
    def abstained(self) -> bool:
        """Whether the classifier declined to answer."""
        return self.prediction is None

    @property
    def correct(self) -> bool:
        """Whether the prediction is the true label; abstention is never correct."""
        return self.prediction is not None and self.prediction == self.label


def read_tsv(path: str | Path) -> list[PublishedCertificate]:
    """Read a published file, plain or gzip-compressed; a torn last line is left out.

    Times may be seconds (``12.34``) or ``h:mm:ss.ffffff``, with days or without.

    Raises:
        LogError: the file cannot be read, a column is missing, a value is none of its column's, an
            image comes twice, or ``correct`` contradicts ``predict`` and ``label``.
    """
    return parse_tsv(read_content(path), Path(path))


def parse_tsv(raw: bytes, path: Path) -> list[PublishedCertificate]:
    """Read the bytes of a published file; see :func:`read_tsv`. ``path`` is for messages."""
    lines = lines_of(raw.removeprefix(BOM), path)
    header = _header(next(lines, (1, b""))[1], f"{path}: line 1")
    rows: dict[int, PublishedCertificate] = {}
    for number, line in lines:
        if number > _MOST_LINES:
            raise LogError(f"{path}: expected at most {_MOST_LINES:,} lines, got more")
        if not line.strip():
            continue
        try:
            row = _row(header, line, f"{path}: line {number}")
        except LogError:
            if not raw.endswith(b"\n") and raw.count(b"\n") < number:
                break  # no newline after it: torn by a kill
            raise
        if row.index in rows:
            raise LogError(f"{path}: line {number}: image {row.index} comes twice")
        rows[row.index] = row
    return list(rows.values())


def write_tsv(path: str | Path, certificates: Iterable[CertificateLike]) -> None:
    """Write certificates in the field's format; see :func:`tsv_text`.

    Raises:
        LogError: the file cannot be written.
    """
    text = tsv_text(certificates)
    try:
        write_whole(path, text)
    except OSError as error:
        raise LogError(f"{path}: cannot be written: {error.strerror}") from error


def tsv_text(certificates: Iterable[CertificateLike]) -> str:
    """Return certificates in the field's format.

    Radii are floored to six decimals (never rounded up), abstentions and unknown labels are -1,
    and times are ``h:mm:ss.ffffff``.
    """
    rows = ["\t".join(_COLUMNS)]
    rows += [
        "\t".join(
            (
                str(certificate.index),
                str(_NONE if certificate.label is None else certificate.label),
                str(_NONE if certificate.prediction is None else certificate.prediction),
                floor_text(certificate.input_radius, _RADIUS_PLACES),
                str(int(certificate.correct)),
                _clock(certificate.seconds),
            )
        )
        for certificate in certificates
    ]
    return "\n".join(rows) + "\n"


def _header(line: bytes, where: str) -> list[str]:
    if (tabs := line.count(b"\t")) >= _MOST_COLUMNS:
        raise LogError(f"{where}: expected at most {_MOST_COLUMNS} columns, got {tabs + 1:,}")
    header = [name.strip() for name in _text(line, where).split("\t")]
    if missing := [name for name in _COLUMNS if name not in header]:
        raise LogError(f"{where}: expected columns {_COLUMNS}, missing {missing}")
    if len(set(header)) < len(header):
        raise LogError(f"{where}: expected each column once, got {header}")
    return header


def _text(line: bytes, where: str) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LogError(f"{where}: not text in UTF-8: {error}") from error


def _row(header: list[str], line: bytes, where: str) -> PublishedCertificate:
    if (found := line.count(b"\t") + 1) != len(header):
        raise LogError(f"{where}: expected {len(header)} columns, got {found}")
    cells = _text(line, where).split("\t")
    row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
    index = _class(row["idx"], "idx", where)
    if index is None:
        raise LogError(f"{where}: idx must be at least 0, got {row['idx']!r}")
    certificate = PublishedCertificate(
        index=index,
        label=_class(row["label"], "label", where),
        prediction=_class(row["predict"], "predict", where),
        input_radius=_nonnegative(row["radius"], "radius", where),
        seconds=_seconds(row["time"], where),
    )
    correct = {"1": True, "True": True, "0": False, "False": False}.get(row["correct"])
    if correct is None:
        raise LogError(f"{where}: correct must be 0 or 1, got {row['correct']!r}")
    if correct != certificate.correct:
        raise LogError(
            f"{where}: correct is {row['correct']}, but predict is {row['predict']} "
            f"and label is {row['label']}"
        )
    if certificate.abstained and certificate.input_radius:
        raise LogError(f"{where}: radius must be 0 where predict is -1, got {row['radius']}")
    return certificate


def _class(text: str, column: str, where: str) -> int | None:
    if not re.fullmatch(r"-1|[0-9]{1,18}", text):
        raise LogError(f"{where}: {column} must be an integer of at least -1, got {text!r}")
    return None if int(text) == _NONE else int(text)


def _nonnegative(text: str, column: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.0 <= number < math.inf:
        raise LogError(f"{where}: {column} must be a finite number of at least 0, got {text!r}")
    return number


def _seconds(text: str, where: str) -> float:
    if ":" not in text:
        if (number := _nonnegative(text, "time", where)) > _MOST_SECONDS:
            raise LogError(f"{where}: time is out of range: {text!r}")
        return number
    if (found := _CLOCK.fullmatch(text)) is None:
        raise LogError(f"{where}: time must be seconds or h:mm:ss.ffffff, got {text!r}")
    days, hours, minutes, seconds = found.groups(default="0")
    try:
        span = timedelta(days=int(days), hours=int(hours), minutes=int(minutes))
        return (span + timedelta(seconds=float(seconds))).total_seconds()
    except OverflowError as error:
        raise LogError(f"{where}: time is out of range: {text!r}") from error


def _clock(seconds: float) -> str:
    try:
        span = timedelta(seconds=seconds)
    except OverflowError as error:
        raise LogError(f"{seconds!r} seconds are too many for h:mm:ss") from error
    text = str(span)
    return text if span.microseconds else text + ".000000"
