from __future__ import annotations

import warnings

import pytest
import torch

from latentsmooth.training import TrainingSettings
from latentsmooth.training.schedule import learning_rate_factor
from latentsmooth.training.settings import ScheduleName


def factors(schedule: ScheduleName, *, warmup: float, steps: int) -> list[float]:
    settings = TrainingSettings(schedule=schedule, warmup=warmup)
    return [learning_rate_factor(settings, step, steps) for step in range(steps)]


@pytest.mark.parametrize("warmup", [0.1, 0.3])
def test_onecycle_is_torchs(warmup: float) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    oracle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=100, pct_start=warmup, cycle_momentum=False
    )
    expected = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(100):
            expected.append(optimizer.param_groups[0]["lr"])
            oracle.step() if len(expected) < 100 else None
    assert factors("onecycle", warmup=warmup, steps=100) == pytest.approx(expected, abs=1e-9)


def test_step_rises_and_drops() -> None:
    assert factors("step", warmup=0.2, steps=10) == pytest.approx(
        [1 / 3, 2 / 3, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01]
    )


def test_cosine_rises_and_falls_to_nothing() -> None:
    values = factors("cosine", warmup=0.1, steps=100)
    assert values[:10] == sorted(values[:10])
    assert values[10] == 1.0
    assert values[55] == pytest.approx(0.5)
    assert 0 < values[-1] < 1e-3


def test_constant_stays() -> None:
    assert set(factors("constant", warmup=0.0, steps=5)) == {1.0}


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "step", "constant"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_short_runs_have_a_rate(schedule: ScheduleName, steps: int) -> None:
    assert all(0 < value <= 1 for value in factors(schedule, warmup=0.15, steps=steps))
