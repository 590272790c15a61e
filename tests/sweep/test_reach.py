"""What no votes of a sweep could prove: refused before anything is trained, or said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentsmooth.certification import FixedRule
from latentsmooth.errors import ConfigurationError
from latentsmooth.sweep import FrontierPoint, SweepResult, sweep
from latentsmooth.sweep.page import html_page
from latentsmooth.sweep.reach import reach_lines
from latentsmooth.sweep.table import about_lines, markdown
from tests.sweep.conftest import CERTIFY, plan, quiet

POINT = FrontierPoint(
    name="a",
    kind="LSRS",
    images=10,
    input_radii=(0.0, 1.0),
    n_certified=(9, 0),
    seconds=1.0,
    latent_sigma=0.25,
    details={"lipschitz_bound": 1.0},
)
RULE = FixedRule(n_estimate=1000).settings()


def result(*points: FrontierPoint, rule: object = RULE) -> SweepResult:
    about = {"rule": rule, "data": {"images": 10, "labelled": 7}}
    return SweepResult(points=points, input_radii=(0.0, 1.0), cost="seconds", about=about)


def test_columns_of_zeros_are_explained_once_for_all_they_are_of() -> None:
    wide = replace(POINT, name="wide", latent_sigma=1.0)
    found = result(POINT, replace(POINT, name="b"), wide)
    line = (
        "a, b: no image can be certified at radius 1: 1,000 samples prove at most 0.615 with its "
        "noise."
    )
    assert reach_lines(found) == [line]
    assert line in html_page(found)
    assert line in markdown(found)
    assert reach_lines(result(wide)) == []


@pytest.mark.parametrize(
    "rule", [None, {}, {"rule": "fixed", "n_estimate": 10**400, "n_select": 1, "alpha": 0.5}, "x"]
)
def test_results_that_do_not_tell_are_drawn_all_the_same(rule: object) -> None:
    assert reach_lines(result(POINT, rule=rule)) == []
    assert reach_lines(result(replace(POINT, details={"lipschitz_bound": "1"}))) == []
    assert reach_lines(result(replace(POINT, details={"lipschitz_bound": -1.0}))) == []
    assert reach_lines(result(replace(POINT, latent_sigma=None))) == []


def test_images_without_a_label_are_counted() -> None:
    assert (
        "10 images of ?, split ?; accuracies are over the 7 with a label;"
        in about_lines(result(POINT))[0]
    )


def test_a_goal_out_of_reach_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    goal = {**CERTIFY, "rule": "sequential", "goal": "radius>=1.2"}
    runs = [{"name": "wide", "build": "lenet", "latent_sigma": 1.0}, {"name": "narrow"}]
    with pytest.raises(ConfigurationError, match=r"narrow: wanted a radius that 200 draws can"):
        sweep(plan(certify=goal, runs=runs, radii=None), tmp_path / "sweep", say=quiet)
    runs[1] = {"name": "narrow", "reuse": "packaged:fashion-mnist"}
    with pytest.raises(ConfigurationError, match=r"narrow: wanted a radius that 200 draws can"):
        sweep(plan(certify=goal, runs=runs, radii=None), tmp_path / "sweep", say=quiet)
    assert not list((tmp_path / "sweep").glob("*/*"))


def test_images_without_labels_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    for place in range(3):
        file = tmp_path / "mine" / f"{place}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((28, 28), place, np.uint8)).save(file)
    bare = {"data": f"imagefolder:{tmp_path / 'mine'}", "n_estimate": 200}
    with pytest.raises(ConfigurationError, match="wanted images with labels"):
        sweep(plan(certify=bare), tmp_path / "sweep", say=quiet)
    assert not list((tmp_path / "sweep").glob("*/*"))
