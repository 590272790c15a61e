"""One classifier's place on the frontier: what an image costs, and what is certified."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast, get_args

from latentsmooth.certification.bounds import clopper_pearson_lower, clopper_pearson_upper
from latentsmooth.errors import ConfigurationError, CorruptArtifact
from latentsmooth.models.strict_json import strict_json
from latentsmooth.models.weights import read_bounded
from latentsmooth.records.rounding import ceil_text, floor_text

__all__ = [
    "CONFIDENCE",
    "COSTS",
    "FORMAT",
    "KINDS",
    "SCHEMA_VERSION",
    "Cost",
    "FrontierPoint",
    "Kind",
    "points_from_json",
    "read_frontier",
]

Kind = Literal["LSRS", "ISRS"]
Cost = Literal["seconds", "flops", "samples"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
COSTS: Final[tuple[Cost, ...]] = get_args(Cost)
FORMAT: Final = "latentsmooth-frontier"
SCHEMA_VERSION: Final = 1
CONFIDENCE: Final = 0.95
"""Of the interval of a certified accuracy, over the choice of images."""
_MOST_BYTES: Final = 1 << 25
_PLACES: Final = 6
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierPoint:
    """A classifier, what it certifies at some radii, and what an image costs.

    Args:
        name: unique among the points.
        kind: ``LSRS``, or ``ISRS`` where the encoder is the identity.
        images: labelled images certified.
        input_radii: l2 radii over pixels in [0, 1].
        n_certified: per radius, images correct and certified there.
        seconds: to certify an image; ``None`` where not measured, as for the other two costs.
        flops: floating-point operations an image.
        samples: noise samples an image.
        build: name of the build, "custom" for a user's own modules.
        width: multiplier of the build's channels, where known.
        latent_sigma: standard deviation of the noise.
        artifact_hash: SHA-256 of the classifier, as its certificate log has it.
        details: anything else worth keeping, JSON-able.

    Raises:
        ConfigurationError: a count, radius or cost that cannot be.

    Example:
        >>> point = FrontierPoint(name="a", kind="LSRS", images=200, input_radii=(0.0, 0.25),
        ...                       n_certified=(150, 120), seconds=0.01)
        >>> point.accuracy(0.25)
        Fraction(3, 5)
        >>> low, high = point.interval(0.25)
        >>> round(low, 2), round(high, 2)
        (0.53, 0.67)
    """

    name: str
    kind: Kind
    images: int
    input_radii: tuple[float, ...]
    n_certified: tuple[int, ...]
    seconds: float | None = None
    flops: float | None = None
    samples: float | None = None
    build: str = ""
    width: float | None = None
    latent_sigma: float | None = None
    artifact_hash: str = ""
    details: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigurationError(f"{self.name}: wanted LSRS or ISRS, got {self.kind!r}")
        if len(self.input_radii) != len(self.n_certified):
            raise ConfigurationError(
                f"{self.name}: {len(self.input_radii)} radii for {len(self.n_certified)} counts"
            )
        if self.images < 1 or not all(0 <= count <= self.images for count in self.n_certified):
            raise ConfigurationError(
                f"{self.name}: wanted counts from 0 to the {self.images} images, got "
                f"{list(self.n_certified)}"
            )
        if not all(0 <= radius < math.inf for radius in self.input_radii):
            raise ConfigurationError(f"{self.name}: radius out of range in {self.input_radii}")
        for name in COSTS:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigurationError(f"{self.name}: wanted {name} above 0, got {value!r}")

    def count(self, input_radius: float) -> int:
        """Images correct and certified at a radius.

        Raises:
            ConfigurationError: the point has no figure at that radius.
        """
        if input_radius not in self.input_radii:
            known = ", ".join(f"{radius:g}" for radius in self.input_radii)
            raise ConfigurationError(
                f"{self.name} has no figure at radius {input_radius:g}; it has {known}"
            )
        return self.n_certified[self.input_radii.index(input_radius)]

    def accuracy(self, input_radius: float) -> Fraction:
        """Certified accuracy at a radius, a share of 1; exact."""
        return Fraction(self.count(input_radius), self.images)

    def interval(self, input_radius: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Clopper and Pearson's two-sided interval of the accuracy, over the choice of images."""
        count, tail = self.count(input_radius), (1 - confidence) / 2
        low = clopper_pearson_lower(count, self.images, tail)
        return low, clopper_pearson_upper(count, self.images, tail)

    def cost(self, which: Cost) -> float:
        """What an image costs.

        Raises:
            ConfigurationError: unknown, or not measured.
        """
        if which not in COSTS:
            raise ConfigurationError(f"wanted a cost of {', '.join(COSTS)}, got {which!r}")
        value: float | None = getattr(self, which)
        if value is None:
            raise ConfigurationError(f"{self.name} has no figure for its cost in {which}")
        return value

    def to_json(self) -> dict[str, Any]:
        """Return the point as `points_from_json` reads it; accuracies rounded down."""
        certified = []
        for radius, count in zip(self.input_radii, self.n_certified, strict=True):
            low, high = self.interval(radius)
            certified.append(
                {
                    "input_radius": radius,
                    "count": count,
                    "accuracy": float(floor_text(self.accuracy(radius), _PLACES)),
                    "low": float(floor_text(low, _PLACES)),
                    "high": float(ceil_text(high, _PLACES)),
                }
            )
        names = ("name", "kind", "build", "width", "latent_sigma", "images")
        return {
            **{name: getattr(self, name) for name in names},
            **{name: getattr(self, name) for name in COSTS},
            "certified": certified,
            "artifact_hash": self.artifact_hash,
            "details": dict(self.details),
        }


