"""The gain over all frequencies, against fine grids, closed forms and the extremal polynomial."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from latentsmooth.lipschitz import spectral
from latentsmooth.lipschitz.spectral import frequency_bound, grid_for, is_affordable
from tests.seeds import shifted


def largest_gain(kernel: Tensor, *, points: int) -> float:
    """Over a fine grid of frequencies, by another transform and another decomposition."""
    taps = kernel.shape[3:]
    sizes = [points if size > 1 else 1 for size in taps]
    response = torch.fft.fftn(kernel, s=sizes, dim=list(range(3, kernel.ndim)))
    matrices = response.movedim((1, 2), (-2, -1))
    return float(torch.linalg.svdvals(matrices).max())


@settings(max_examples=40, deadline=None)
@given(
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    taps=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    oversampling=st.integers(2, 12),
    seed=st.integers(0, 1000),
)
def test_never_below_and_no_farther_above_than_stated(
    channels: tuple[int, int, int], taps: list[int], oversampling: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    kernel = torch.randn(*channels, *taps, generator=generator, dtype=torch.float64)
    bound = frequency_bound(kernel, oversampling=oversampling)
    truth = largest_gain(kernel, points={1: 512, 2: 64, 3: 24}[len(taps)])
    loss = math.cos(math.pi / (2 * oversampling)) ** -sum(size > 1 for size in taps)
    assert truth * (1 - 1e-12) <= bound
    # The comparison grid itself may miss the peak.
    assert bound <= truth * loss * (1.06 if len(taps) == 3 else 1.02)


@pytest.mark.parametrize("axes", [1, 2])
def test_random_kernels_within_one_percent(axes: int) -> None:
    generator = torch.Generator().manual_seed(shifted(0))
    for size in (2, 3, 5):
        kernel = torch.randn(1, 6, 4, *[size] * axes, generator=generator, dtype=torch.float64)
        truth = largest_gain(kernel, points=512 if axes == 1 else 128)
        assert truth <= frequency_bound(kernel) <= truth * 1.01


@pytest.mark.parametrize("oversampling", [2, 3, 4, 8])
def test_inequality_for_non_negative_polynomials(oversampling: int) -> None:
    fine = torch.linspace(0, 2 * math.pi, 20001, dtype=torch.float64)
    worst = 0.0
    for degree in (1, 2, 3):
        points = degree * oversampling
        grid = torch.arange(points, dtype=torch.float64) * 2 * math.pi / points
        for shift in torch.linspace(0, 2 * math.pi / points, 41, dtype=torch.float64):

            def value(w: Tensor, d: int = degree, s: Tensor = shift) -> Tensor:
                return 1 + torch.cos(d * (w - s))

            peak, seen = float(value(fine).max()), float(value(grid).max())
            worst = max(worst, peak * math.cos(math.pi / (2 * oversampling)) ** 2 / seen)
    assert 1 - 1e-6 < worst <= 1 + 1e-12


def test_scale_and_empty_borders_do_not_matter() -> None:
    generator = torch.Generator().manual_seed(shifted(0))
    kernel = torch.randn(1, 3, 3, 3, 3, generator=generator, dtype=torch.float64)
    bound = frequency_bound(kernel, oversampling=8)
    assert frequency_bound(kernel * 2.0**-500, oversampling=8) == bound * 2.0**-500
    assert frequency_bound(kernel * 2.0**500, oversampling=8) == bound * 2.0**500
    padded = torch.nn.functional.pad(kernel, (1, 2, 0, 1))
    assert frequency_bound(padded, oversampling=8) == pytest.approx(bound, rel=1e-9)
    assert frequency_bound(torch.zeros(1, 2, 2, 3, dtype=torch.float64)) == 0.0


def test_gives_up_where_the_bound_would_not_help() -> None:
    kernel = torch.ones(1, 2, 2, 3, dtype=torch.float64)
    assert frequency_bound(kernel, give_up_at=1.0) == math.inf
    assert frequency_bound(kernel, give_up_at=7.0) < 7.0


def test_the_grid_follows_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = [(1, c, c, 3, 3) for c in (4, 64, 256, 512)]
    grids = [grid_for(shape) for shape in shapes]
    assert grids == sorted(grids, reverse=True)
    assert grids[0] >= 32
    assert grids[-1] >= 5
    assert is_affordable(shapes[-1])
    assert not is_affordable((1, 4096, 4096, 5, 5))
    monkeypatch.setattr(spectral, "BUDGET", 0.0)
    monkeypatch.setattr(spectral, "CHEAP", 0.0)
    assert grid_for(shapes[0]) == 2
