"""Rounding at the ends of the range of numbers, and where images are shorter than strides."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError, LatentSmoothError
from latentsmooth.lipschitz import lipschitz_bound, rounding_bound
from latentsmooth.lipschitz.roundoff.arithmetic import Arithmetic
from latentsmooth.lipschitz.roundoff.rules import dense
from latentsmooth.lipschitz.roundoff.table import Step
from tests.lipschitz.roundings import check


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * self.factor


class Over(Times):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs / self.factor


@pytest.mark.parametrize(("dtype", "low"), [(torch.float32, 140), (torch.float64, 1060)])
def test_products_with_powers_of_two_may_underflow(dtype: torch.dtype, low: int) -> None:
    chain = nn.Sequential(*[nn.Linear(2, 2, bias=False, dtype=dtype) for _ in range(3)])
    for layer, exponent in zip(chain, (-low, low // 2, low // 2), strict=True):
        nn.init.eye_(layer.get_parameter("weight"))
        with torch.no_grad():
            layer.get_parameter("weight").mul_(2.0**exponent)
    inputs = torch.tensor([[0.3, 0.7]], dtype=dtype)
    with torch.no_grad():
        found = float((chain(inputs) - inputs).norm())
    assert 0 < found <= rounding_bound(chain, input_shape=(2,), dtype=dtype).error


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(Times(1e-30), Over(3e-45)),
        nn.Sequential(Times(1e28), Times(1e-41), Times(1e13)),
        nn.Sequential(Times(-1e28), nn.LeakyReLU(1e-41), Times(1e13)),
        Over(3e38),
        nn.ELU(1e-42),
        nn.BatchNorm1d(2, eps=1e-42),
    ],
    ids=repr,
)
def test_constants_outside_of_the_normal_range_have_no_bound(module: nn.Module) -> None:
    with pytest.raises(ConfigurationError, match="no finite bound"):
        rounding_bound(module, input_shape=(2,), dtype=torch.float32)
    if not isinstance(module, nn.BatchNorm1d):
        assert rounding_bound(module, input_shape=(2,)).error < math.inf


@pytest.mark.parametrize("module", [Times(2e-38), Over(2e-38), Over(8e37), Times(0.0)], ids=repr)
def test_constants_just_within_it_have_one(module: nn.Module) -> None:
    check(nn.Sequential(module), (2,), low=-1e-12, high=1e-12)


def test_circular_convolutions_of_small_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """All weights one: what the rule multiplies is at least the norm of the matrix."""
    used: list[Tensor] = []

    def record(step: Step, weights: Tensor, bias: Tensor | None) -> float:
        used.append(weights)
        return 0.0

    monkeypatch.setattr(dense, "dot_products", record)
    met = 0
    for side, stride, taps, padding in itertools.product(range(2, 6), (2, 3, 4), (2, 3, 5), (0, 1)):
        conv = nn.Conv2d(
            1, 1, taps, stride, padding, padding_mode="circular", bias=False, dtype=torch.float64
        )
        nn.init.ones_(conv.weight)
        try:
            lipschitz_bound(conv, input_shape=(1, side, side))
        except LatentSmoothError:
            continue
        images = torch.eye(side * side, dtype=torch.float64).reshape(-1, 1, side, side)
        with torch.no_grad():
            matrix = conv(images).flatten(1)
        rounding_bound(conv, input_shape=(1, side, side))
        limit = float(torch.linalg.matrix_norm(used[-1].sum(dim=3)[0], 2))
        assert float(torch.linalg.matrix_norm(matrix, 2)) <= limit * (1 + 1e-9)
        met += side % stride > 0
    assert met > 10


def test_ordinary_constants() -> None:
    arithmetic = Arithmetic.of(torch.float64)
    assert arithmetic.is_ordinary(1.0, torch.tensor([0.0, -3.0]))
    assert not arithmetic.is_ordinary(1.0, torch.tensor([1e-310], dtype=torch.float64))
