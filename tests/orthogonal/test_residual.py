"""Blocks of several paths: what they compute, and what they refuse."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.orthogonal import (
    Absolute,
    ConcatenativeResidual,
    ConvexResidual,
    MaxMin,
    OrthogonalConv2d,
    Parallel,
)
from tests.closeness import assert_near
from tests.oracles import singular_values
from tests.seeds import shifted


class Returns(nn.Module):
    """A branch that returns what it is given to return."""

    def __init__(self, result: object) -> None:
        super().__init__()
        self.result = result

    def forward(self, inputs: Tensor) -> object:
        return self.result


@pytest.mark.parametrize("learnable", [False, True])
@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.75])
def test_mixes_by_alpha(alpha: float, learnable: bool) -> None:
    block = ConvexResidual(Absolute(), alpha=alpha, learnable=learnable).double()
    inputs = torch.randn(3, 4, 2, dtype=torch.float64)
    assert float(block.alpha.detach()) == pytest.approx(alpha, rel=1e-6)
    expected = (1 - alpha) * inputs + alpha * inputs.abs()
    # The share is kept in float32.
    assert_near(block(inputs), expected, dtype=torch.float32)
    assert len(list(block.parameters())) == learnable
    assert list(block.state_dict()) == ["logit" if learnable else "fixed_alpha"]


def test_constant_shares_reach_the_ends() -> None:
    inputs = torch.randn(2, 3)
    for alpha, expected in ((0.0, inputs), (1.0, -inputs)):
        block = ConvexResidual(Negative(), alpha=alpha, learnable=False)
        assert torch.equal(block(inputs), expected)


class Negative(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return -inputs


def test_the_share_learns() -> None:
    block = ConvexResidual(Negative(), alpha=0.5)
    optimizer = torch.optim.SGD(block.parameters(), lr=1.0)
    for _ in range(200):
        optimizer.zero_grad()
        inputs = torch.ones(1, 1)
        (block(inputs) + 0.5).square().sum().backward()
        optimizer.step()
    assert float(block.alpha.detach()) == pytest.approx(0.75, abs=1e-3)


@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_the_share_stays_a_share_wherever_its_parameter_goes(logit: float) -> None:
    block = ConvexResidual(Negative())
    nn.init.constant_(block.logit, logit)
    assert 0 <= float(block.alpha.detach()) <= 1
    assert torch.allclose(block(torch.ones(1, 2)), torch.full((1, 2), math.copysign(1, -logit)))


@pytest.mark.parametrize("channels", [None, 1, 4])
def test_swaps_what_it_transforms_and_what_it_passes(channels: int | None) -> None:
    inputs = torch.randn(2, 5, 3)
    taken = channels or 2
    result = ConcatenativeResidual(Negative(), channels)(inputs)
    assert torch.equal(result, torch.cat([inputs[:, taken:], -inputs[:, :taken]], dim=1))


def test_two_swaps_transform_everything() -> None:
    inputs = torch.randn(2, 6)
    block = ConcatenativeResidual(Negative())
    assert torch.equal(block(block(inputs)), -inputs)


def test_a_swap_may_grow() -> None:
    torch.manual_seed(shifted(0))
    block = ConcatenativeResidual(OrthogonalConv2d(2, 5, 3)).double()
    values = singular_values(block, (4, 3, 4))
    assert block(torch.randn(1, 4, 3, 4, dtype=torch.float64)).shape[1] == 7
    assert torch.allclose(values, torch.ones_like(values))


def test_parallel_joins_in_order_and_lengthens_by_the_root() -> None:
    torch.manual_seed(shifted(0))
    block = Parallel(OrthogonalConv2d(2, 3, 3, bias=False), MaxMin(), Negative()).double()
    inputs = torch.randn(2, 2, 4, 4, dtype=torch.float64)
    expected = torch.cat([branch(inputs) for branch in block.branches], dim=1)
    assert torch.equal(block(inputs), expected)
    values = singular_values(block, (2, 4, 4))
    assert torch.allclose(values, torch.full_like(values, math.sqrt(3)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConvexResidual(MaxMin(), alpha=1.0), "strictly between 0 and 1 .* got 1.0"),
        (lambda: ConvexResidual(MaxMin(), alpha=-0.1, learnable=False), "from 0 to 1, got -0.1"),
        (lambda: ConvexResidual(MaxMin(), alpha=math.nan), "got nan"),
        (Parallel, "at least one branch, got none"),
        (lambda: Parallel(MaxMin(), nn.ReLU(inplace=True)), r"the branch \(ReLU\) works in place"),
        (
            lambda: ConvexResidual(nn.Sequential(MaxMin(), nn.Dropout(inplace=True))),
            r"the branch's 1 \(Dropout\) works in place .* use inplace=False",
        ),
        (lambda: ConcatenativeResidual(nn.ELU(inplace=True)), "works in place"),
    ],
)
def test_blocks_that_would_not_hold_are_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ConfigurationError, match=message):
        make()


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (
            ConvexResidual(OrthogonalConv2d(4, 8, 3)),
            r"branch OrthogonalConv2d to return a tensor of shape \(2, 4, 6, 6\), got \(2, 8, 6, 6",
        ),
        (ConvexResidual(nn.Flatten()), r"\(2, 4, 6, 6\), got \(2, 144\)"),
        (ConvexResidual(Returns(None)), r"branch Returns .*, got NoneType"),
        (ConcatenativeResidual(nn.AvgPool2d(2)), r"shape \(2, any, 6, 6\), got \(2, 2, 3, 3\)"),
        (ConcatenativeResidual(nn.Flatten()), r"\(2, any, 6, 6\), got \(2, 72\)"),
        (ConcatenativeResidual(MaxMin(), 4), r"more than 4 channels, got \(2, 4, 6, 6\)"),
        (Parallel(MaxMin(), nn.AvgPool2d(2)), r"AvgPool2d .* \(2, any, 6, 6\), got \(2, 4, 3, 3"),
        (Parallel(Returns((1, 2))), r"\(batch, channels, ...\), got tuple"),
        (Parallel(Returns(torch.zeros(3))), r"\(batch, channels, ...\), got \(3,\)"),
    ],
)
def test_branches_that_do_not_fit_are_named(block: nn.Module, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        block(torch.randn(2, 4, 6, 6))


def test_channels_that_cannot_be_split_are_named() -> None:
    with pytest.raises(ShapeError, match="at least one channel for the branch, got 0"):
        ConcatenativeResidual(MaxMin(), 0)
    with pytest.raises(ShapeError, match=r"with at least 2 channels, got \(2, 1\)"):
        ConcatenativeResidual(MaxMin())(torch.zeros(2, 1))
    with pytest.raises(ShapeError, match=r"got \(2,\)"):
        ConcatenativeResidual(MaxMin())(torch.zeros(2))


def test_parallel_compiles_and_exports() -> None:
    block = Parallel(MaxMin(), Absolute()).eval()
    inputs = torch.randn(2, 4, 3)
    torch.compiler.reset()
    compiled = torch.compile(block, fullgraph=True, backend="eager")
    assert torch.equal(compiled(inputs), block(inputs))
    assert torch.equal(torch.export.export(block, (inputs,)).module()(inputs), block(inputs))


def test_prints_its_settings() -> None:
    assert "alpha=0.25, learnable=False" in repr(
        ConvexResidual(MaxMin(), alpha=0.25, learnable=False)
    )
    assert "channels=half" in repr(ConcatenativeResidual(MaxMin()))
    assert "channels=3" in repr(ConcatenativeResidual(MaxMin(), 3))


def test_a_learned_share_is_no_setting() -> None:
    block = ConvexResidual(nn.Identity(), alpha=0.25)
    before = repr(block)
    nn.init.constant_(block.logit, 1.0)
    assert repr(block) == before
