"""Rounding of users' modules, followed operation by operation."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from latentsmooth.errors import LatentSmoothError, UnverifiedModule
from latentsmooth.lipschitz import declare_lipschitz, lipschitz_bound, rounding_bound
from latentsmooth.orthogonal import ConvexResidual, OrthogonalConv2d
from tests.lipschitz.roundings import check, images
from tests.lipschitz.test_random_programs import CHANNELS, SIDE, Program
from tests.seeds import shifted

IMAGE = (4, 6, 6)
LOOSE = 1000.0


class Followed(nn.Module):
    """A module that no table knows; its weights are the second argument's."""

    def __init__(
        self, function: Callable[[Tensor, Any], Tensor], *, in_place: bool = False
    ) -> None:
        super().__init__()
        self.function = function
        generator = torch.Generator().manual_seed(shifted(0))

        def drawn(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator))

        self.scale, self.matrix, self.bias = drawn(1, 4, 1, 1), drawn(6, 5), drawn(5)
        self.kernel, self.up = drawn(6, 4, 3, 3), drawn(4, 3, 2, 2)
        self.soft = nn.ELU(0.7, inplace=in_place)
        self.leaky = nn.LeakyReLU(0.3, inplace=in_place)
        self.inner = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Tanh())

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(inputs, self)


def _in_place(x: Tensor, m: Any) -> Tensor:
    y = x * 3.0
    z = m.leaky(y)
    y.mul_(0.7).add_(0.1)
    return torch.cat([y, z], dim=1)


def _overwritten_alias(x: Tensor, m: Any) -> Tensor:
    y = x * 1.1
    first = y[:, :2]
    m.soft(y)
    return torch.cat([first, y], dim=1)


FORWARDS: dict[str, Callable[[Tensor, Any], Tensor]] = {
    "sum": lambda x, m: x + 0.1,
    "weighted sum": lambda x, m: torch.add(x, x.flip(1), alpha=0.3),
    "reversed difference": lambda x, m: torch.rsub(x, 0.3),
    "number minus": lambda x, m: 1 / 3 - x,
    "tensor sum": lambda x, m: x - m.scale,
    "product": lambda x, m: x * m.scale,
    "number times": lambda x, m: 0.1 * x,
    "quotient": lambda x, m: x / 3,
    "tensor quotient": lambda x, m: x / (m.scale.abs() + 0.1),
    "wide constant": lambda x, m: x * torch.tensor(0.1, dtype=torch.float64),
    "large integers": lambda x, m: x * torch.tensor(2**25 + 1),
    "maximum": lambda x, m: torch.maximum(x, x.flip(2)),
    "clamp": lambda x, m: x.clamp(0.1, 0.7),
    "hardtanh": lambda x, m: F.hardtanh(x, -0.3, 0.3),
    "leaky": lambda x, m: F.leaky_relu(x, 0.1),
    "elu": lambda x, m: F.elu(x, 0.7),
    "curves": lambda x, m: torch.cat([x.tanh(), x.sigmoid(), F.silu(x), F.gelu(x)], dim=1),
    "more curves": lambda x, m: torch.cat([x.sin(), x.cos(), x.atan(), F.softsign(x)], dim=1),
    "in place curve": lambda x, m: (x * 1.0).tanh_(),
    "softmax": lambda x, m: (10 * x).softmax(dim=1),
    "linear": lambda x, m: F.linear(x, m.matrix.T, m.bias),
    "matmul": lambda x, m: x @ m.matrix,
    "convolution": lambda x, m: F.conv2d(x, m.kernel, stride=2, padding=1),
    "transposed": lambda x, m: F.conv_transpose2d(x, m.up, stride=(2,)),
    "average": lambda x, m: F.avg_pool2d(x, 3),
    "adaptive": lambda x, m: F.adaptive_avg_pool2d(x, 2),
    "mean": lambda x, m: x - x.mean(dim=(2, 3), keepdim=True),
    "total": lambda x, m: x.sum(dim=1),
    "pad": lambda x, m: F.pad(x, (1, 1), value=0.1),
    "moves": lambda x, m: F.pixel_unshuffle(x.roll(1, 2).transpose(2, 3), 2).flatten(1),
    "interpolation": lambda x, m: F.interpolate(x, scale_factor=2.0),
    "chain": lambda x, m: 1000 * m.inner(x * 1.7) - m.inner(x),
    "in place": _in_place,
    "overwritten alias": _overwritten_alias,
}


@pytest.mark.parametrize("name", FORWARDS)
def test_operations(name: str) -> None:
    module = Followed(FORWARDS[name], in_place=True)
    found, bound = check(module, IMAGE, low=-2.0, high=2.0)
    assert not bound.assumed
    if name in ("maximum", "moves", "interpolation"):
        assert bound.error == 0.0
    elif found:
        assert bound.error <= LOOSE * found


def test_followed_modules_within_known_ones_and_the_other_way_round() -> None:
    inner = Followed(lambda x, m: 0.5 * x + 0.5 * m.inner(x))
    block = ConvexResidual(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), inner))
    outer = Followed(lambda x, m: torch.stack([m.block(x), x], dim=1).sum(dim=1) * 0.3)
    outer.block = block
    found, bound = check(nn.Sequential(outer, nn.Flatten()), IMAGE)
    assert 0 < found <= bound.error <= LOOSE * found
    alone = rounding_bound(inner, input_shape=IMAGE, dtype=torch.float32)
    assert bound.error > alone.error


def test_errors_made_early_grow_with_what_follows() -> None:
    quiet = Followed(lambda x, m: x * m.scale)
    loud = Followed(lambda x, m: 4096 * (x * m.scale))
    errors = [
        rounding_bound(each, input_shape=IMAGE, dtype=torch.float32).error for each in (quiet, loud)
    ]
    assert 4096 * errors[0] < errors[1] < 3 * 4096 * errors[0]


def test_paths_of_unknown_children_are_named() -> None:
    outer = Followed(lambda x, m: m.stated(x) + x)
    outer.stated = declare_lipschitz(nn.Softplus(), 1.0, input_shape=IMAGE)
    bound = rounding_bound(nn.Sequential(outer), input_shape=IMAGE)
    assert bound.assumed == ("0.stated",)


def test_what_cannot_be_followed_is_an_error() -> None:
    with pytest.raises(UnverifiedModule, match="exp"):
        rounding_bound(Followed(lambda x, m: x.exp()), input_shape=IMAGE)


def test_inference_mode_changes_nothing() -> None:
    module = nn.Sequential(Followed(_in_place, in_place=True), OrthogonalConv2d(8, 8, 3))
    plain = rounding_bound(module, input_shape=IMAGE)
    with torch.inference_mode():
        assert rounding_bound(module, input_shape=IMAGE) == plain


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6))
def test_random_programs(seed: int) -> None:
    shape = (CHANNELS, SIDE, SIDE)
    program = Program(seed).float()
    try:
        lipschitz_bound(program, input_shape=shape)
    except LatentSmoothError:
        return
    bound = rounding_bound(program, input_shape=shape, dtype=torch.float32)
    wide, inputs = copy.deepcopy(program).double(), images(shape)
    with torch.no_grad():
        moved = program(inputs.clone()).double() - wide(inputs.double())
    assert float(moved.flatten(1).norm(dim=1).max()) <= bound.error
