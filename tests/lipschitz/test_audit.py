"""Rows of bounds from above and below."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.lipschitz import audit, lipschitz_bound
from latentsmooth.orthogonal import ConvexResidual, InvertibleDownsample, OrthogonalConv2d
from tests.seeds import shifted


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.branch(inputs)  # type: ignore[no-any-return]


def encoder() -> nn.Sequential:
    torch.manual_seed(shifted(0))
    return nn.Sequential(
        InvertibleDownsample(2),
        OrthogonalConv2d(4, 8, 3),
        ConvexResidual(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())),
        Residual(),
    )


def test_every_module_stands_between_its_bounds() -> None:
    network = encoder()
    *rows, whole = audit(network, (1, 8, 8))
    assert [(row.depth, row.path) for row in rows] == [
        (0, "0"),
        (0, "1"),
        (0, "2"),
        (1, "2.branch"),
        (2, "2.branch.0"),
        (2, "2.branch.1"),
        (0, "3"),
        (1, "3.branch"),
    ]
    for row in (*rows, whole):
        assert row.lower_bound is not None
        assert row.gap is not None
        assert 0.5 < row.lower_bound <= row.bound * (1 + 1e-12)
        assert row.gap == max(0.0, row.bound / row.lower_bound - 1)
    assert [row.input_shape for row in rows[:3]] == [(1, 8, 8), (4, 4, 4), (8, 4, 4)]
    assert rows[1].gap == pytest.approx(0, abs=1e-5)
    factors = [row.bound for row in rows if row.depth == 0]
    assert whole.bound == pytest.approx(math.prod(factors), rel=1e-12)
    assert whole.bound == lipschitz_bound(network, input_shape=(1, 8, 8))
    assert (whole.path, whole.kind, whole.input_shape) == ("", "Sequential", (1, 8, 8))


def test_lower_bounds_can_be_left_out() -> None:
    rows = audit(encoder(), (1, 8, 8), iterations=0)
    assert all(row.lower_bound is None and row.gap is None for row in rows)
    assert all(row.bound > 0 for row in rows)


def test_a_constant_branch_has_no_gap() -> None:
    layer = nn.Linear(3, 3)
    with torch.no_grad():
        layer.weight.zero_()
    row, whole = audit(layer, (3,))
    assert row.lower_bound == 0.0
    assert row.gap is None
    assert whole.bound == row.bound < 1e-100


def test_what_cannot_be_audited() -> None:
    with pytest.raises(ShapeError, match="does not fit"):
        audit(nn.Linear(3, 3), (4,))
    with pytest.raises(ConfigurationError, match="iterations >= 0"):
        audit(nn.Linear(3, 3), (3,), iterations=-1)
    with pytest.raises(ConfigurationError, match="points >= 1"):
        audit(nn.Linear(3, 3), (3,), points=0)
