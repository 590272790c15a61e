"""The room on real files."""

from __future__ import annotations

import io
import time

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image

from latentsmooth.images import load_images
from tests.data_files import shared_data


def test_cifar10_decodes_in_seconds() -> None:
    folder = shared_data("cifar10-jpeg")
    started = time.process_time()
    images = load_images(f"cifar10:{folder}", split="train", limit=5_000)
    pixels, _, _ = images.batch(range(5_000))
    assert time.process_time() - started < 20
    assert images.image_shape == (3, 32, 32)
    assert images.class_names[0] == "airplane"
    mean = torch.tensor([0.49125, 0.48209, 0.44652])
    assert torch.allclose(pixels.mean((0, 2, 3)), mean, atol=0.01)
    row = pq.read_table(folder / "train.parquet")["image"][4321].as_py()
    wanted = np.asarray(Image.open(io.BytesIO(row["bytes"])), dtype=np.float32) / 255
    assert torch.equal(pixels[4321], torch.from_numpy(wanted).permute(2, 0, 1))


def test_published_sha256_is_the_fingerprint() -> None:
    images = load_images(f"parquet:{shared_data('cifar10-jpeg/test.parquet')}")
    assert images.fingerprint.startswith("f61b8201b9421150")
    assert len(images) == 7000


def test_tiny_imagenet_with_its_gray_images_is_rgb() -> None:
    path = shared_data("tiny-imagenet/val.parquet")
    images = load_images(f"parquet:{path}")
    assert (images.split, images.image_shape) == ("validation", (3, 64, 64))
    contents = pq.read_table(path, columns=["image"])["image"].combine_chunks().field("bytes")
    modes = [Image.open(io.BytesIO(value.as_py())).mode for value in contents]
    gray = [row for row, mode in enumerate(modes) if mode == "L"]
    assert len(gray) == 132
    for row in gray[:5]:
        image = images[row].image
        assert torch.equal(image[0], image[1])


def test_imagenet_samples_at_224() -> None:
    images = load_images(f"imagenet:{shared_data('imagenet-samples')}")
    pixels, labels, _ = images.batch(range(100))
    assert pixels.shape == (100, 3, 224, 224)
    assert len(images.class_names) == 1000
    assert images.class_names[int(labels[0])] in images[0].name
