"""The frontier and what is said of it, against the definitions tried on every pair."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from latentsmooth.sweep import FrontierPoint, Kind, frontier, leads, rivalries
from latentsmooth.sweep.pareto import best_within

RADIUS = 0.25


def point(number: int, kind: Kind, cost: float, count: int) -> FrontierPoint:
    return FrontierPoint(
        name=f"p{number}",
        kind=kind,
        images=20,
        input_radii=(RADIUS,),
        n_certified=(count,),
        samples=cost,
    )


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["LSRS", "ISRS"]),
        st.sampled_from([1.0, 2.0, 3.0, 5.0, 8.0]),
        st.integers(0, 6),
    ),
    max_size=12,
)
POINTS = ROWS.map(lambda rows: [point(n, *row) for n, row in enumerate(rows)])  # type: ignore[arg-type]


def dominated(one: FrontierPoint, other: FrontierPoint) -> bool:
    cost, rival_cost = one.cost("samples"), other.cost("samples")
    count, rival_count = one.count(RADIUS), other.count(RADIUS)
    better = rival_cost < cost or rival_count > count
    return rival_cost <= cost and rival_count >= count and better


@given(points=POINTS)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_frontier_is_what_no_point_dominates_cheapest_first(points: list[FrontierPoint]) -> None:
    found = frontier(points, input_radius=RADIUS, cost="samples")
    wanted = [one for one in points if not any(dominated(one, other) for other in points)]
    assert sorted(each.name for each in found) == sorted(each.name for each in wanted)
    ranks = [(each.cost("samples"), each.count(RADIUS)) for each in found]
    assert ranks == sorted(ranks)
    again = frontier(found, input_radius=RADIUS, cost="samples")
    assert again == found


@given(points=POINTS)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_leads_and_rivalries_say_what_each_budget_buys(points: list[FrontierPoint]) -> None:
    def best(kind: Kind, budget: float) -> int:
        within = [p.count(RADIUS) for p in points if p.kind == kind and p.cost("samples") <= budget]
        return max(within, default=-1)

    found = leads(points, input_radius=RADIUS, cost="samples")
    for budget in (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 8.0, 9.0):
        inside = [each for each in found if each.start <= budget and (each.end or 1e9) > budget]
        lsrs, isrs = best("LSRS", budget), best("ISRS", budget)
        if max(lsrs, isrs) < 0:
            assert inside == []
        else:
            leader = None if lsrs == isrs else "LSRS" if lsrs > isrs else "ISRS"
            assert [each.leader for each in inside] == [leader]
    told = rivalries(points, input_radius=RADIUS, cost="samples")
    assert [r.isrs.name for r in told] == [
        p.name
        for p in sorted(points, key=lambda p: (p.cost("samples"), p.name))
        if p.kind == "ISRS"
    ]
    for rivalry in told:
        budget, count = rivalry.isrs.cost("samples"), rivalry.isrs.count(RADIUS)
        reached = best("LSRS", budget)
        assert (rivalry.lsrs.count(RADIUS) if rivalry.lsrs else -1) == reached
        if rivalry.gain is not None:
            assert rivalry.gain * 20 == reached - count
        as_good = [
            p.cost("samples") for p in points if p.kind == "LSRS" and p.count(RADIUS) >= count
        ]
        times = budget / min(as_good) if as_good else None
        assert rivalry.times_cheaper == times


def test_nothing_within_a_budget_is_nothing() -> None:
    assert (
        best_within([point(0, "LSRS", 2.0, 3)], budget=1.0, input_radius=RADIUS, cost="samples")
        is None
    )
