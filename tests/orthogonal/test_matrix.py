"""Orthonormal columns, and errors of the small layers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.orthogonal import (
    Center,
    ChannelNormalize,
    HaarLowPass,
    InvertibleDownsample,
    MaxMin,
    OrthogonalLinear,
    Parametrization,
    ZeroPadToMultiple,
    orthogonal_columns,
)
from latentsmooth.orthogonal.matrix import parameter_shape
from tests.closeness import assert_near


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 12),
    columns=st.integers(0, 12),
    scale=st.floats(0, 30),
    seed=st.integers(0, 1000),
    method=st.sampled_from(["cayley", "matrix_exp"]),
)
def test_columns_are_orthonormal_for_any_parameter(
    rows: int, columns: int, scale: float, seed: int, method: Parametrization
) -> None:
    columns = min(rows, columns)
    shape = parameter_shape(rows, columns, method)
    generator = torch.Generator().manual_seed(seed)
    parameter = scale * torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    q = orthogonal_columns(parameter, columns=columns, method=method)
    assert q.shape == (2, rows, columns)
    eye = torch.eye(columns, dtype=torch.float64).expand(2, -1, -1)
    assert torch.allclose(q.mT @ q, eye, atol=1e-9)


def test_gradients_match_finite_differences() -> None:
    parameter = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(orthogonal_columns, (parameter,))


def test_low_precision_parameters_are_computed_in_float32() -> None:
    parameter = torch.randn(6, 3).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        q = orthogonal_columns(parameter)
    assert q.dtype == torch.bfloat16
    exact = orthogonal_columns(parameter.double())
    # One rounding to bfloat16 at the end: half its eps, and what float32 adds.
    assert_near(q, exact, steps=1)


def test_wrong_parameters_are_named() -> None:
    with pytest.raises(ShapeError, match="wanted columns <= rows"):
        orthogonal_columns(torch.zeros(2, 3))
    with pytest.raises(ShapeError, match="matrix_exp wants a parameter of 4x4"):
        orthogonal_columns(torch.zeros(4, 2), columns=2, method="matrix_exp")
    with pytest.raises(ConfigurationError, match="unknown parametrization 'qr'"):
        orthogonal_columns(torch.zeros(4, 2), method="qr")  # type: ignore[arg-type]


def test_small_layers_refuse_what_does_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"\(\.\.\., 4\), got \(2, 5\)"):
        OrthogonalLinear(4, 2)(torch.zeros(2, 5))
    with pytest.raises(ShapeError, match="at least one feature"):
        OrthogonalLinear(0, 2)
    with pytest.raises(ShapeError, match=r"got \(3,\)"):
        MaxMin()(torch.zeros(3))
    with pytest.raises(ShapeError, match="multiples of 2"):
        HaarLowPass()(torch.zeros(1, 1, 3, 4))
    with pytest.raises(ShapeError, match="at least one level"):
        HaarLowPass(0)
    with pytest.raises(ShapeError, match="factor of at least 1"):
        InvertibleDownsample(0)
    with pytest.raises(ShapeError, match="multiple of at least 1"):
        ZeroPadToMultiple(0)
    with pytest.raises(ShapeError, match="got \\(1, 2, 4, 4\\)"):
        Center([0.1, 0.2, 0.3])(torch.zeros(1, 2, 4, 4))
    with pytest.raises(ConfigurationError, match="got none"):
        Center([])
    with pytest.raises(ConfigurationError, match="positive standard deviations"):
        ChannelNormalize(0.5, [0.2, 0.0])


def test_haar_keeps_the_mean_of_blocks_times_two() -> None:
    images = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert HaarLowPass()(images).flatten().tolist() == [5.0, 9.0, 21.0, 25.0]


def test_layers_print_their_settings() -> None:
    layers = [
        Center(0.5),
        ChannelNormalize(0.5, 0.25),
        InvertibleDownsample(2),
        HaarLowPass(1),
        ZeroPadToMultiple(4),
        OrthogonalLinear(4, 2),
    ]
    texts = ["mean=[0.5]", "std=[0.25]", "factor=2", "levels=1", "multiple=4", "in_features=4"]
    assert all(text in repr(layer) for layer, text in zip(layers, texts, strict=True))
