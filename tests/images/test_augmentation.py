from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.images import random_crop_flip


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def distinct(count: int, height: int, width: int) -> Tensor:
    """Every pixel has its own value, none of them 0."""
    return torch.arange(1, count * 2 * height * width + 1.0).reshape(count, 2, height, width)


def origins(image: Tensor, result: Tensor, padding: int, *, flip: bool) -> list[tuple[int, ...]]:
    """All (down, right, mirrored) that make ``result`` of ``image``."""
    height, width = image.shape[1:]
    padded = functional.pad(image, (padding,) * 4)
    shifts = range(2 * padding + 1)
    return [
        (down, right, mirrored)
        for down, right, mirrored in itertools.product(shifts, shifts, range(1 + flip))
        if torch.equal(
            result.flip(-1) if mirrored else result,
            padded[:, down : down + height, right : right + width],
        )
    ]


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(0, 4),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    padding=st.integers(0, 3),
    flip=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_every_output_is_a_shifted_possibly_mirrored_crop(
    seed: int, count: int, height: int, width: int, padding: int, flip: bool
) -> None:
    images = distinct(count, height, width)
    before = images.clone()
    results = random_crop_flip(images, generator=generator(seed), padding=padding, flip=flip)
    assert results.shape == images.shape
    assert torch.equal(images, before)
    for image, result in zip(images, results, strict=True):
        assert origins(image, result, padding, flip=flip)
    again = random_crop_flip(images, generator=generator(seed), padding=padding, flip=flip)
    assert torch.equal(results, again)


def test_shifts_and_mirrors_are_all_reached_about_equally() -> None:
    image = distinct(1, 5, 5)
    results = random_crop_flip(image.expand(3600, -1, -1, -1), generator=generator(0), padding=1)
    counts: dict[tuple[int, ...], int] = {}
    for result in results:
        (origin,) = origins(image[0], result, 1, flip=True)
        counts[origin] = counts.get(origin, 0) + 1
    assert len(counts) == 18
    assert all(130 < count < 270 for count in counts.values())


def test_images_of_a_batch_move_on_their_own_and_seeds_differ() -> None:
    images = distinct(1, 8, 8).expand(32, -1, -1, -1)
    first = random_crop_flip(images, generator=generator(1))
    assert len({result.numpy().tobytes() for result in first}) > 20
    assert not torch.equal(first, random_crop_flip(images, generator=generator(2)))


def test_neither_padding_nor_flip_is_a_copy() -> None:
    images = distinct(3, 4, 5)
    result = random_crop_flip(images, generator=generator(0), padding=0, flip=False)
    assert torch.equal(result, images)
    result += 1
    assert images[0, 0, 0, 0] == 1


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"got \(3, 4, 4\)"):
        random_crop_flip(torch.zeros(3, 4, 4), generator=generator(0))
    with pytest.raises(ConfigurationError, match="padding is -1"):
        random_crop_flip(torch.zeros(1, 3, 4, 4), generator=generator(0), padding=-1)
