"""Keyed noise: what decides a draw, what does not, and that it is Gaussian."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.smoothing import NOISE_CHUNK, NoiseStream, Phase
from latentsmooth.smoothing.noise import _mix32

CPU = torch.device("cpu")


def stream(
    seed: int = 0, index: int = 0, phase: Phase = Phase.ESTIMATE, latent_sigma: float = 1.0
) -> NoiseStream:
    return NoiseStream(
        seed=seed,
        index=index,
        phase=phase,
        latent_shape=(2, 3),
        latent_sigma=latent_sigma,
        device=CPU,
    )


def draws(source: NoiseStream, *sizes: int) -> torch.Tensor:
    return torch.cat([source.fill(torch.empty(size, 2, 3)) for size in sizes])


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(0, 3 * NOISE_CHUNK), min_size=1, max_size=6))
def test_the_sequence_does_not_depend_on_how_it_is_taken(sizes: list[int]) -> None:
    assert torch.equal(draws(stream(), *sizes), draws(stream(), sum(sizes)))


def test_every_part_of_the_key_matters() -> None:
    keys = [stream(), stream(seed=1), stream(index=1), stream(phase=Phase.SELECT)]
    firsts = [draws(source, 4) for source in keys]
    for position, first in enumerate(firsts):
        assert not any(torch.equal(first, other) for other in firsts[position + 1 :])


def test_seed_and_index_do_not_run_together() -> None:
    assert not torch.equal(draws(stream(seed=1, index=11), 4), draws(stream(seed=11, index=1), 4))


def test_is_standard_normal_scaled_by_sigma() -> None:
    sample = draws(stream(latent_sigma=0.25), 20_000).flatten() / 0.25
    assert kstest(sample.numpy(), "norm").pvalue > 1e-3


def test_neighbouring_images_are_uncorrelated() -> None:
    rows = torch.stack([draws(stream(index=index), 512).flatten() for index in range(30)])
    off_diagonal = torch.corrcoef(rows) - torch.eye(30)
    # 870 correlations of standard deviation 1/sqrt(3072): none beyond 5 of them.
    assert float(off_diagonal.abs().max()) < 5 / 3072**0.5


def test_chunks_of_one_image_never_share_a_generator_state() -> None:
    """Torch's CPU generator keeps 32 bits of a seed: they must differ within an image."""
    source = stream(seed=3, index=5)
    seen = set()
    for phase in Phase:
        for chunk in range(3000):
            source._phase, source._chunk = phase, chunk
            seen.add(source._chunk_seed() & 0xFFFFFFFF)
    assert len(seen) == len(Phase) * 3000


@settings(max_examples=200)
@given(first=st.integers(0, 2**32 - 1), second=st.integers(0, 2**32 - 1))
def test_mixing_is_injective(first: int, second: int) -> None:
    assert (_mix32(first) == _mix32(second)) == (first == second)


def test_wrong_buffers_and_keys_are_named() -> None:
    with pytest.raises(ShapeError, match=r"got \(4, 3\) torch.float32"):
        stream().fill(torch.empty(4, 3))
    with pytest.raises(ShapeError, match=r"torch.float64"):
        stream().fill(torch.empty(4, 2, 3, dtype=torch.float64))
    with pytest.raises(ConfigurationError, match="got -1 and 0"):
        stream(seed=-1)
    spent = stream()
    spent._chunk = 1 << 30
    with pytest.raises(ConfigurationError, match="at most"):
        spent.fill(torch.empty(1, 2, 3))
