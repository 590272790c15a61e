"""Encoders that are whole orthogonal networks: their parts, options and latents."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.models import LatentSmoothedClassifier, build
from latentsmooth.orthogonal import (
    Center,
    ConvexResidual,
    GroupSort,
    HaarLowPass,
    HaarWavelet,
    MaxMin,
    OrthogonalConv2d,
    OrthogonalLinear,
    ZeroPadToMultiple,
)
from tests.seeds import shifted

NAMES = ["lsrs-convnet", "lsrs-resnet", "lsrs-wideresnet", "lsrs-lipnet"]
SIDES = [28, 32, 64, 224]
NONEXPANSIVE = (
    Center,
    ConvexResidual,
    GroupSort,
    HaarLowPass,
    HaarWavelet,
    MaxMin,
    OrthogonalConv2d,
    OrthogonalLinear,
    ZeroPadToMultiple,
    nn.Flatten,
    nn.Sequential,
)


def make(name: str, side: int, width: float = 0.125, **options: Any) -> LatentSmoothedClassifier:
    torch.manual_seed(shifted(0))
    channels = 1 if side == 28 else 3
    return build(
        name,
        num_classes=4,
        image_shape=(channels, side, side),
        latent_sigma=0.25,
        width=width,
        **options,
    ).eval()


def smooth(model: LatentSmoothedClassifier) -> torch.Tensor:
    coarse = torch.rand(4, model.image_shape[0], 3, 3)
    return nn.functional.interpolate(coarse, size=model.image_shape[1:], mode="bilinear")


@pytest.mark.parametrize("side", [32, 224])
@pytest.mark.parametrize("name", NAMES)
def test_encoders_are_made_of_nonexpansive_layers_alone(name: str, side: int) -> None:
    encoder = make(name, side).encoder
    assert isinstance(encoder, nn.Sequential)
    assert type(encoder[0]) is Center
    for module in encoder.modules():
        assert type(module) in NONEXPANSIVE
        if isinstance(module, OrthogonalConv2d | OrthogonalLinear):
            assert module.bias is None
        if isinstance(module, OrthogonalConv2d):
            assert module.padding_mode == "circular"
        if isinstance(module, OrthogonalLinear):
            assert module.in_features <= 4096


@pytest.mark.parametrize(
    ("name", "image_shape", "latent"),
    [
        ("lsrs-convnet", (1, 28, 28), (64,)),
        ("lsrs-convnet", (3, 224, 224), (64 * 2 * 2,)),
        ("lsrs-convnet", (3, 20, 50), (64 * 1 * 2,)),
        ("lsrs-resnet", (1, 28, 28), (32, 4, 4)),
        ("lsrs-resnet", (3, 64, 64), (32, 4, 4)),
        ("lsrs-resnet", (3, 224, 224), (32, 7, 7)),
        ("lsrs-wideresnet", (3, 32, 32), (32, 4, 4)),
        ("lsrs-wideresnet", (3, 224, 224), (32, 7, 7)),
        ("lsrs-lipnet", (2, 9, 40), (64,)),
        ("lsrs-lipnet", (3, 224, 224), (64,)),
    ],
)
def test_latents(name: str, image_shape: tuple[int, ...], latent: tuple[int, ...]) -> None:
    model = build(name, num_classes=3, image_shape=image_shape, width=0.125, latent_sigma=1)
    assert model.latent_shape == latent


@pytest.mark.parametrize(
    ("name", "options", "layers"),
    [
        ("lsrs-convnet", {}, 10),
        ("lsrs-convnet", {"depth": 5}, 5),
        ("lsrs-convnet", {"depth": 15}, 15),
        ("lsrs-resnet", {}, 1 + 3 + 4 * 2 * 2),
        ("lsrs-resnet", {"blocks": 1}, 1 + 3 + 4 * 2),
        ("lsrs-wideresnet", {}, 10),
        ("lsrs-wideresnet", {"widen": 1}, 10),
        ("lsrs-lipnet", {}, 3),
        ("lsrs-lipnet", {"depth": 1, "group_size": 4}, 1),
    ],
)
def test_options_count_layers_and_are_kept(name: str, options: dict[str, int], layers: int) -> None:
    model = make(name, 32, **options)
    kinds = (OrthogonalConv2d, OrthogonalLinear)
    assert sum(isinstance(module, kinds) for module in model.encoder.modules()) == layers
    assert model.build == {"name": name, "width": 0.125, "options": options}


def test_widen_and_group_size_reach_the_layers() -> None:
    assert make("lsrs-wideresnet", 32, widen=2).latent_shape == (16, 4, 4)
    sorts = make("lsrs-lipnet", 32, group_size=3).encoder.modules()
    assert {m.group_size for m in sorts if isinstance(m, GroupSort)} == {3}


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", NAMES)
def test_smooth_images_keep_most_of_their_length_at_the_start(name: str, side: int) -> None:
    model = make(name, side, 0.25)
    images = smooth(model)
    with torch.no_grad():
        kept = model.encoder(images).norm() / (images - 0.5).norm()
    assert 0.6 < kept <= 1 + 1e-5


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lsrs-convnet", {"depth": 7}, "wanted depth as a multiple of 5 from 5 on, got 7"),
        ("lsrs-convnet", {"depth": 0}, "wanted depth as a multiple of 5 from 5 on, got 0"),
        ("lsrs-resnet", {"blocks": 0}, "wanted blocks >= 1, got 0"),
        ("lsrs-wideresnet", {"widen": 0}, "wanted widen >= 1, got 0"),
        ("lsrs-lipnet", {"depth": 0}, "wanted depth >= 1 and group_size >= 2, got 0 and 2"),
        ("lsrs-lipnet", {"group_size": 1}, "wanted depth >= 1 and group_size >= 2, got 3 and 1"),
        ("lsrs-lipnet", {"widen": 2}, "no option 'widen'; it takes: depth, group_size"),
    ],
)
def test_wrong_options_are_named(name: str, options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make(name, 32, **options)


def test_too_many_channels_for_a_dense_layer_are_named() -> None:
    with pytest.raises(ShapeError, match=r"at most 256 channels, got image_shape \(300, 8, 8\)"):
        build("lsrs-lipnet", num_classes=3, image_shape=(300, 8, 8), latent_sigma=1)
