"""The lattice: sums on it are exact, its slack is what rounding moves, its range is kept."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.smoothing import Lattice, choose_lattice
from latentsmooth.smoothing.noise import Grade, noise_filler

SIGMAS = st.floats(1e-20, 1e20)


@given(sigma=SIGMAS, size=st.integers(1, 2**22), largest=st.floats(0, 1e6))
@settings(max_examples=200, deadline=None)
def test_a_step_is_a_power_of_two_whose_slack_is_of_no_account(
    sigma: float, size: int, largest: float
) -> None:
    lattice = choose_lattice(latent_sigma=sigma, size=size, largest=largest * sigma)
    assert math.frexp(lattice.step)[0] == 0.5
    assert 2.0**10 <= sigma / lattice.step < 2.0**19
    assert lattice.certified_limit > 0
    assert Fraction(lattice.slack) ** 2 >= Fraction(lattice.step) ** 2 * size
    if size <= 2**17:
        assert lattice.slack <= sigma / 256
    if largest <= 10:
        assert largest * sigma <= lattice.certified_limit or size > 2**17


@pytest.mark.parametrize("sigma", [0.12, 0.25, 1.0, 3.7])
@pytest.mark.parametrize("grade", ["fast", "exact"])
def test_sums_with_noise_are_exact_up_to_the_limit(grade: Grade, sigma: float) -> None:
    sigma = torch.tensor(sigma, dtype=torch.float32).item()
    lattice = choose_lattice(latent_sigma=sigma, size=64, largest=1.0)
    filler = noise_filler(torch.device("cpu"), grade=grade)
    edge = math.floor(lattice.limit / lattice.step) * lattice.step
    latents = torch.tensor([0.0, 1.0, -1.0, edge, -edge], dtype=torch.float64).repeat(13)[:64]
    rounded = lattice.rounded(latents[None], certified=False)
    plan = torch.tensor([[0, 7, 1, draw] for draw in range(3000)])
    fill = {"latent_sigma": sigma, "step": lattice.step}
    noisy = filler.fill(torch.empty(3000, 64), rounded, plan, **fill)
    noise = filler.fill(torch.empty(3000, 64), torch.zeros(1, 64), plan, **fill)
    assert torch.equal(noisy.double(), rounded.double() + noise.double())
    assert float(noise.abs().max()) > 4 * sigma


def test_rounding_is_to_the_nearest_and_zero_has_no_sign() -> None:
    lattice = Lattice(step=0.25, size=6, latent_sigma=1.0)
    given_ = torch.tensor([[0.3, -0.1, -0.0, 0.375, -0.625, 7.99]], dtype=torch.float64)
    found = lattice.rounded(given_, certified=True)
    assert found.dtype == torch.float32
    assert found.tolist() == [[0.25, 0.0, 0.0, 0.5, -0.5, 8.0]]
    assert not bool(torch.signbit(found[found == 0]).any())
    moved = (found.double() - given_).norm()
    assert float(moved) <= lattice.slack / 2


@pytest.mark.parametrize("grade", ["fast", "exact"])
def test_no_zero_of_a_noisy_latent_has_a_sign(grade: Grade) -> None:
    """It would tell on which side of zero the latent was before it was rounded."""
    sigma, step = 2.0**-7, 2.0**-17  # coarse: many sums are zero
    filler = noise_filler(torch.device("cpu"), grade=grade)
    lattice = Lattice(step=step, size=4096, latent_sigma=sigma)
    latents = lattice.rounded(torch.full((1, 4096), -0.3 * step), certified=True)
    plan = torch.tensor([[0, 1, 1, draw] for draw in range(50)])
    noisy = filler.fill(torch.empty(50, 4096), latents, plan, latent_sigma=sigma, step=step)
    zeros = noisy[noisy == 0]
    assert len(zeros) > 20
    assert not bool(torch.signbit(zeros).any())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e6])
@pytest.mark.parametrize("certified", [True, False])
def test_what_is_out_of_range_is_refused_and_never_wrapped(bad: float, certified: bool) -> None:
    lattice = choose_lattice(latent_sigma=0.25, size=8, largest=1.0)
    latents = torch.zeros(1, 8, dtype=torch.float64)
    latents[0, 3] = bad
    with pytest.raises(DataError, match="can be added to them exactly"):
        lattice.rounded(latents, certified=certified)


def test_a_certified_ball_leaves_no_latent_out_of_range() -> None:
    lattice = choose_lattice(latent_sigma=0.25, size=8, largest=1.0)
    widest = 0.25 * 8.3  # the quantile of the largest double below one
    assert lattice.certified_limit + widest < lattice.limit
    latents = torch.full((1, 8), (lattice.certified_limit + lattice.limit) / 2)
    lattice.rounded(latents, certified=False)
    with pytest.raises(DataError):
        lattice.rounded(latents, certified=True)


@pytest.mark.parametrize("sigma", [0.0, -1.0, 1e-30, 1e30, math.nan, math.inf])
def test_sigmas_that_float32_cannot_work_with_are_refused(sigma: float) -> None:
    with pytest.raises(ConfigurationError, match="latent_sigma"):
        choose_lattice(latent_sigma=sigma, size=4, largest=1.0)
