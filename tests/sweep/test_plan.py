"""Plans out of plain values: what is taken, and what is refused in one line."""

from __future__ import annotations

from typing import Any

import pytest

from latentsmooth.errors import ConfigurationError
from latentsmooth.sweep import parse_plan
from latentsmooth.sweep.reading import MOST_RUNS


def test_runs_take_what_is_common_and_change_it() -> None:
    plan = parse_plan(
        data="fashion-mini",
        train={"epochs": 2, "learning_rate": 1e-3, "width": 0.5},
        runs=[
            {"name": "a", "build": "lenet", "milestones": [0.2, 0.4], "latent_sigma": 1},
            {"name": "7", "build_options": {"depth": 2}, "epochs": 3},
            {"name": "old", "reuse": "runs/resnet18"},
        ],
        certify={"rule": "sequential", "goal": "radius>=0.5", "limit": 9},
        radii=[0.5, 0.5],
    )
    first, second, old = plan.runs
    assert (first.network.build, first.network.width, first.network.latent_sigma) == (
        "lenet",
        0.5,
        1,
    )
    assert (first.training.learning_rate, first.training.milestones) == (0.001, (0.2, 0.4))
    assert (second.name, second.training.epochs) == ("7", 3)
    assert second.network.build_options == {"depth": 2}
    assert (old.reuse, old.to_json()) == (
        "runs/resnet18",
        {"name": "old", "reuse": "runs/resnet18"},
    )
    assert plan.certify.stopping_rule().settings()["goal"] == "radius>=0.5"
    assert plan.input_radii == (0.5,)


@pytest.mark.parametrize(
    ("goal", "settled", "other"),
    [
        ("radii=0.5,0,0.25", (0.0, 0.25, 0.5), 0.3),
        ("radius>=0.5", (0.5,), 0.0),
        ("decide", (0.0,), 0.25),
        ("precision=0.1", (0.0, 0.25, 0.5, 0.75, 1.0), None),
    ],
)
def test_radii_are_those_that_the_goal_settles(
    goal: str, settled: tuple[float, ...], other: float | None
) -> None:
    def asked(**radii: Any) -> tuple[float, ...]:
        certify = {"rule": "sequential", "goal": goal}
        plan = parse_plan(data="fashion-mini", runs=[{"name": "a"}], certify=certify, **radii)
        return plan.input_radii

    assert asked() == settled
    assert asked(radii=settled[-1:]) == settled[-1:]
    if other is not None:
        with pytest.raises(ConfigurationError, match=f"radius {other:g} is not settled"):
            asked(radii=[*settled, other])


def test_a_grid_is_every_combination_named_by_what_differs() -> None:
    plan = parse_plan(
        data="fashion-mini",
        grid={
            "build": ["lsrs-haar"],
            "build_options": [{"levels": 1, "depth": 0}, {"levels": 2}],
            "latent_sigma": [0.25, 0.5],
            "epochs": [3],
            "milestones": [[0.5], [0.5, 0.75]],
        },
        runs=[{"name": "own"}],
    )
    names = [run.name for run in plan.runs]
    assert names[:2] == ["own", "lsrs-haar-levels1-depth0-s0.25-milestones0.5"]
    assert names[-1] == "lsrs-haar-levels2-s0.5-milestones0.5-0.75"
    assert len(names) == len(set(names)) == 9
    assert all(run.training.epochs == 3 for run in plan.runs[1:])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"runs": []}, "wanted runs, a grid or both"),
        ({"runs": [{"build": "lenet"}]}, "run 1 has no name"),
        ({"runs": [{"name": "a"}, {"name": "A"}]}, "two runs are called 'a'"),
        ({"runs": [{"name": "a", "reuse": "x", "width": 1}]}, "takes no 'width'"),
        ({"train": {"epoch": 1}}, "run a: unknown setting 'epoch'; did you mean 'epochs'"),
        ({"train": {"image_size": 3}}, "unknown setting 'image_size'"),
        ({"train": {"epochs": "many"}}, "run a: .*epochs.*many"),
        ({"train": {"epochs": 0}}, "run a: epochs must be"),
        ({"train": {"width": None}}, "run a: width has no value"),
        ({"train": {"validate": 3}}, "run a: .*validate"),
        ({"train": {"build_options": {"d": "x"}}}, "run a: .*build_options"),
        ({"train": {"epochs": {"class_path": "this.s"}}}, "run a: .*epochs"),
        ({"certify": {"goal": "decide"}}, "certify: the rule 'fixed' has no goal"),
        ({"certify": {"alpha": 2}}, "certify: .*alpha"),
        ({"certify": {"limit": 0}}, "certify: wanted limit"),
        ({"certify": {"precision": "int8"}}, "certify: .*precision"),
        ({"certify": {"log": "x"}}, "certify: unknown setting 'log'"),
        ({"measure": {"rounds": 0}}, "measure: wanted rounds"),
        ({"radii": [-1]}, "finite radii"),
        ({"radii": []}, "finite radii"),
        ({"cost": "euros"}, "cost of seconds, flops, samples"),
        ({"grid": {"width": 0.5}}, "width as a list"),
        ({"grid": {"name": ["x"]}}, "belongs into runs"),
        ({"grid": {"seed": [1, 2], **{k: [1] * 99 for k in ("a", "b", "c")}}}, "combinations"),
        ({"runs": [{"name": f"r{n}"} for n in range(MOST_RUNS + 1)]}, "at most 256 runs"),
        *(
            ({"runs": [{"name": name}]}, "wanted a run's name")
            for name in ("", "..", "../x", "a/b", ".lock", "frontier.json", "Turns", "x" * 81, "ü",
                         "a b", "-a", "a.")
        ),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_plans_that_cannot_be_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_plan(**{"data": "fashion-mini", "runs": [{"name": "a"}], **values})
