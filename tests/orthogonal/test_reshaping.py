"""Rearrangements against naive implementations, their inverses, and their errors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from latentsmooth.errors import ShapeError
from latentsmooth.orthogonal import (
    Center,
    ChannelShuffle,
    HaarLowPass,
    HaarWavelet,
    InvertibleDownsample,
    InvertibleUpsample,
)
from tests.oracles import dense_jacobian

Invertible = Center | ChannelShuffle | HaarWavelet | InvertibleDownsample | InvertibleUpsample


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (InvertibleDownsample(2), (2, 3, 4, 6)),
        (InvertibleDownsample(3), (1, 1, 3, 6)),
        (InvertibleUpsample(2), (2, 8, 3, 2)),
        (InvertibleUpsample(1), (2, 3, 3, 2)),
        (ChannelShuffle(3), (2, 12, 3, 2)),
        (ChannelShuffle(4), (2, 4)),
        (HaarWavelet(1), (2, 3, 4, 6)),
        (HaarWavelet(3), (1, 2, 16, 8)),
        (Center([0.25, 0.5]), (1, 2, 3, 3)),
    ],
)
def test_inverses_are_exact(layer: Invertible, shape: tuple[int, ...]) -> None:
    # Small dyadic numbers: every sum below is exact in float32.
    inputs = torch.randint(-64, 64, shape) / 8
    result = layer(inputs)
    assert torch.equal(layer.inverse(result), inputs)
    assert torch.equal(layer(layer.inverse(result)), result)


def test_upsample_undoes_downsample() -> None:
    images = torch.randn(2, 3, 4, 6)
    blocks = InvertibleDownsample(2)(images)
    assert blocks.shape == (2, 12, 2, 3)
    assert torch.equal(InvertibleUpsample(2)(blocks), images)
    assert torch.equal(InvertibleUpsample(2).inverse(images), blocks)


def test_wavelet_bands_are_the_products_of_sums_and_differences() -> None:
    block = torch.randn(2, 2, dtype=torch.float64)
    total, difference = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64) / 2**0.5
    expected = [
        down @ block @ across for down in (total, difference) for across in (total, difference)
    ]
    result = HaarWavelet()(block.reshape(1, 1, 2, 2)).flatten()
    assert torch.allclose(result, torch.stack(expected))


def test_wavelet_bands_stand_one_after_the_other() -> None:
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    alone = [HaarWavelet()(images[:, i : i + 1]) for i in range(3)]
    together = HaarWavelet()(images)
    assert torch.equal(together, torch.stack(alone, dim=2).flatten(1, 2))
    for levels in (1, 2, 3):
        bands = HaarWavelet(levels)(images)
        assert bands.shape == (2, 3 * 4**levels, 8 // 2**levels, 8 // 2**levels)
        assert torch.allclose(bands[:, :3], HaarLowPass(levels)(images))


def test_each_wavelet_level_transforms_every_band() -> None:
    images = torch.randn(1, 2, 8, 4)
    assert torch.equal(HaarWavelet(2)(images), HaarWavelet()(HaarWavelet()(images)))
    jacobian = dense_jacobian(HaarWavelet(2), torch.randn(1, 1, 4, 4, dtype=torch.float64))
    # Every coefficient of two levels weighs all sixteen pixels alike: a Hadamard matrix.
    assert torch.allclose(jacobian.abs(), torch.full((16, 16), 0.25, dtype=torch.float64))


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_shuffle_agrees_with_torch(groups: int) -> None:
    inputs = torch.randn(2, 6, 3, 4)
    assert torch.equal(ChannelShuffle(groups)(inputs), nn.ChannelShuffle(groups)(inputs))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InvertibleUpsample(0), "factor of at least 1, got 0"),
        (lambda: HaarWavelet(0), "at least one level, got 0"),
        (lambda: ChannelShuffle(0), "at least one group, got 0"),
        (lambda: HaarWavelet(2)(torch.zeros(1, 1, 6, 8)), r"multiples of 4, got \(1, 1, 6, 8\)"),
        (lambda: HaarWavelet(1).inverse(torch.zeros(1, 6, 2, 2)), "channels in multiples of 4"),
        (lambda: InvertibleUpsample(3)(torch.zeros(1, 6, 2, 2)), "channels in multiples of 9"),
        (lambda: InvertibleUpsample(3).inverse(torch.zeros(1, 1, 2, 3)), "sides in multiples of 3"),
        (lambda: InvertibleDownsample().inverse(torch.zeros(4, 2, 2)), r"got \(4, 2, 2\)"),
        (lambda: ChannelShuffle(4)(torch.zeros(1, 6)), r"multiples of 4, got \(1, 6\)"),
        (lambda: ChannelShuffle(4).inverse(torch.zeros(4)), r"multiples of 4, got \(4,\)"),
        (lambda: Center([0.1, 0.2]).inverse(torch.zeros(1, 3, 2, 2)), "got \\(1, 3, 2, 2\\)"),
    ],
)
def test_sizes_that_do_not_fit_are_named(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ShapeError, match=message):
        make()


def test_prints_its_settings() -> None:
    layers = [InvertibleUpsample(3), HaarWavelet(2), ChannelShuffle(4)]
    texts = ["factor=3", "levels=2", "groups=4"]
    assert all(text in repr(layer) for layer, text in zip(layers, texts, strict=True))
