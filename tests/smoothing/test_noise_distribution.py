"""Keyed noise is Gaussian, and independent across everything that tells two numbers apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, chi2, kstest, norm

from latentsmooth.smoothing.noise import Phase, noise_filler, noise_key

SIZE = 4096


def draws(seed: int, index: int, phase: Phase, count: int, size: int = SIZE) -> np.ndarray:
    plan = torch.tensor([[0, noise_key(seed=seed, index=index), phase, j] for j in range(count)])
    out = torch.empty(count, size)
    filler = noise_filler(torch.device("cpu"))
    return filler.fill(out, torch.zeros(1, size), plan, latent_sigma=1.0).numpy()


@pytest.fixture(scope="module")
def sample() -> np.ndarray:
    return draws(0, 0, Phase.ESTIMATE, 4096)  # 16.8 million normals


def test_the_first_four_moments_are_the_normal_ones(sample: np.ndarray) -> None:
    values = sample.ravel().astype(np.float64)
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        error = (values**power).mean() - mean
        assert abs(error) < 4.5 * (variance / len(values)) ** 0.5, power


def test_the_distribution_is_normal(sample: np.ndarray) -> None:
    assert kstest(sample[:256].ravel(), "norm").pvalue > 1e-4


@pytest.mark.parametrize("bound", [3, 4, 5])
def test_as_many_lie_far_out_as_should(sample: np.ndarray, bound: int) -> None:
    for tail in (sample > bound, sample < -bound):
        assert binomtest(int(tail.sum()), tail.size, float(norm.sf(bound))).pvalue > 1e-4


def test_each_output_of_a_block_is_normal_by_itself(sample: np.ndarray) -> None:
    """Words 0 to 3 are told apart by their place in the group."""
    grouped = sample[:1024].reshape(1024, -1, 4, 16)
    for word in range(4):
        values = grouped[:, :, word].ravel()
        assert kstest(values, "norm").pvalue > 1e-4
        assert abs(values.astype(np.float64).mean()) < 4.5 / len(values) ** 0.5


def uncorrelated(rows: np.ndarray) -> bool:
    """Whether no two rows correlate, in value or in square: a chi-square test on all pairs."""
    below = np.tril_indices(len(rows), -1)
    for values in (rows.astype(np.float64), rows.astype(np.float64) ** 2):
        pairs = np.asarray(np.corrcoef(values))[below]
        statistic = float((pairs**2).sum() * rows.shape[1])
        if not 1e-5 < chi2.sf(statistic, len(pairs)) < 1 - 1e-5:
            return False
    return True


def test_draws_phases_images_and_seeds_are_independent(sample: np.ndarray) -> None:
    assert uncorrelated(sample[:60])
    assert uncorrelated(np.concatenate([draws(0, 0, phase, 20) for phase in Phase]))
    assert uncorrelated(np.concatenate([draws(0, i, Phase.SELECT, 1) for i in range(60)]))
    assert uncorrelated(np.concatenate([draws(s, 0, Phase.SELECT, 1) for s in range(60)]))


def test_neighbouring_elements_are_independent(sample: np.ndarray) -> None:
    """All 128 elements of two groups against one another: every pair from one block among them."""
    assert uncorrelated(sample[:, :128].T)


def test_the_two_normals_of_a_pair_are_independent(sample: np.ndarray) -> None:
    """Uniform on the circle, with a radius that says nothing of the angle."""
    pairs = sample[:256].reshape(256, -1, 2, 2, 16)
    first, second = pairs[:, :, :, 0].ravel(), pairs[:, :, :, 1].ravel()
    angle = np.arctan2(second, first).astype(np.float64)
    square = (first.astype(np.float64) ** 2 + second**2) / 2
    assert kstest(angle / (2 * np.pi) + 0.5, "uniform").pvalue > 1e-4
    assert kstest(square, "expon").pvalue > 1e-4
    for order in (1, 2, 4, 8):
        correlation = np.corrcoef(np.cos(order * angle), square)[0, 1]
        assert abs(correlation) < 4.5 / len(angle) ** 0.5
