"""Levels over singular values: never below, and hardly above."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentsmooth.lipschitz import certified
from latentsmooth.lipschitz.certified import Ceiling
from tests.seeds import shifted


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 7),
    columns=st.integers(1, 7),
    batch=st.integers(1, 4),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    complex_numbers=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_stands_over_every_matrix(
    rows: int, columns: int, batch: int, scale: float, complex_numbers: bool, seed: int
) -> None:
    dtype = torch.complex128 if complex_numbers else torch.float64
    generator = torch.Generator().manual_seed(seed)
    matrices = scale * torch.randn(batch, rows, columns, dtype=dtype, generator=generator)
    ceiling = Ceiling()
    for matrix in matrices:
        ceiling.cover(matrix[None])
    together = Ceiling()
    together.cover(matrices)
    largest = float(torch.linalg.matrix_norm(matrices, 2).max())
    for each in (ceiling, together):
        assert largest * (1 - 1e-14) <= each.norm <= largest * (1 + 1e-7)


@pytest.mark.parametrize("medium", [certified.MEDIUM, 0])
@pytest.mark.parametrize("spread", [0.0, 1e-3, 1.0])
def test_larger_matrices(spread: float, medium: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certified, "MEDIUM", medium)
    generator = torch.Generator().manual_seed(shifted(0))
    factor = torch.randn(200, 100, generator=generator, dtype=torch.float64)
    columns = torch.linalg.qr(factor).Q
    # Many singular values close to the largest are hard to estimate, not to certify.
    values = 1 - spread * torch.rand(100, generator=generator, dtype=torch.float64)
    ceiling = Ceiling()
    ceiling.cover((columns * values)[None])
    # The iterations for large ones settle at a level that depends on where they start.
    excess = 1e-7 if medium else 1e-2
    assert float(values.max()) * (1 - 1e-13) <= ceiling.norm
    assert ceiling.norm <= float(values.max()) * (1 + excess)


def test_a_matrix_of_rank_one_and_repeated_ones() -> None:
    ceiling = Ceiling()
    ceiling.cover(torch.ones(3, 4, 4, dtype=torch.float64))
    assert 4.0 <= ceiling.norm < 4.0 + 1e-7
    level = ceiling.level
    ceiling.cover(torch.eye(4, dtype=torch.float64)[None])
    assert ceiling.level == level


def test_zero_and_not_finite() -> None:
    ceiling = Ceiling()
    ceiling.cover(torch.zeros(2, 3, 3, dtype=torch.float64))
    assert ceiling.norm < 1e-150
    ceiling.cover(torch.full((1, 2, 2), math.nan, dtype=torch.float64))
    assert ceiling.norm == math.inf
