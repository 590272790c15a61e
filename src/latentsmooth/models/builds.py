"""The named builds: reference LSRS networks, the cheap one, and their ISRS rivals."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.models.classifier import LatentSmoothedClassifier
from latentsmooth.models.config import MAX_WIDTH
from latentsmooth.models.encoders import convolutional_encoder, haar_encoder, identity_encoder
from latentsmooth.models.resnet import residual_head

__all__ = ["build", "describe_builds", "list_builds"]

Shape = tuple[int, int, int]
Pair = tuple[nn.Module, nn.Module]
LARGE_IMAGE_SIDE = 128


@dataclass(frozen=True, slots=True)
class _Build:
    make: Callable[..., Pair]
    description: str

    @property
    def options(self) -> list[str]:
        parameters = inspect.signature(self.make).parameters.values()
        return [entry.name for entry in parameters if entry.default is not entry.empty]


_BUILDS: dict[str, _Build] = {}


def build(
    name: str,
    *,
    num_classes: int,
    image_shape: Sequence[int],
    latent_sigma: float,
    width: float = 1.0,
    class_names: Sequence[str] | None = None,
    **options: int,
) -> LatentSmoothedClassifier:
    """Make a freshly initialised classifier by name.

    Args:
        name: one of `list_builds`.
        num_classes: number of classes.
        image_shape: ``(channels, height, width)``; any size from 8 pixels.
        latent_sigma: standard deviation of the noise, in the latent.
        width: multiplier of every channel count, encoder and head.
        class_names: names of the classes (default their numbers).
        options: the build's own, see `describe_builds`.

    Raises:
        ConfigurationError: for an unknown name or option, or a value out of range.
        ShapeError: for an image too small.

    Example:
        >>> model = build("lsrs-haar", num_classes=10, image_shape=(3, 32, 32),
        ...               width=0.25, latent_sigma=0.25)
        >>> model.latent_shape
        (3, 16, 16)
        >>> model.lipschitz_bound
        1.0
    """
    entry = _BUILDS.get(name)
    if entry is None:
        raise ConfigurationError(f"unknown build {name!r}: use one of {', '.join(_BUILDS)}")
    unknown = sorted(set(options) - set(entry.options))
    if unknown:
        known = ", ".join(entry.options) or "none"
        raise ConfigurationError(f"build {name} has no option {unknown[0]!r}; it takes: {known}")
    if len(image_shape) != 3 or min(image_shape) < 1 or min(image_shape[1:]) < 8:
        raise ShapeError(
            f"expected image_shape (channels, height, width) from 8 pixels a side, got "
            f"{tuple(image_shape)}"
        )
    if not 0 < width <= MAX_WIDTH:
        raise ConfigurationError(f"wanted width above 0 and at most {MAX_WIDTH}, got {width}")
    if num_classes < 2:
        raise ConfigurationError(f"wanted at least 2 classes, got {num_classes}")
    shape: Shape = (image_shape[0], image_shape[1], image_shape[2])
    encoder, head = entry.make(shape, num_classes, width, **options)
    names = tuple(class_names) if class_names else tuple(str(n) for n in range(num_classes))
    if len(names) != num_classes:
        raise ConfigurationError(f"got {len(names)} class names for {num_classes} classes")
    return LatentSmoothedClassifier(
        encoder,
        head,
        latent_sigma=latent_sigma,
        class_names=names,
        image_shape=shape,
        build={"name": name, "width": width, "options": dict(options)},
    )


def list_builds() -> list[str]:
    """Names that `build` takes."""
    return list(_BUILDS)


def describe_builds() -> dict[str, str]:
    """Each build's name and what it is, its options last."""
    return {
        name: entry.description
        + (f" Options: {', '.join(entry.options)}." if entry.options else "")
        for name, entry in _BUILDS.items()
    }


def _options_note(entry: _Build) -> list[str]:
    return [f"Options: {', '.join(entry.options)}."] if entry.options else []


def _register(name: str, description: str) -> Callable[[Callable[..., Pair]], Callable[..., Pair]]:
    def keep(make: Callable[..., Pair]) -> Callable[..., Pair]:
        _BUILDS[name] = _Build(make, description)
        return make

    return keep


def _scaled(channels: int, width: float) -> int:
    """A channel count times the multiplier: even, so that MaxMin pairs every channel."""
    return max(2, 2 * round(channels * width / 2))


def _wide(channels: Sequence[int], width: float) -> list[int]:
    return [_scaled(count, width) for count in channels]


