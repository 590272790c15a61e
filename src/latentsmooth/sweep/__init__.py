"""Many classifiers trained, certified and timed alike: certified accuracy against cost."""

from latentsmooth.sweep.draw import draw_frontier
from latentsmooth.sweep.gathering import kind_of
from latentsmooth.sweep.pareto import frontier, leads, rivalries
from latentsmooth.sweep.plan import (
    CertifySettings,
    MeasureSettings,
    NetworkSettings,
    SweepPlan,
    SweepRun,
)
from latentsmooth.sweep.points import Cost, FrontierPoint, Kind, points_from_json
from latentsmooth.sweep.reading import parse_plan
from latentsmooth.sweep.result import SweepResult
from latentsmooth.sweep.run import redraw, sweep

__all__ = [
    "CertifySettings",
    "Cost",
    "FrontierPoint",
    "Kind",
    "MeasureSettings",
    "NetworkSettings",
    "SweepPlan",
    "SweepResult",
    "SweepRun",
    "draw_frontier",
    "frontier",
    "kind_of",
    "leads",
    "parse_plan",
    "points_from_json",
    "redraw",
    "rivalries",
    "sweep",
]
