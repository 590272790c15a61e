"""What an attack leaves behind, as JSON and back."""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from latentsmooth.errors import DataError
from latentsmooth.models.strict_json import strict_json
from latentsmooth.records.schema import LONGEST_NAME

__all__ = [
    "FORMAT",
    "MAX_BYTES",
    "SCHEMA_VERSION",
    "Answer",
    "AttackReport",
    "AttackedCertificate",
    "images_from_json",
]

FORMAT: Final = "latentsmooth-attack"
SCHEMA_VERSION: Final = 2
"""Of version 1, flips were classes with more than half of the draws."""
MAX_BYTES: Final = 2**28
"""Of a file that is continued, at most: several hundred thousand images."""
_DIGITS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the program said of one point near an image.

    Attributes:
        input_distance: l2 distance from the image over pixels in [0, 1], rounded up.
        prediction: the smoothed class, or ``None`` where the program abstained.
        p_lower: lower confidence bound on the probability of the candidate; of an answer that only
            decides which class is the top one, one over the number of classes.
        votes: ``(class, count)``, most votes first, at most five.
        n_used: samples drawn.
    """

    input_distance: float
    prediction: int | None
    p_lower: float
    votes: tuple[tuple[int, int], ...]
    n_used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackedCertificate:
    """One certificate, and what it was put through.

    Attributes:
        index: position of the image in its data set.
        label: the true class, or ``None`` where it is not known.
        prediction: the class that the certificate claims.
        input_radius: the radius that it claims the class on, as in the log.
        attacked_radius: the radius attacked: the same, unless it was made wrong on purpose.
        inside: the program's last answer to the search inside the attacked radius.
        flip: its answer at the nearest point found where it confirms another class.
        answers: how often the program was asked.
        abstentions: how often it abstained, which is no flip.
        seconds: the image's share of the wall time.
        name: what its data set calls the image, where the log says.
    """

    index: int
    label: int | None
    prediction: int
    input_radius: float
    attacked_radius: float
    inside: Answer
    flip: Answer | None
    answers: int
    abstentions: int
    seconds: float
    name: str | None = None

    @property
    def flipped_inside(self) -> bool:
        """Whether another class is confirmed within the radius attacked."""
        return self.flip is not None and self.flip.input_distance < self.attacked_radius

    @property
    def falsified(self) -> bool:
        """Whether another class is confirmed within the radius that the log claims."""
        return self.flip is not None and self.flip.input_distance < self.input_radius


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackReport:
    """An attack on a log: what was attacked, how, and what came of it.

    Attributes:
        log: facts about the log; its name, hashes of classifier and data, alpha, noise and so on.
        settings: `AttackSettings`, how many images and with which stride.
        program: how the program answers: seed, alpha of each answer that counts, engine, noise.
        versions: version by package, now and where the log was made.
        machine: facts about the machine.
        command: the command line, folders left out.
        images: one an attacked certificate, in the log's order.
        planned: how many there are to be.
    """

    log: Mapping[str, Any]
    settings: Mapping[str, Any]
    program: Mapping[str, Any]
    versions: Mapping[str, Any]
    machine: Mapping[str, str | int]
    command: str
    images: tuple[AttackedCertificate, ...]
    planned: int

    @property
    def falsified(self) -> tuple[AttackedCertificate, ...]:
        """The certificates shown to be wrong."""
        return tuple(image for image in self.images if image.falsified)

    @property
    def flipped_inside(self) -> tuple[AttackedCertificate, ...]:
        """Those with another class within the radius attacked."""
        return tuple(image for image in self.images if image.flipped_inside)

    @property
    def slack(self) -> tuple[float, ...]:
        """Of each image with a flip, the distance to it in certified radii, ascending."""
        found = [one for one in self.images if one.flip is not None]
        return tuple(sorted(_ratio(one) for one in found))

    def totals(self) -> dict[str, Any]:
        """The figures that follow from the images."""
        slack = self.slack
        return {
            "planned": self.planned,
            "attacked": len(self.images),
            "falsified": len(self.falsified),
            "flipped_inside": len(self.flipped_inside),
            "flips_found": len(slack),
            "nearest_flip_in_radii": slack[0] if slack else None,
            "median_flip_in_radii": statistics.median(slack) if slack else None,
            "answers": sum(image.answers for image in self.images),
            "abstentions": sum(image.abstentions for image in self.images),
            "seconds": sum(image.seconds for image in self.images),
        }

    def to_json(self) -> str:
        """Everything as indented JSON with a newline at the end."""
        content = {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            **{
                field.name: _plain(getattr(self, field.name))
                for field in dataclasses.fields(self)
                if field.name not in ("images", "planned")
            },
            "totals": self.totals(),
            "images": [_row(image) for image in self.images],
        }
        return json.dumps(content, indent=1, allow_nan=False) + "\n"


def images_from_json(text: str, wanted: Mapping[str, Any]) -> tuple[AttackedCertificate, ...]:
    """Read the images of a report that is to be continued.

    Args:
        text: what `AttackReport.to_json` wrote.
        wanted: entries that must be the same there, by name.

    Raises:
        DataError: for another file, or another attack; the message says what differs.
    """
    if len(text) > MAX_BYTES:
        raise DataError(f"more than {MAX_BYTES:,} characters")
    try:
        content = _mapping(strict_json(text, digits=_DIGITS))
        if (content["format"], content["schema_version"]) != (FORMAT, SCHEMA_VERSION):
            raise DataError(f"expected format {FORMAT!r}, version {SCHEMA_VERSION}")
        for name, value in wanted.items():
            if content[name] != _plain(value):
                raise DataError(f"its {name} is {content[name]!r}, now it is {_plain(value)!r}")
        return tuple(_image(_mapping(row)) for row in _list(content["images"]))
    except (KeyError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"not an attack's result: {type(error).__name__}: {error}") from error


def _ratio(image: AttackedCertificate) -> float:
    distance = image.flip.input_distance if image.flip is not None else float("inf")
    return distance / image.input_radius


def _row(image: AttackedCertificate) -> dict[str, Any]:
    row = dataclasses.asdict(image)
    return {**row, "flipped_inside": image.flipped_inside, "falsified": image.falsified}


def _image(row: Mapping[str, Any]) -> AttackedCertificate:
    return AttackedCertificate(
        index=_count(row, "index"),
        label=None if row["label"] is None else _count(row, "label"),
        prediction=_count(row, "prediction"),
        input_radius=_number(row, "input_radius"),
        attacked_radius=_number(row, "attacked_radius"),
        inside=_answer(_mapping(row["inside"])),
        flip=None if row["flip"] is None else _answer(_mapping(row["flip"])),
        answers=_count(row, "answers"),
        abstentions=_count(row, "abstentions"),
        seconds=_number(row, "seconds"),
        name=_name(row.get("name")),
    )


def _answer(row: Mapping[str, Any]) -> Answer:
    votes = []
    for pair in _list(row["votes"]):
        number, count = _list(pair)
        votes.append((_count({"class": number}, "class"), _count({"votes": count}, "votes")))
    return Answer(
        input_distance=_number(row, "input_distance"),
        prediction=None if row["prediction"] is None else _count(row, "prediction"),
        p_lower=_number(row, "p_lower"),
        votes=tuple(votes),
        n_used=_count(row, "n_used"),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"wanted an object, got {type(value).__name__}")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"wanted a list, got {type(value).__name__}")
    return value


def _count(row: Mapping[str, Any], name: str) -> int:
    value = row[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise DataError(f"wanted {name} as a whole number >= 0, got {str(value)[:80]!r}")
    return value


def _name(value: object) -> str | None:
    """A name as logs have them; results of earlier versions have none."""
    if value is not None and not (isinstance(value, str) and len(value) <= LONGEST_NAME):
        raise DataError(f"wanted name as a text of at most {LONGEST_NAME} characters")
    return value


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row[name]
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise DataError(f"wanted {name} as a number, got {type(value).__name__}")
    if not 0 <= value <= sys.float_info.max:
        raise DataError(f"wanted {name} as a finite number >= 0, got {str(value)[:80]}")
    return float(value)


def _plain(value: Any) -> Any:
    """As it comes back from JSON."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    return value
