"""Lower bounds: close to the truth, and never above it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from latentsmooth.errors import ShapeError
from latentsmooth.lipschitz import lipschitz_bound, lipschitz_lower_bound
from latentsmooth.orthogonal import Center, MaxMin, OrthogonalConv2d, OrthogonalLinear
from tests.seeds import shifted


@pytest.mark.parametrize("shape", [(3, 9), (9, 3), (6, 6)])
def test_finds_the_norm_of_a_matrix(shape: tuple[int, int]) -> None:
    torch.manual_seed(shifted(0))
    layer = nn.Linear(*shape)
    largest = float(torch.linalg.matrix_norm(layer.weight.detach().double(), 2))
    found = lipschitz_lower_bound(layer, (shape[0],), iterations=100)
    assert largest * (1 - 1e-5) <= found <= largest * (1 + 1e-12)


def test_stays_below_the_bound_of_a_network() -> None:
    torch.manual_seed(shifted(0))
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 4, 3, padding=1, padding_mode="circular"),
        nn.Flatten(),
        nn.Linear(36, 5),
    )
    found = lipschitz_lower_bound(network, (3, 6, 6))
    assert 0.05 < found <= lipschitz_bound(network) * (1 + 1e-12)


def test_uses_the_weights_as_shipped() -> None:
    torch.manual_seed(shifted(0))
    for layer, shape in (
        (OrthogonalConv2d(16, 16, 3), (16, 8, 8)),
        (OrthogonalLinear(64, 64), (64,)),
    ):
        rounded: Any = layer.to(torch.bfloat16).eval()
        # Built anew in float64 the same parameters would give exactly 1.
        assert lipschitz_lower_bound(rounded, shape, iterations=40) > 1.0002
        assert lipschitz_lower_bound(rounded, shape) <= lipschitz_bound(rounded) * (1 + 1e-12)
        assert rounded.weight.dtype == torch.bfloat16


def test_more_iterations_and_points_never_find_less() -> None:
    torch.manual_seed(shifted(0))
    network = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
    few = lipschitz_lower_bound(network, (8,), points=2, iterations=3)
    assert few <= lipschitz_lower_bound(network, (8,), points=2, iterations=30)
    assert few == lipschitz_lower_bound(network, (8,), points=2, iterations=3)
    assert few != lipschitz_lower_bound(network, (8,), points=2, iterations=3, seed=1)


class OnceDifferentiable(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        return 3 * inputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return 3 * grads[0]


class Once(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        result: Tensor = OnceDifferentiable.apply(inputs)  # type: ignore[no-untyped-call]
        return result


class Constant(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return torch.ones(1, 2)


def test_modules_of_every_kind_of_gradient() -> None:
    assert lipschitz_lower_bound(Once(), (3, 4)) == pytest.approx(3, rel=1e-9)
    assert lipschitz_lower_bound(Constant(), (3,)) == 0.0
    assert lipschitz_lower_bound(Center(), (1, 2, 2)) == pytest.approx(1)
    assert lipschitz_lower_bound(MaxMin(), (4, 2, 2)) == pytest.approx(1)


def test_nothing_is_left_behind() -> None:
    layer = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(3)).train()
    state = torch.get_rng_state()
    with torch.no_grad():
        lipschitz_lower_bound(layer, (3,))
    assert torch.equal(torch.get_rng_state(), state)
    assert layer.training
    assert layer[1].num_batches_tracked == 0
    assert next(layer.parameters()).dtype == torch.float32
    assert next(layer.parameters()).requires_grad


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"inputs of shape \(4,\)"):
        lipschitz_lower_bound(nn.Linear(3, 2), (4,))
    with pytest.raises(ShapeError, match="multiple of stride"):
        lipschitz_lower_bound(OrthogonalConv2d(1, 4, 2, 2), (1, 3, 3))
