from __future__ import annotations

from pathlib import Path

import pytest
import torch

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.images import ImageSet, load_images
from latentsmooth.images.fitting import as_image_set, fit_images
from tests.images.layouts import build


def test_channels_and_classes_are_fitted_together(tmp_path: Path) -> None:
    build(tmp_path, ["train/cat/1.png", "train/dog/2.png", "test/dog/3.png"])
    images = load_images(str(tmp_path))
    fitted = fit_images(images, image_shape=(1, 4, 6), class_names=["emu", "dog", "cat"])
    assert (fitted.image_shape, fitted.labels.tolist()) == ((1, 4, 6), [1])
    assert fitted.class_names == ("emu", "dog", "cat")
    assert any("colours become gray" in note for note in fitted.notes)
    assert fitted.fingerprint != images.fingerprint
    with pytest.raises(ShapeError, match="image_size resizes"):
        fit_images(images, image_shape=(3, 4, 4), class_names=["cat", "dog"])
    with pytest.raises(ConfigurationError, match="none in common"):
        fit_images(images, image_shape=(3, 4, 6), class_names=["cow"])


def test_any_data_set_is_fitted(tmp_path: Path) -> None:
    items = [(torch.rand(1, 4, 6), 1), (torch.rand(1, 4, 6), 2)]
    fitted = fit_images(items, image_shape=(3, 4, 6), class_names=["a", "b"], unknown="unlabelled")
    assert fitted.labels.tolist() == [1, -1]
    assert fitted.batch([0])[0].shape == (1, 3, 4, 6)
    images = ImageSet.from_dataset(items)
    assert as_image_set(images) is images
    with pytest.raises(ShapeError, match="channels is 2"):
        images.with_channels(2)
