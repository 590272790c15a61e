"""Every named build, at several sizes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from latentsmooth.certification import Certifier
from latentsmooth.errors import ConfigurationError, ShapeError, UnverifiedModule
from latentsmooth.lipschitz import lipschitz_bound
from latentsmooth.models import (
    LatentSmoothedClassifier,
    build,
    describe_builds,
    list_builds,
)
from latentsmooth.models.blocks import ConvNextBlock, MixerBlock, ResidualConvolution
from latentsmooth.models.builds import outline_of
from latentsmooth.models.resnet import BasicBlock
from latentsmooth.orthogonal import Center, ChannelNormalize, OrthogonalConv2d
from latentsmooth.smoothing.folding import fold
from tests.closeness import assert_near
from tests.oracles import singular_values
from tests.seeds import shifted

REFERENCE = ["lsrs-partial", "lsrs-latent", "lsrs-preprocessor", "lsrs-lenet", "lsrs-haar"]
ORTHOGONAL = ["lsrs-convnet", "lsrs-resnet", "lsrs-wideresnet", "lsrs-lipnet"]
CHEAP = ["lsrs-convnext", "lsrs-depthwise", "lsrs-mixer"]
RIVALS = ["resnet18", "resnet20", "resnet50", "resnet110", "lenet"]


def small(name: str, **options: Any) -> LatentSmoothedClassifier:
    torch.manual_seed(shifted(0))
    return build(
        name, num_classes=4, image_shape=(3, 8, 8), width=0.125, latent_sigma=0.25, **options
    )


def test_the_list_is_complete_and_described() -> None:
    named = [*REFERENCE, *ORTHOGONAL, *CHEAP, "lsrs-resnet50", *RIVALS]
    assert set(named) <= set(list_builds())
    assert all(name.startswith("lsrs-") for name in set(list_builds()) - set(RIVALS))
    assert "levels, depth, channels" in describe_builds()["lsrs-haar"]
    assert describe_builds()["lsrs-partial"].endswith("Options: folded.")


SHAPES = [(1, 28, 28), (3, 32, 32), (3, 30, 17), (3, 224, 224)]


@pytest.mark.parametrize("name", list_builds())
@pytest.mark.parametrize("image_shape", SHAPES, ids=str)
def test_builds_take_any_image_size_and_come_back_from_disk(
    name: str, image_shape: tuple[int, int, int], tmp_path: Path
) -> None:
    if name == "resnet110" and image_shape != (3, 32, 32):
        pytest.skip("the same code as resnet20, three times as deep")
    if name.endswith("resnet50") and image_shape == (3, 30, 17):
        pytest.skip("deep, and the same code at 32 pixels")
    torch.manual_seed(shifted(0))
    model = build(name, num_classes=7, image_shape=image_shape, width=0.0625, latent_sigma=0.5)
    loaded = LatentSmoothedClassifier.from_pretrained(model.eval().save_pretrained(tmp_path))
    with torch.no_grad():
        images = torch.rand(2, *image_shape)
        latents, logits = model.encoder(images), model(images)
        assert logits.shape == (2, 7)
        assert latents.shape[1:] == model.latent_shape
        assert torch.equal(loaded(images), logits)
    assert loaded.fingerprint == model.fingerprint


@pytest.mark.parametrize("name", sorted(set(list_builds()) - set(RIVALS)))
def test_encoder_bounds_hold_before_and_after_training_steps(name: str, tmp_path: Path) -> None:
    model = small(name)
    for _ in range(2):
        assert 1 <= model.lipschitz_bound <= 1 + 1e-5
        encoder = model.encoder.double().eval()
        assert float(singular_values(encoder, (3, 8, 8)).max()) <= 1 + 1e-9
        model.float().train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            loss = nn.functional.cross_entropy(model(torch.rand(8, 3, 8, 8)), torch.arange(8) % 4)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    loaded = LatentSmoothedClassifier.from_pretrained(model.eval().save_pretrained(tmp_path))
    assert loaded.fingerprint == model.fingerprint


def test_reference_latents_have_the_published_shapes() -> None:
    def latent(name: str, *shape: int) -> tuple[int, ...]:
        return build(name, num_classes=10, image_shape=shape, latent_sigma=0.25).latent_shape

    assert latent("lsrs-partial", 3, 32, 32) == (128, 16, 16)
    assert latent("lsrs-latent", 3, 32, 32) == (512,)
    assert latent("lsrs-preprocessor", 3, 32, 32) == (64, 32, 32)
    assert latent("lsrs-lenet", 1, 28, 28) == (16 * 7 * 7,)
    assert latent("lsrs-haar", 3, 32, 32) == (3, 16, 16)
    assert latent("resnet18", 3, 32, 32) == (3, 32, 32)


def test_haar_options() -> None:
    model = small("lsrs-haar", levels=2, depth=2, channels=12)
    assert model.latent_shape == (12, 2, 2)
    assert model.build == {
        "name": "lsrs-haar",
        "width": 0.125,
        "options": {"levels": 2, "depth": 2, "channels": 12},
    }
    assert small("lsrs-haar", depth=1).latent_shape == (3, 4, 4)


@pytest.mark.parametrize("name", [*CHEAP, "lsrs-resnet50"])
@pytest.mark.parametrize("image_shape", [(1, 28, 28), (3, 30, 17), (3, 132, 130)], ids=str)
def test_what_cheap_heads_begin_with_moves_before_the_noise(
    name: str, image_shape: tuple[int, int, int]
) -> None:
    torch.manual_seed(shifted(0))
    options: dict[str, Any] = {"depth": 1}
    if name == "lsrs-resnet50":
        options = {"folded": 1, "blocks": 0}
    model = build(
        name, num_classes=7, image_shape=image_shape, width=0.0625, latent_sigma=0.5, **options
    ).double()
    with torch.no_grad():
        model.train()(torch.rand(2, *image_shape).double())  # batch norms away from their start
        made = fold(model.eval().encoder, model.head, latent_shape=model.latent_shape)
        assert made is not None
        assert math.prod(made.latent_shape) <= math.prod(model.latent_shape)
        assert any(isinstance(part, OrthogonalConv2d) for part in made.encoder.modules())
        assert not any(isinstance(part, OrthogonalConv2d) for part in made.head.modules())
        images = torch.rand(2, *image_shape).double()
        torch.testing.assert_close(made.head(made.encoder(images)), model(images))


def test_resnet_50_has_the_published_size() -> None:
    def weights(name: str, part: str, **options: int) -> int:
        held = outline_of(
            name, num_classes=1000, image_shape=(3, 224, 224), width=1.0, options=options
        )
        counted = [key for key in held if not key.endswith(("running_mean", "running_var"))]
        counted = [key for key in counted if not key.endswith("num_batches_tracked")]
        return sum(held[key].numel() for key in counted if key.startswith(part))

    # torchvision's resnet50 and what is left of it without conv1, bn1 and layer1.
    assert weights("resnet50", "head") == 25_557_032
    stem, first, inner, outer = 9_536, 215_808, 128, 512
    fewer = (256 - 48) * (inner + outer)  # the second stage reads 48 channels, not 256
    assert weights("lsrs-resnet50", "head") == 25_557_032 - stem - first - fewer


def test_imagenet_latents_are_as_large_as_the_images() -> None:
    model = build(
        "lsrs-resnet50", num_classes=3, image_shape=(3, 224, 224), latent_sigma=0.5, blocks=0
    )
    assert model.latent_shape == (48, 56, 56)
    images = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        norm = float(model.encoder(images).norm())
    # A sum of 150,000 squares, each layer's rounding among them.
    assert_near(norm, (images - 0.5).norm(), steps=256, dtype=torch.float32)


@pytest.mark.parametrize(("name", "depth", "blocks"), [("convnext", 3, 6), ("mixer", 5, 5)])
def test_options_of_the_cheap_heads(name: str, depth: int, blocks: int) -> None:
    model = build(
        f"lsrs-{name}",
        num_classes=3,
        image_shape=(3, 32, 32),
        width=0.125,
        latent_sigma=0.25,
        levels=1,
        depth=depth,
    )
    kinds = (ConvNextBlock, MixerBlock)
    assert sum(isinstance(part, kinds) for part in model.head.modules()) == blocks
    assert small(f"lsrs-{name}", levels=2).latent_shape[0] == 3


@pytest.mark.parametrize("folded", [1, 2])
@pytest.mark.parametrize("image_shape", SHAPES, ids=str)
def test_a_foldable_head_begins_with_a_coisometry(
    folded: int, image_shape: tuple[int, int, int], tmp_path: Path
) -> None:
    torch.manual_seed(shifted(0))
    model = build(
        "lsrs-partial",
        num_classes=7,
        image_shape=image_shape,
        width=0.0625,
        latent_sigma=0.5,
        folded=folded,
    )
    loaded = LatentSmoothedClassifier.from_pretrained(model.eval().save_pretrained(tmp_path))
    images = torch.rand(2, *image_shape)
    with torch.no_grad():
        assert torch.equal(loaded(images), model(images))
    assert loaded.build == model.build
    assert 1 <= model.lipschitz_bound <= 1 + 1e-5
    channels, *sides = model.latent_shape
    assert (channels, *sides) == (8, *(2 * -(-side // 4) for side in image_shape[1:]))
    assert isinstance(model.head, nn.Sequential)
    first = model.head[0]
    assert isinstance(first, OrthogonalConv2d)
    assert (first.in_channels, first.out_channels, first.stride) == (8, 16, (2, 2))
    blocks = [part.conv1.out_channels for part in model.head if isinstance(part, BasicBlock)]
    assert blocks == [16] * folded + [32] * 2


def test_the_first_layer_of_a_foldable_head_trains_and_stays_a_coisometry() -> None:
    model = small("lsrs-partial", folded=1).train()
    assert isinstance(model.head, nn.Sequential)
    first = model.head[0]
    assert isinstance(first, OrthogonalConv2d)
    before = first.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        loss = nn.functional.cross_entropy(model(torch.rand(8, 3, 8, 8)), torch.arange(8) % 4)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    assert float((first.weight.detach() - before).abs().max()) > 1e-3
    values = singular_values(first.double().eval(), model.latent_shape)
    torch.testing.assert_close(values, torch.ones_like(values), rtol=0, atol=1e-9)


@pytest.mark.parametrize("image_shape", [(3, 32, 32), (1, 28, 28), (3, 30, 17), (3, 8, 8)], ids=str)
@pytest.mark.parametrize("options", [{}, {"blocks": 0}, {"bands": 3, "blocks": 1}], ids=str)
def test_the_dense_build_sees_every_position_of_its_latents(
    image_shape: tuple[int, int, int], options: dict[str, Any]
) -> None:
    torch.manual_seed(shifted(0))
    model = build(
        "lsrs-dense",
        num_classes=3,
        image_shape=image_shape,
        width=0.0625,
        latent_sigma=0.25,
        **options,
    ).eval()
    channels, *sides = model.latent_shape
    assert channels == 4 * options.get("bands", image_shape[0])
    assert sides == [-(-side // 4) for side in image_shape[1:]]
    halvings = 0 if max(sides) <= 4 else 1
    blocks = [part for part in model.head.modules() if isinstance(part, ResidualConvolution)]
    assert len(blocks) == options.get("blocks", 3) * halvings
    dense = [part for part in model.head.modules() if isinstance(part, nn.Linear)]
    final = [-(-side // 2**halvings) for side in sides]
    assert dense[0].in_features == 16 * math.prod(final)
    # Odd sides are padded before they are halved, so that their last row and column count too.
    latents = torch.rand(8, *model.latent_shape, requires_grad=True)
    torch.autograd.backward(model.head(latents).square().sum())
    assert latents.grad is not None
    assert bool((latents.grad.abs().amax((0, 1)) > 0).all())


def test_image_net_sizes_use_the_large_stem() -> None:
    model = build("resnet18", num_classes=3, image_shape=(3, 160, 160), width=0.1, latent_sigma=0.5)
    stem = next(module for module in model.head.modules() if isinstance(module, nn.Conv2d))
    assert stem.kernel_size == (7, 7)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"name": "vgg"}, ConfigurationError, "unknown build 'vgg': use one of lsrs-"),
        ({"deep": 3}, ConfigurationError, "no option 'deep'; it takes: levels, depth, channels"),
        ({"image_shape": (3, 4, 4)}, ShapeError, "from 8 pixels a side"),
        ({"image_shape": (3, 32)}, ShapeError, "from 8 pixels a side"),
        ({"width": 0.0}, ConfigurationError, "wanted width above 0"),
        ({"num_classes": 1}, ConfigurationError, "at least 2 classes"),
        ({"class_names": ["a", "b"]}, ConfigurationError, "got 2 class names for 3 classes"),
        ({"levels": 9}, ConfigurationError, "leave some of 32x32 pixels, got 9"),
        ({"depth": 1.0}, ConfigurationError, "wanted option depth as an integer, got 1.0"),
        ({"levels": -1}, ConfigurationError, "wanted levels >= 0 that leave some"),
        ({"depth": -1}, ConfigurationError, "depth and channels >= 0"),
        ({"channels": 8}, ConfigurationError, "wanted depth >= 1 beside channels=8, got 0"),
        ({"name": "lsrs-compact", "channels": 8}, ConfigurationError, "beside channels=8, got 0"),
        ({"name": "lsrs-partial", "folded": 3}, ConfigurationError, "folded as 0, 1 or 2, got 3"),
        ({"name": "lsrs-mixer", "levels": 6}, ConfigurationError, "levels >= 1 that leave some"),
        ({"name": "lsrs-depthwise", "depth": 0}, ConfigurationError, "wanted depth >= 1, got 0"),
        ({"name": "lsrs-resnet50", "folded": 2}, ConfigurationError, "folded as 0 or 1, got"),
        ({"name": "lsrs-compact", "levels": 5}, ConfigurationError, "leave some of 32x32 pixels"),
        ({"name": "lsrs-dense", "levels": 0}, ConfigurationError, "leave some of 32x32 pixels"),
        ({"name": "lsrs-dense", "bands": 13}, ConfigurationError, "wanted bands <= 12, got 13"),
        ({"name": "lsrs-dense", "blocks": -1}, ConfigurationError, "blocks >= 0, got 0 and -1"),
        ({"latent_sigma": 0.0}, ConfigurationError, "positive latent_sigma"),
    ],
)
def test_wrong_arguments_are_named(
    changes: dict[str, object], error: type[Exception], message: str
) -> None:
    arguments: dict[str, object] = {
        "name": "lsrs-haar",
        "num_classes": 3,
        "image_shape": (3, 32, 32),
        "width": 0.125,
        "latent_sigma": 0.25,
    }
    with pytest.raises(error, match=message):
        build(**{**arguments, **changes})  # type: ignore[arg-type]


def test_a_users_own_pair_works_and_its_scaling_is_counted() -> None:
    std = (0.25, 0.2, 0.5)
    encoder = nn.Sequential(ChannelNormalize(0.5, std), nn.Flatten())
    model = LatentSmoothedClassifier(
        encoder,
        nn.Linear(48, 2),
        latent_sigma=0.5,
        class_names=("cat", "dog"),
        image_shape=(3, 4, 4),
    )
    assert model.lipschitz_bound == pytest.approx(5.0)
    assert lipschitz_bound(nn.Sequential(Center(), nn.Flatten())) == 1.0
    [made] = model.certify(torch.rand(1, 3, 4, 4), n_estimate=1000)
    slack = Certifier(model).deductions.latent_slack
    assert 0 < slack < 0.001 * model.latent_sigma
    assert made.input_radius == pytest.approx(max(0.0, made.latent_radius - slack) / 5)
    [answer] = model.predict(torch.rand(1, 3, 4, 4), n_samples=100)
    assert answer.n_used == 100


def test_a_pair_that_does_not_fit_or_is_not_verified_is_refused() -> None:
    def pair(encoder: nn.Module, head: nn.Module) -> LatentSmoothedClassifier:
        return LatentSmoothedClassifier(
            encoder, head, latent_sigma=0.5, class_names=("a", "b"), image_shape=(3, 4, 4)
        )

    with pytest.raises(ShapeError, match="do not fit images of shape"):
        pair(nn.Flatten(), nn.Linear(47, 2))
    with pytest.raises(ShapeError, match=r"expected logits of shape \(1, 2\), got \(1, 3\)"):
        pair(nn.Flatten(), nn.Linear(48, 3))
    with pytest.raises(ShapeError, match="do not fit images of shape"):
        pair(nn.Flatten(), nn.BatchNorm1d(7))
    with pytest.raises(UnverifiedModule, match="GroupNorm"):
        pair(nn.Sequential(nn.GroupNorm(1, 3), nn.Flatten()), nn.Linear(48, 2)).certify(
            torch.rand(1, 3, 4, 4)
        )
    with pytest.raises(ConfigurationError, match="at least 2 class names"):
        LatentSmoothedClassifier(
            nn.Flatten(),
            nn.Linear(48, 1),
            latent_sigma=0.5,
            class_names=("a",),
            image_shape=(3, 4, 4),
        )
    with pytest.raises(ShapeError, match="channels, height, width"):
        LatentSmoothedClassifier(
            nn.Flatten(), nn.Linear(4, 2), latent_sigma=1, class_names="ab", image_shape=(4,)
        )