def read_frontier(path: str | Path) -> dict[str, Any]:
    """Read a ``frontier.json`` whole, as JSON; its points are checked.

    Raises:
        CorruptArtifact: it cannot be read, or is something else.
    """
    path = Path(path)
    try:
        content = strict_json(read_bounded(path, _MOST_BYTES).decode("utf-8"))
    except ValueError as error:
        if isinstance(error, CorruptArtifact):
            raise
        raise CorruptArtifact(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CorruptArtifact(f"{path}: wanted the format {FORMAT!r}")
    if content.get("schema_version") != SCHEMA_VERSION:
        raise CorruptArtifact(
            f"{path}: schema version {content.get('schema_version')!r}, this version of "
            f"latentsmooth reads {SCHEMA_VERSION}"
        )
    points_from_json(content, where=str(path))
    return content


def points_from_json(
    source: str | Path | Mapping[str, Any], *, where: str = "frontier"
) -> tuple[FrontierPoint, ...]:
    """Return the points of a ``frontier.json``.

    Args:
        source: the file, or what `read_frontier` returned.
        where: what messages call it.

    Raises:
        CorruptArtifact: the content is no frontier.
    """
    if isinstance(source, (str, Path)):
        return points_from_json(read_frontier(source), where=str(source))
    entries = source.get("points")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise CorruptArtifact(f"{where}: wanted a list of points")
    points = tuple(_point(entry, f"{where}: point {n}") for n, entry in enumerate(entries, 1))
    names = [point.name for point in points]
    if len(set(names)) < len(names):
        raise CorruptArtifact(f"{where}: two points of one name")
    return points


def _point(entry: Mapping[str, Any], where: str) -> FrontierPoint:
    certified = _of(entry, "certified", list, where)
    if not all(isinstance(each, dict) for each in certified):
        raise CorruptArtifact(f"{where}: wanted certified as a list of objects")
    kind = _of(entry, "kind", str, where)
    try:
        return FrontierPoint(
            name=_of(entry, "name", str, where),
            kind=cast("Kind", kind),
            images=_of(entry, "images", int, where),
            input_radii=tuple(_number(each, "input_radius", where) for each in certified),
            n_certified=tuple(_of(each, "count", int, where) for each in certified),
            seconds=_optional(entry, "seconds", where),
            flops=_optional(entry, "flops", where),
            samples=_optional(entry, "samples", where),
            build=_of(entry, "build", str, where),
            width=_optional(entry, "width", where),
            latent_sigma=_optional(entry, "latent_sigma", where),
            artifact_hash=_of(entry, "artifact_hash", str, where),
            details=_of(entry, "details", dict, where),
        )
    except ConfigurationError as error:
        raise CorruptArtifact(f"{where}: {error}") from None


def _of(entry: Mapping[str, Any], name: str, kind: type[_Value], where: str) -> _Value:
    value = entry.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise CorruptArtifact(f"{where}: wanted {name} as {kind.__name__}, got {value!r:.80}")
    return value


def _number(entry: Mapping[str, Any], name: str, where: str) -> float:
    value = entry.get(name)
    return (
        float(value)
        if isinstance(value, int) and not isinstance(value, bool)
        else _of(entry, name, float, where)
    )


def _optional(entry: Mapping[str, Any], name: str, where: str) -> float | None:
    return None if entry.get(name) is None else _number(entry, name, where)


def shared_radii(points: Sequence[FrontierPoint]) -> tuple[float, ...]:
    """Radii at which every point has a figure, in the first point's order."""
    first = points[0].input_radii if points else ()
    return tuple(r for r in first if all(r in point.input_radii for point in points))
