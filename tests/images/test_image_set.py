from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentsmooth.errors import ConfigurationError
from latentsmooth.images import ImageSet, image_set, load_images
from tests.images.samples import png, write_parquet


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    labels = [0, 1, None, 1, 0, 1, 0]
    rows = [png(seed=seed) for seed in range(7)]
    return load_images(f"parquet:{write_parquet(tmp_path / 'a.parquet', rows, labels)}")


def test_items_and_batches_agree(images: ImageSet) -> None:
    single = [item.image for item in images]
    pixels, labels, indices = images.batch(range(7))
    assert pixels.dtype == torch.float32
    assert labels.dtype == indices.dtype == torch.int64
    assert torch.equal(torch.stack(single), pixels)
    assert torch.equal(torch.stack([item.image for item in images]), pixels)
    assert labels.tolist() == images.labels.tolist() == [0, 1, -1, 1, 0, 1, 0]
    assert [item.label for item in images] == [0, 1, None, 1, 0, 1, 0]
    assert 0 <= float(pixels.min()) < float(pixels.max()) <= 1


def test_batch_takes_tensors_repeats_and_nothing(images: ImageSet) -> None:
    pixels, labels, indices = images.batch(torch.tensor([5, 0, 5]))
    assert indices.tolist() == [5, 0, 5]
    assert labels.tolist() == [1, 0, 1]
    assert torch.equal(pixels[0], pixels[2])
    assert not torch.equal(pixels[0], pixels[1])
    assert images.batch([])[0].shape == (0, 3, 4, 6)


def test_positions_out_of_range(images: ImageSet) -> None:
    assert torch.equal(images[-1].image, images[6].image)
    assert images[-1].index == 6
    for position in (7, -8):
        with pytest.raises(IndexError):
            images[position]
    with pytest.raises(IndexError, match="position 7; expected 0 to 6"):
        images.batch([0, 7])
    with pytest.raises(IndexError, match="position -1"):
        images.batch([-1])


@given(stride=st.integers(1, 9), limit=st.none() | st.integers(1, 9), decoded=st.booleans())
@settings(deadline=None, max_examples=40)
def test_subset_keeps_original_positions(
    stride: int, limit: int | None, decoded: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("subset") / "a.parquet"
    write_parquet(path, [png(seed=seed) for seed in range(7)], [0, 1, 2, 3, 4, 5, 6])
    whole = load_images(f"parquet:{path}")
    if decoded:
        whole.batch([0])
    part = whole.subset(limit=limit, stride=stride)
    wanted = list(range(0, 7, stride))[:limit]
    assert list(part.indices) == wanted
    assert part.fingerprint == whole.fingerprint
    pixels, labels, indices = part.batch(range(len(part)))
    assert indices.tolist() == labels.tolist() == wanted
    assert torch.equal(pixels, whole.batch(wanted)[0])
    again = part.subset(stride=2)
    assert list(again.indices) == wanted[::2]
    loaded = load_images(f"parquet:{path}", limit=limit, stride=stride)
    assert loaded.indices == part.indices


def test_limit_and_stride_below_one(images: ImageSet) -> None:
    with pytest.raises(ConfigurationError, match="limit is 0"):
        images.subset(limit=0)
    with pytest.raises(ConfigurationError, match="stride is 0"):
        images.subset(stride=0)


def test_a_set_too_large_to_keep_is_decoded_by_the_batch(
    images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = images.batch([1, 3])
    monkeypatch.setattr(image_set, "CACHE_BYTES", 7 * 3 * 4 * 6 - 1)
    fresh = load_images(images.source)
    passing = fresh.batch([1, 3])
    assert fresh._pixels is None
    for one, other in zip(kept, passing, strict=True):
        assert torch.equal(one, other)


def test_pickles_for_worker_processes(images: ImageSet) -> None:
    copy = pickle.loads(pickle.dumps(images))
    assert torch.equal(copy.batch([2])[0], images.batch([2])[0])
    assert repr(copy).startswith("ImageSet('parquet:")
