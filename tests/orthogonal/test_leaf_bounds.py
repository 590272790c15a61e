"""Bounds of the modules that stand alone: against dense Jacobians, slopes and their suprema."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from latentsmooth.errors import UnverifiedModule
from latentsmooth.lipschitz import lipschitz_bound
from latentsmooth.orthogonal import ChannelScale, HouseholderActivation, ScaledAvgPool2d
from tests.oracles import singular_values
from tests.orthogonal.layers import POINTWISE, Row
from tests.seeds import shifted

SPACING = 1e-4
# Beyond 15 every one of these curves is straight or flat to the last digit of the slope.
GRID = torch.arange(-15, 15, SPACING, dtype=torch.float64)

CURVES = [
    (nn.CELU(0.3), 1.0),
    (nn.ELU(), 1.0),
    (nn.ELU(2.5), 2.5),
    (nn.ELU(-1.5), 1.5),
    (nn.GELU(), 1.1289),
    (nn.GELU("tanh"), 1.129),
    (nn.Hardsigmoid(), 1 / 6),
    (nn.Hardswish(), 1.5),
    (nn.Hardtanh(-0.3, 2.0), 1.0),
    (nn.LogSigmoid(), 1.0),
    (nn.PReLU(init=-1.75), 1.75),
    (nn.PReLU(), 1.0),
    (nn.ReLU6(), 1.0),
    (nn.SELU(), 1.7581),
    (nn.SiLU(), 1.0998),
    (nn.Softshrink(0.4), 1.0),
    (nn.Softsign(), 1.0),
    (nn.Tanhshrink(), 1.0),
]


@pytest.mark.parametrize(("layer", "near"), CURVES, ids=lambda value: str(value))
def test_no_slope_of_a_curve_exceeds_its_bound(layer: nn.Module, near: float) -> None:
    bound = lipschitz_bound(layer)
    assert bound == pytest.approx(near, rel=2e-3)
    layer = layer.double()
    with torch.no_grad():
        values = layer(GRID)
    # Secants see jumps, which derivatives do not; their rounding is 1e-15 / SPACING.
    assert float((values.diff() / SPACING).abs().max()) <= bound + 1e-10
    points = GRID.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(layer(points).sum(), points)
    assert float(slopes.abs().max()) <= bound * (1 + 1e-14)
    assert float(slopes.abs().max()) >= bound * (1 - 2e-3)


def test_the_approximate_gelu_cannot_exceed_its_bound_between_grid_points() -> None:
    points = GRID.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(nn.GELU("tanh")(points).sum(), points)
    # With u = sqrt(2/pi) (x + 0.044715 x^3), s = sech(u)^2 and |x| < 15, the curvature
    # s u' + x (s u'' - 2 tanh(u) s u'^2) / 2 is at most u' + |x| (u'' + 2 u'^2) / 2 without s:
    # far too much, but e^(4 - 2 |u|) bounds s, and the product below 20 is easily seen on a grid.
    x = GRID.abs()
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    first = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    second = math.sqrt(2 / math.pi) * 6 * 0.044715 * x
    curvature = 4 * (-2 * u).exp() * (first + x * (second + 2 * first**2) / 2)
    assert float(curvature.max()) < 20
    assert float(slopes.detach().max()) + 20 * SPACING / 2 <= lipschitz_bound(nn.GELU("tanh"))


def test_the_bends_of_gelu_and_silu_are_where_their_rules_say() -> None:
    bend = 2.39935728
    assert bend * math.tanh(bend / 2) < 2 < (bend + 1e-8) * math.tanh((bend + 1e-8) / 2)
    assert (2 + bend + 1e-8) / 4 <= lipschitz_bound(nn.SiLU()) + 1e-8
    steepest = (1 + math.erf(1)) / 2 + math.exp(-1) / math.sqrt(math.pi)
    assert steepest < lipschitz_bound(nn.GELU()) < steepest + 1e-9


@pytest.mark.parametrize(
    ("layer", "bound", "shape"),
    [
        (nn.AdaptiveAvgPool2d(1), 1.0, (2, 3, 4)),
        (nn.AdaptiveAvgPool2d((None, 1)), 1.0, (2, 3, 1)),
        (nn.AdaptiveMaxPool2d((1, None)), 1.0, (2, 3, 4)),
        (nn.AvgPool1d(4), 0.5, (2, 8)),
        (nn.AvgPool3d((1, 2, 2)), 0.5, (1, 2, 4, 4)),
        (nn.ChannelShuffle(2), 1.0, (4, 2, 2)),
        (nn.ConstantPad1d(2, 3.0), 1.0, (2, 3)),
        (nn.ConstantPad2d((1, -1, 0, 2), 3.0), 1.0, (2, 3, 4)),
        (nn.Dropout2d(), 1.0, (2, 3, 4)),
        (nn.MaxPool1d(2), 1.0, (2, 6)),
        (nn.MaxPool3d(2, (2, 3, 2)), 1.0, (1, 2, 5, 4)),
        (nn.PReLU(3, init=1.5), 1.5, (3, 2, 2)),
        (nn.Upsample(scale_factor=(2, 2)), 2.0, (2, 2, 3)),
        (nn.Upsample(scale_factor=(4, 1)), 2.0, (2, 2, 3)),
        (nn.UpsamplingNearest2d(scale_factor=(2, 4)), math.sqrt(8), (1, 2, 3)),
        (ScaledAvgPool2d(3), 1.0, (2, 3, 6)),
    ],
    ids=lambda value: str(value),
)
def test_bounds_hold_for_dense_jacobians(
    layer: nn.Module, bound: float, shape: tuple[int, ...]
) -> None:
    found = lipschitz_bound(layer)
    assert found == pytest.approx(bound, rel=1e-12)
    values = singular_values(layer.double().eval(), shape)
    assert float(values.max()) <= found * (1 + 1e-12)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.AdaptiveAvgPool2d(2), "may read pixels twice"),
        (nn.AdaptiveAvgPool2d((1, 3)), "may read pixels twice"),
        (nn.AdaptiveMaxPool2d((7, None)), "may read pixels twice"),
        (nn.AvgPool1d(3, 2), "reads pixels twice"),
        (nn.AvgPool1d(2, ceil_mode=True), "ceil_mode"),
        (nn.AvgPool3d(2, divisor_override=1), "divisor_override"),
        (nn.MaxPool1d(3, 1), "reads pixels twice"),
        (nn.MaxPool3d(2, dilation=2), "dilation"),
        (nn.CELU(-1.0), "alpha > 0"),
        (nn.Upsample(scale_factor=2), r"scale factor for each side, powers of two: \(2, 2\)"),
        (nn.Upsample(scale_factor=(3, 2)), "powers of two"),
        (nn.Upsample(scale_factor=(0.5, 0.5)), "powers of two"),
        (nn.Upsample(size=(4, 4)), "size"),
        (nn.Upsample(scale_factor=(2, 2), mode="bilinear"), "mode 'bilinear'"),
        (nn.Softplus(), "Softplus"),
        (nn.Hardshrink(), "Hardshrink"),
    ],
    ids=lambda value: str(value),
)
def test_what_is_not_certain_is_refused(layer: nn.Module, message: str) -> None:
    with pytest.raises(UnverifiedModule, match=message):
        lipschitz_bound(layer)


def test_softplus_jumps_where_it_becomes_the_identity() -> None:
    layer = nn.Softplus(threshold=1.0)
    below, above = layer(torch.tensor([1.0, 1.0001], dtype=torch.float64)).tolist()
    assert above < below - 0.3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("row", POINTWISE, ids=lambda row: row.name)
def test_learned_layers_are_bounded_with_the_numbers_in_force(row: Row, dtype: torch.dtype) -> None:
    torch.manual_seed(shifted(0))
    for _ in range(20):
        layer = row.make().to(dtype)
        bound = lipschitz_bound(layer)
        assert bound <= 1 + 8 * torch.finfo(dtype).eps
        # The same forward in float64, with the very numbers that the dtype rounded to.
        values = singular_values(InForce(layer), row.shape)
        assert float(values.max()) <= bound * (1 + 1e-14)


class InForce(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        if isinstance(self.layer, ChannelScale):
            scale = self.layer.scale.detach().double()
            return inputs * scale.reshape(-1, *[1] * (inputs.ndim - 2))
        assert isinstance(self.layer, HouseholderActivation)
        pairs = self.layer.channels // 2
        v, w = self.layer.normals.detach().double().reshape(2, -1, *[1] * (inputs.ndim - 2))
        first, second = inputs[:, :pairs], inputs[:, pairs : 2 * pairs]
        # Every pair on the side where it is reflected: the longest of the two pieces.
        product = first * v + second * w
        parts = [first - 2 * product * v, second - 2 * product * w, inputs[:, 2 * pairs :]]
        return torch.cat(parts, dim=1)


def test_the_identity_at_the_start_has_a_bound_of_exactly_one() -> None:
    assert lipschitz_bound(ChannelScale(4)) == 1.0
    scale = ChannelScale(2)
    nn.init.constant_(scale.weight, 0.5)
    assert lipschitz_bound(scale) == pytest.approx(0.5, rel=1e-15)
