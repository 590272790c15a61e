"""What a sweep found, and the files it is written into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from latentsmooth.errors import ConfigurationError, CorruptArtifact
from latentsmooth.sweep.pareto import leads, rivalries
from latentsmooth.sweep.points import (
    COSTS,
    FORMAT,
    SCHEMA_VERSION,
    Cost,
    FrontierPoint,
    points_from_json,
)

__all__ = ["FIGURES", "FRONTIER_FILE", "SweepResult", "mapping"]

FRONTIER_FILE = "frontier.json"
FIGURES = ("frontier.png", "frontier.svg")


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """The points of a sweep and where they come from.

    Args:
        points: one a run.
        input_radii: where they are compared.
        cost: by which.
        left_out: runs without a point, and why.
        about: command, plan, data, rule, versions, machine.
        created: ISO 8601 time.
    """

    points: tuple[FrontierPoint, ...]
    input_radii: tuple[float, ...]
    cost: Cost
    left_out: dict[str, str] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    created: str = field(
        default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds")
    )

    def at(
        self, points: tuple[FrontierPoint, ...], *, input_radii: tuple[float, ...], cost: Cost
    ) -> SweepResult:
        """Return the same sweep compared elsewhere."""
        if not input_radii:
            raise ConfigurationError("wanted radii to compare at, got none")
        if cost not in COSTS:
            raise ConfigurationError(f"wanted a cost of {', '.join(COSTS)}, got {cost!r}")
        return replace(self, points=points, input_radii=input_radii, cost=cost)

    def to_json(self) -> dict[str, Any]:
        """Return everything as ``frontier.json`` holds it."""
        return {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "created": self.created,
            "input_radii": list(self.input_radii),
            "cost": self.cost,
            **self.about,
            "points": [point.to_json() for point in self.points],
            "comparisons": [self._comparison(radius) for radius in self.input_radii],
            "left_out": self.left_out,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], *, where: str) -> SweepResult:
        """Return the result that `to_json` gave.

        Raises:
            CorruptArtifact: it is none.
        """
        radii, left_out = content.get("input_radii"), content.get("left_out")
        cost, created = content.get("cost"), content.get("created")
        numbers = isinstance(radii, list) and all(type(each) in (int, float) for each in radii)
        texts = isinstance(left_out, dict) and all(isinstance(v, str) for v in left_out.values())
        if not numbers or not texts or cost not in COSTS or not isinstance(created, str):
            raise CorruptArtifact(f"{where}: radii, cost, date or what was left out is damaged")
        own = {"format", "schema_version", "created", "input_radii", "cost", "points"}
        own |= {"comparisons", "left_out"}
        return cls(
            points=points_from_json(content, where=where),
            input_radii=tuple(float(each) for each in radii or ()),
            cost=cost,
            left_out=dict(left_out or {}),
            about={name: value for name, value in content.items() if name not in own},
            created=created,
        )

    def _comparison(self, radius: float) -> dict[str, Any]:
        chosen: dict[str, Any] = {"input_radius": radius, "cost": self.cost}
        return {
            "input_radius": radius,
            "leads": [lead.to_json() for lead in leads(self.points, **chosen)],
            "rivalries": [each.to_json() for each in rivalries(self.points, **chosen)],
        }


def mapping(value: object) -> dict[str, Any]:
    """Return a mapping out of a file as it is, and anything else as an empty one."""
    return value if isinstance(value, dict) else {}
