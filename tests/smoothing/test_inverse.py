"""The table of noise of grade exact, against integrals in forty digits."""

from __future__ import annotations

from itertools import pairwise

import mpmath
import numpy as np
import pytest
import torch
from scipy.stats import norm

from latentsmooth.errors import ConfigurationError
from latentsmooth.smoothing.noise import Phase, inverse_table, noise_filler, noise_key
from latentsmooth.smoothing.noise.inverse import _MASS_ERROR
from tests.seeds import shifted

RATIOS = (2.0**10, 3.3 * 2**11, 2.0**15)


def counts_of(ratio: float) -> list[int]:
    thresholds = inverse_table(ratio).thresholds.tolist()
    edges = [0, *thresholds, 2**63]
    return [high - low for low, high in pairwise(edges)]


def mass(level: int, ratio: float) -> mpmath.mpf:
    """Of both signs: twice the difference of two tails, which forty digits are plenty for."""
    with mpmath.workdps(40):
        low, high = ((mpmath.mpf(level) + s) / mpmath.mpf(ratio) for s in (-0.5, 0.5))
        if level == 0:
            return mpmath.erf(high / mpmath.sqrt(2))
        return mpmath.erfc(low / mpmath.sqrt(2)) - mpmath.erfc(high / mpmath.sqrt(2))


@pytest.mark.parametrize("ratio", RATIOS)
def test_counts_are_the_masses_of_the_levels(ratio: float) -> None:
    counts = counts_of(ratio)
    assert sum(counts) == 2**63
    assert min(counts) >= 0
    levels = np.unique(np.geomspace(1, len(counts) - 1, 150).astype(int)).tolist()
    for level in levels:
        exact = mass(level, ratio) * 2**63
        assert abs(counts[level] - exact) <= 0.5 + float(exact) * _MASS_ERROR / 2
    # What is left over or missing went to level 0, and is within what is stated.
    left = abs(counts[0] - mass(0, ratio) * 2**63)
    assert left <= 2**63 * inverse_table(ratio).total_variation


def test_the_distance_stated_covers_that_of_all_levels() -> None:
    ratio = 2.0**10
    counts = counts_of(ratio)
    apart = sum(abs(count - mass(k, ratio) * 2**63) for k, count in enumerate(counts))
    beyond = mpmath.erfc((len(counts) - 0.5) / ratio / mpmath.sqrt(2))
    distance = float((apart / 2**63 + beyond) / 2)
    assert 0 < distance < inverse_table(ratio).total_variation < 1e-13


@pytest.mark.parametrize("ratio", RATIOS)
def test_the_guide_says_where_to_look(ratio: float) -> None:
    table = inverse_table(ratio)
    generator = torch.Generator().manual_seed(shifted(1))
    numbers = torch.randint(0, 2**63 - 1, (20_000,), generator=generator)
    sizes = torch.searchsorted(table.thresholds, numbers, right=True)
    cells = numbers >> 46
    assert bool((table.guide[cells] <= sizes).all())
    assert bool((sizes <= table.guide[cells + 1]).all())


@pytest.mark.parametrize("grade", ["fast", "exact"])
def test_noise_lies_on_the_lattice_and_is_gaussian(grade: str) -> None:
    sigma, step, rows, size = 0.37, 2.0**-17, 60, 4096
    filler = noise_filler(torch.device("cpu"), grade=grade)  # type: ignore[arg-type]
    key = noise_key(seed=3, index=5)
    plan = torch.tensor([[0, key, Phase.ESTIMATE, draw] for draw in range(rows)])
    latents = torch.zeros(1, size)
    noisy = filler.fill(torch.empty(rows, size), latents, plan, latent_sigma=sigma, step=step)
    steps = noisy.double() / step
    assert torch.equal(steps, steps.round())
    sample = np.sort((noisy.double() / sigma).flatten().numpy())
    ranks = np.arange(1, len(sample) + 1) / len(sample)
    largest = np.abs(norm.cdf(sample) - ranks).max() * np.sqrt(len(sample))
    assert largest < 1.95  # Kolmogorov's distribution passes it once in a thousand
    for tail in (1.0, 2.0, 3.0, 4.0):
        expected = 2 * norm.sf(tail) * len(sample)
        assert abs((np.abs(sample) > tail).sum() - expected) < 4.5 * np.sqrt(expected)
    signs = np.sign(noisy.numpy())
    assert abs(signs.mean()) < 4 / np.sqrt(signs.size)
    flat = noisy.numpy()
    for shift in (1, 16, 32):
        together = (flat[:, shift:] * flat[:, :-shift]).mean() / sigma**2
        assert abs(together) < 4.5 / np.sqrt(flat[:, shift:].size)


@pytest.mark.parametrize("ratio", [0.0, 2.0**9, 2.0**20 + 1, float("nan")])
def test_other_ratios_are_refused(ratio: float) -> None:
    with pytest.raises(ConfigurationError, match="sigma / step"):
        inverse_table(ratio)
