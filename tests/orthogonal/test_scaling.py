"""The learned scale of channels."""

from __future__ import annotations

import pytest
import torch

from latentsmooth.errors import ShapeError
from latentsmooth.orthogonal import ChannelScale
from tests.seeds import shifted


def weighted(*weights: float) -> ChannelScale:
    layer = ChannelScale(len(weights))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights))
    return layer


def test_starts_as_the_identity() -> None:
    inputs = torch.randn(2, 3, 4, 4)
    assert torch.equal(ChannelScale(3)(inputs), inputs)


@pytest.mark.parametrize(
    ("weights", "scale"),
    [
        ((0.5, -0.25), (0.5, -0.25)),
        ((1.0, -1.0), (1.0, -1.0)),
        ((4.0, -1.0), (1.0, -0.25)),
        ((-8.0, 2.0), (-1.0, 0.25)),
        ((0.0, 0.0), (0.0, 0.0)),
    ],
)
def test_divides_by_what_the_largest_has_in_excess(
    weights: tuple[float, ...], scale: tuple[float, ...]
) -> None:
    layer = weighted(*weights)
    assert layer.scale.tolist() == list(scale)
    assert layer(torch.ones(1, 2, 3))[0, :, 0].tolist() == list(scale)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_no_rounding_lifts_a_scale_above_one(dtype: torch.dtype) -> None:
    torch.manual_seed(shifted(0))
    for _ in range(200):
        layer = weighted(*(3 * torch.randn(9)).tolist()).to(dtype)
        assert float(layer.scale.detach().abs().max()) <= 1


def test_all_scales_can_shrink_together_from_the_start() -> None:
    layer = ChannelScale(4)
    layer(torch.ones(1, 4)).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [1.0] * 4


def test_gradients_match_finite_differences_on_either_side_of_one() -> None:
    inputs = torch.randn(3, 3, 2, dtype=torch.float64)
    layer = ChannelScale(3).double()

    def at(weight: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.func.functional_call(layer, {"weight": weight}, (inputs,))
        return result

    for weights in ([0.5, -0.25, 0.1], [0.5, -3.0, 2.0]):
        weight = torch.tensor(weights, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(at, (weight,))


def test_wrong_sizes_are_named() -> None:
    with pytest.raises(ShapeError, match="at least one channel, got 0"):
        ChannelScale(0)
    with pytest.raises(ShapeError, match=r"expected \(batch, 3, ...\), got \(1, 4, 2\)"):
        ChannelScale(3)(torch.zeros(1, 4, 2))
    with pytest.raises(ShapeError, match=r"got \(3,\)"):
        ChannelScale(3)(torch.zeros(3))


def test_prints_its_channels() -> None:
    assert repr(ChannelScale(3)) == "ChannelScale(3)"
