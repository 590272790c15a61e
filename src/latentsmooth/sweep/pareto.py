"""The Pareto frontier of cost and certified accuracy, and which kind's is above the other's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from latentsmooth.sweep.points import Cost, FrontierPoint, Kind

__all__ = ["Lead", "Rivalry", "best_within", "frontier", "leads", "of_kind", "rivalries"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rivalry:
    """One ISRS classifier, and what LSRS reaches for its cost or less.

    Attributes:
        input_radius: where accuracies are compared.
        isrs: the ISRS classifier.
        lsrs: the most accurate LSRS classifier that costs no more; ``None`` where all cost more.
        cheapest: the cheapest LSRS classifier at least as accurate; ``None`` where there is none.
        cost: in what.
    """

    input_radius: float
    isrs: FrontierPoint
    lsrs: FrontierPoint | None
    cheapest: FrontierPoint | None
    cost: Cost

    @property
    def gain(self) -> Fraction | None:
        """Accuracy of LSRS above that of ISRS at no greater cost, a share of 1."""
        if self.lsrs is None:
            return None
        return self.lsrs.accuracy(self.input_radius) - self.isrs.accuracy(self.input_radius)

    @property
    def times_cheaper(self) -> float | None:
        """Cost of ISRS over that of the cheapest LSRS classifier at least as accurate."""
        if self.cheapest is None:
            return None
        return self.isrs.cost(self.cost) / self.cheapest.cost(self.cost)

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON-able values."""
        return {
            "isrs": self.isrs.name,
            "isrs_cost": self.isrs.cost(self.cost),
            "isrs_count": self.isrs.count(self.input_radius),
            "lsrs": None if self.lsrs is None else self.lsrs.name,
            "lsrs_cost": None if self.lsrs is None else self.lsrs.cost(self.cost),
            "lsrs_count": None if self.lsrs is None else self.lsrs.count(self.input_radius),
            "gain": None if self.gain is None else round(float(self.gain), 6),
            "cheapest_lsrs_at_least_as_accurate": self.cheapest and self.cheapest.name,
            "times_cheaper": self.times_cheaper,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """A range of budgets in which one kind's frontier is above the other's.

    Attributes:
        leader: the kind above; ``None`` where both are as high.
        start: least budget of the range.
        end: where the next range begins; ``None`` for the last.
    """

    leader: Kind | None
    start: float
    end: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the range as JSON-able values."""
        return {"leader": self.leader, "from": self.start, "to": self.end}


def frontier(
    points: Iterable[FrontierPoint], *, input_radius: float, cost: Cost = "seconds"
) -> tuple[FrontierPoint, ...]:
    r"""Return the Pareto frontier: those points that no other point dominates.

    A point is dominated where another costs no more and certifies no less, one of the two strictly.
    Points that tie in both are all kept.

    Args:
        points: of one kind or of several.
        input_radius: where certified accuracy is taken.
        cost: of an image, in seconds, floating-point operations or samples.

    Returns:
        The frontier, cheapest first; accuracy rises with cost.

    Raises:
        ConfigurationError: a point without a figure at that radius or for that cost.

    Example:
        >>> def point(name, seconds, certified):
        ...     return FrontierPoint(name=name, kind="LSRS", images=10, input_radii=(0.5,),
        ...                          n_certified=(certified,), seconds=seconds)
        >>> found = frontier([point("a", 1.0, 5), point("b", 2.0, 4), point("c", 3.0, 6)],
        ...                  input_radius=0.5)
        >>> [each.name for each in found]
        ['a', 'c']
    """
    ordered = sorted(points, key=lambda p: (p.cost(cost), -p.accuracy(input_radius), p.name))
    kept: list[FrontierPoint] = []
    for point in ordered:
        rank = (point.cost(cost), point.accuracy(input_radius))
        best = (kept[-1].cost(cost), kept[-1].accuracy(input_radius)) if kept else None
        if best is None or rank[1] > best[1] or rank == best:
            kept.append(point)
    return tuple(kept)


def best_within(
    points: Iterable[FrontierPoint], *, budget: float, input_radius: float, cost: Cost = "seconds"
) -> FrontierPoint | None:
    """Return the most accurate point that costs no more than a budget, of several the cheapest."""
    within = [point for point in points if point.cost(cost) <= budget]
    return min(
        within, key=lambda p: (-p.accuracy(input_radius), p.cost(cost), p.name), default=None
    )


def of_kind(points: Iterable[FrontierPoint], kind: Kind) -> list[FrontierPoint]:
    """Return the points of one kind."""
    return [point for point in points if point.kind == kind]


def rivalries(
    points: Sequence[FrontierPoint], *, input_radius: float, cost: Cost = "seconds"
) -> tuple[Rivalry, ...]:
    """Hold every ISRS point, cheapest first, against what LSRS reaches at no greater cost."""
    lsrs = of_kind(points, "LSRS")
    made = []
    for isrs in sorted(of_kind(points, "ISRS"), key=lambda point: (point.cost(cost), point.name)):
        accurate = [p for p in lsrs if p.accuracy(input_radius) >= isrs.accuracy(input_radius)]
        made.append(
            Rivalry(
                input_radius=input_radius,
                isrs=isrs,
                lsrs=best_within(
                    lsrs, budget=isrs.cost(cost), input_radius=input_radius, cost=cost
                ),
                cheapest=min(accurate, key=lambda p: (p.cost(cost), p.name), default=None),
                cost=cost,
            )
        )
    return tuple(made)


def leads(
    points: Sequence[FrontierPoint], *, input_radius: float, cost: Cost = "seconds"
) -> tuple[Lead, ...]:
    """Cut the budgets, from the cheapest point's cost on, into ranges by whose frontier is above.

    A kind without a point within a budget certifies nothing for it.
    """
    budgets = sorted({point.cost(cost) for point in points})
    leaders = [_leader(points, budget, input_radius, cost) for budget in budgets]
    changes = [
        place for place in range(len(budgets)) if not place or leaders[place] != leaders[place - 1]
    ]
    return tuple(
        Lead(
            leader=leaders[place],
            start=budgets[place],
            end=budgets[changes[number + 1]] if number + 1 < len(changes) else None,
        )
        for number, place in enumerate(changes)
    )


def _leader(
    points: Sequence[FrontierPoint], budget: float, input_radius: float, cost: Cost
) -> Kind | None:
    reached = {}
    for kind in ("LSRS", "ISRS"):
        best = best_within(
            (point for point in points if point.kind == kind),
            budget=budget,
            input_radius=input_radius,
            cost=cost,
        )
        reached[kind] = Fraction(-1) if best is None else best.accuracy(input_radius)
    if reached["LSRS"] == reached["ISRS"]:
        return None
    return "LSRS" if reached["LSRS"] > reached["ISRS"] else "ISRS"