@_register("lsrs-haar", "LSRS, cheap: Haar low-pass, then a small ResNet on the low resolution.")
def _lsrs_haar(
    shape: Shape,
    classes: int,
    width: float,
    levels: int = 1,
    depth: int = 0,
    channels: int = 0,
) -> Pair:
    if depth < 0 or channels < 0:
        raise ConfigurationError(f"wanted depth and channels >= 0, got {depth} and {channels}")
    if 2**levels > min(shape[1:]):
        raise ConfigurationError(f"levels={levels} leaves nothing of {shape[1]}x{shape[2]} pixels")
    hidden = channels or shape[0]
    encoder = haar_encoder(shape[0], levels=levels, depth=depth, channels=hidden)
    widths = _wide((64, 128, 256), width)
    head = residual_head(
        hidden if depth else shape[0],
        widths=widths,
        strides=(1, 2, 2),
        blocks=2,
        num_classes=classes,
        stem=widths[0],
        large_images=min(shape[1:]) // 2**levels >= LARGE_IMAGE_SIDE,
    )
    return encoder, head


@_register("lsrs-partial", "LSRS reference: three orthogonal layers, ResNet-18 stages 3 and 4.")
def _lsrs_partial(shape: Shape, classes: int, width: float) -> Pair:
    narrow, wide = _scaled(64, width), _scaled(128, width)
    encoder = convolutional_encoder(shape[0], [(3, 1, narrow), (3, 1, narrow), (6, 2, wide)])
    head = residual_head(
        wide, widths=_wide((256, 512), width), strides=(2, 2), blocks=2, num_classes=classes
    )
    return encoder, head


@_register("lsrs-latent", "LSRS reference: five orthogonal layers, then a linear head.")
def _lsrs_latent(shape: Shape, classes: int, width: float) -> Pair:
    first, second, third, fourth = _wide((64, 128, 256, 512), width)
    specs = [(6, 2, first), (6, 2, first), (6, 2, second), (2, 2, third), (2, 2, fourth)]
    encoder = convolutional_encoder(shape[0], specs, flatten=True)
    sides = [-(-side // 32) for side in shape[1:]]
    return encoder, nn.Linear(fourth * sides[0] * sides[1], classes)


@_register("lsrs-preprocessor", "LSRS reference: four orthogonal layers, then a whole ResNet-18.")
def _lsrs_preprocessor(shape: Shape, classes: int, width: float) -> Pair:
    widths = _wide((6, 16, 32, 64), width)
    encoder = convolutional_encoder(shape[0], [(3, 1, count) for count in widths])
    return encoder, _resnet18_head(widths[-1], shape, classes, width)


@_register("lsrs-lenet", "LSRS reference: LeNet's two convolutions made orthogonal, then its MLP.")
def _lsrs_lenet(shape: Shape, classes: int, width: float) -> Pair:
    first, second = _wide((6, 16), width)
    encoder = convolutional_encoder(shape[0], [(4, 2, first), (4, 2, second)], flatten=True)
    features = second * -(-shape[1] // 4) * -(-shape[2] // 4)
    return encoder, _lenet_mlp(features, classes, width)


@_register("resnet18", "ISRS rival: ResNet-18 on noisy pixels.")
def _resnet18(shape: Shape, classes: int, width: float) -> Pair:
    return identity_encoder(), _resnet18_head(shape[0], shape, classes, width)


@_register("resnet20", "ISRS rival: the CIFAR ResNet-20 on noisy pixels.")
def _resnet20(shape: Shape, classes: int, width: float) -> Pair:
    return identity_encoder(), _cifar_resnet_head(shape, classes, width, blocks=3)


@_register("resnet110", "ISRS rival: the CIFAR ResNet-110 on noisy pixels.")
def _resnet110(shape: Shape, classes: int, width: float) -> Pair:
    return identity_encoder(), _cifar_resnet_head(shape, classes, width, blocks=18)


@_register("lenet", "ISRS rival: LeNet with ReLU on noisy pixels.")
def _lenet(shape: Shape, classes: int, width: float) -> Pair:
    first, second = _wide((6, 16), width)
    features = second * (shape[1] // 4) * (shape[2] // 4)
    head = nn.Sequential(
        nn.Conv2d(shape[0], first, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        _lenet_mlp(features, classes, width),
    )
    return identity_encoder(), head


def _resnet18_head(in_channels: int, shape: Shape, classes: int, width: float) -> nn.Sequential:
    widths = _wide((64, 128, 256, 512), width)
    return residual_head(
        in_channels,
        widths=widths,
        strides=(1, 2, 2, 2),
        blocks=2,
        num_classes=classes,
        stem=widths[0],
        large_images=min(shape[1:]) >= LARGE_IMAGE_SIDE,
    )


def _cifar_resnet_head(shape: Shape, classes: int, width: float, *, blocks: int) -> nn.Sequential:
    widths = _wide((16, 32, 64), width)
    return residual_head(
        shape[0],
        widths=widths,
        strides=(1, 2, 2),
        blocks=blocks,
        num_classes=classes,
        stem=widths[0],
    )


def _lenet_mlp(features: int, classes: int, width: float) -> nn.Sequential:
    hidden = _scaled(84, width)
    return nn.Sequential(
        nn.Linear(features, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )
