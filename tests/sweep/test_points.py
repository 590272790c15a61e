"""Points: their figures, and frontier.json as a stranger may have written it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from latentsmooth.errors import ConfigurationError, CorruptArtifact
from latentsmooth.sweep import FrontierPoint, points_from_json
from latentsmooth.sweep.output import write_result
from latentsmooth.sweep.points import read_frontier
from latentsmooth.sweep.result import SweepResult


def made(name: str = "a", **changes: Any) -> FrontierPoint:
    values: dict[str, Any] = {
        "name": name,
        "kind": "LSRS",
        "images": 50,
        "input_radii": (0.0, 0.5),
        "n_certified": (40, 7),
        "seconds": 0.125,
        "flops": 1e9,
        "samples": 1100.0,
        "build": "lsrs-lenet",
        "width": 0.5,
        "latent_sigma": 0.25,
        "artifact_hash": "ab" * 32,
        "details": {"objective": "gaussian"},
    }
    return FrontierPoint(**{**values, **changes})


def test_accuracy_is_exact_and_its_interval_scipys() -> None:
    point = made()
    assert point.accuracy(0.5) == Fraction(7, 50)
    expected = binomtest(7, 50).proportion_ci(0.95, method="exact")
    assert point.interval(0.5) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert made(n_certified=(50, 0)).interval(0.0)[1] == 1.0
    with pytest.raises(ConfigurationError, match=r"no figure at radius 0\.75"):
        point.count(0.75)
    with pytest.raises(ConfigurationError, match="cost in flops"):
        made(flops=None).cost("flops")


def test_a_frontier_file_gives_the_points_back(tmp_path: Path) -> None:
    points = (made("a"), made("b", kind="ISRS", width=None, flops=None, n_certified=(3, 0)))
    result = SweepResult(points=points, input_radii=(0.0, 0.5), cost="seconds")
    write_result(result, tmp_path)
    found = points_from_json(tmp_path / "frontier.json")
    assert found == points
    assert found[0].details == {"objective": "gaussian"}
    content = read_frontier(tmp_path / "frontier.json")
    assert SweepResult.from_json(content, where="x") == result
    assert content["points"][0]["artifact_hash"] == "ab" * 32
    assert content["points"][0]["certified"][1]["accuracy"] == 0.14


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"format": "other"}, "wanted the format"),
        ({"schema_version": 9}, "schema version 9"),
        ({"points": {}}, "list of points"),
        ({"points": [1]}, "list of points"),
        ({"points.kind": "XSRS"}, "LSRS or ISRS"),
        ({"points.seconds": -1}, "seconds above 0"),
        ({"points.seconds": "1"}, "wanted seconds as float"),
        ({"points.seconds": True}, "wanted seconds as float"),
        ({"points.images": 3}, "counts from 0 to the 3 images"),
        ({"points.certified": [1]}, "list of objects"),
        ({"points.certified": [{"input_radius": -1.0, "count": 1}]}, "radius out of range"),
        ({"points.certified": [{"input_radius": 0.0, "count": "1"}]}, "wanted count as int"),
        ({"points.name": None}, "wanted name as str"),
    ],
    ids=str,
)
def test_a_damaged_frontier_file_is_refused(
    tmp_path: Path, damage: dict[str, Any], message: str
) -> None:
    result = SweepResult(points=(made(),), input_radii=(0.0, 0.5), cost="seconds")
    content = result.to_json()
    for key, value in damage.items():
        whole, _, inner = key.partition(".")
        if inner:
            content[whole][0][inner] = value
        else:
            content[whole] = value
    path = tmp_path / "frontier.json"
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(CorruptArtifact, match=message):
        read_frontier(path)


def test_what_is_no_frontier_file_is_refused(tmp_path: Path) -> None:
    twice = SweepResult(points=(made(), made()), input_radii=(0.0,), cost="seconds")
    for text, message in [
        ("{", "is not JSON"),
        ('{"format": NaN}', "is not JSON"),
        ("[]", "wanted the format"),
        (json.dumps(twice.to_json()), "two points of one name"),
    ]:
        (tmp_path / "f.json").write_text(text, "utf-8")
        with pytest.raises(CorruptArtifact, match=message):
            points_from_json(tmp_path / "f.json")
    with pytest.raises(CorruptArtifact, match="cannot read"):
        points_from_json(tmp_path / "none.json")
