"""The norms behind the rounding of dot products, against dense matrices."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from latentsmooth.lipschitz import Step
from latentsmooth.lipschitz.roundoff.arithmetic import Arithmetic, length
from latentsmooth.lipschitz.roundoff.dots import nonnegative_norm
from latentsmooth.lipschitz.roundoff.rules.dense import convolution_rounding

KINDS: dict[int, tuple[Any, Any]] = {
    1: (nn.Conv1d, nn.ConvTranspose1d),
    2: (nn.Conv2d, nn.ConvTranspose2d),
    3: (nn.Conv3d, nn.ConvTranspose3d),
}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10**6))
def test_norms_of_matrices_without_negative_entries(rows: int, columns: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    matrices = torch.rand(2, rows, columns, generator=generator, dtype=torch.float64)
    matrices *= torch.rand(matrices.shape, generator=generator, dtype=torch.float64) > 0.5
    truth = float(torch.linalg.matrix_norm(matrices, 2).max())
    scale = 2.0 ** (seed % 1800 - 900)
    bound = nonnegative_norm(matrices * scale) / scale
    assert truth * (1 - 1e-12) <= bound <= 1.2 * truth


@pytest.mark.parametrize("seed", range(60))
def test_convolutions_of_any_geometry_against_their_matrices(seed: int) -> None:
    draw = random.Random(seed)
    axes, transposed = draw.choice((1, 2, 2, 3)), draw.random() < 0.5
    groups, sides = draw.choice((1, 1, 2)), [draw.randint(4, 6) for _ in range(3)]
    taps, stride, dilation = (
        [draw.randint(1, most) for _ in range(axes)]
        for most in ((3, 3, 2) if axes < 3 else (2,) * 3)
    )
    reach = [gap * (size - 1) for gap, size in zip(dilation, taps, strict=True)]
    inputs = groups * draw.randint(1, 3)
    layer: nn.Module = KINDS[axes][transposed](
        inputs,
        groups * draw.randint(1, 3),
        tuple(taps),
        stride=tuple(stride),
        padding=tuple(draw.randint(0, size // 2) for size in reach),
        dilation=tuple(dilation),
        groups=groups,
        bias=False,
    ).double()
    weight = layer.get_parameter("weight")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        sparse = torch.rand(weight.shape, generator=generator) < draw.choice((1.0, 0.5))
        weight.copy_(torch.rand(weight.shape, generator=generator) * sparse)
        shape = (inputs, *sides[:axes])
        units = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
        outputs = layer(units)
    arithmetic = Arithmetic.of(torch.float32)
    matrix = outputs.flatten(1).T
    roundings = arithmetic.gammas((matrix != 0).sum(dim=1))
    truth = float(torch.linalg.matrix_norm(roundings[:, None] * matrix, 2))
    step = Step(
        inputs=units[:1],
        outputs=outputs[:1],
        norm=1.0,
        output_norm=1.0,
        gain=1.0,
        arithmetic=arithmetic,
    )
    bound = convolution_rounding(
        step, weight, None, stride, dilation, groups, transposed=transposed
    )
    assert truth * (1 - 1e-9) <= bound
    # A kernel that only ever meets padding has a bound and does nothing.
    assert bound <= 4 * truth + arithmetic.unit * float(weight.detach().sum()) + 1e-300


def test_lengths_neither_overflow_nor_vanish() -> None:
    for size in (1e-300, 1.0, 1e300):
        assert 5 * size * (1 - 1e-15) <= length(
            torch.tensor([3 * size, -4 * size], dtype=torch.float64)
        )
        assert length(torch.full((100,), size, dtype=torch.float64)) <= 10 * size * (1 + 1e-12)
    assert length(torch.zeros(3)) == 0.0
    assert math.isnan(length(torch.tensor([1.0, math.nan])))
