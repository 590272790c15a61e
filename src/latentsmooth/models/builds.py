"""Named builds: an encoder and a head by name, image shape, width and integer options."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.models.classifier import LatentSmoothedClassifier
from latentsmooth.models.config import MAX_WIDTH
from latentsmooth.models.families import BUILDS
from latentsmooth.models.outline import outline
from latentsmooth.models.registry import BuildEntry, Shape

__all__ = ["build", "build_outlined", "describe_builds", "list_builds", "outline_of"]


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
        ConfigurationError: for an unknown name or option, a value out of range, or a network too
            large to be allocated (see `latentsmooth.models.outline`).
        ShapeError: for an image too small or too large.

    Example:
        >>> model = build("lsrs-haar", num_classes=10, image_shape=(3, 32, 32),
        ...               width=0.25, latent_sigma=0.25)
        >>> model.latent_shape
        (3, 16, 16)
        >>> model.lipschitz_bound
        1.0
    """
    outline_of(name, num_classes=num_classes, image_shape=image_shape, width=width, options=options)
    return build_outlined(
        name,
        num_classes=num_classes,
        image_shape=image_shape,
        latent_sigma=latent_sigma,
        width=width,
        class_names=class_names,
        options=options,
    )


def build_outlined(
    name: str,
    *,
    num_classes: int,
    image_shape: Sequence[int],
    latent_sigma: float,
    width: float,
    class_names: Sequence[str] | None,
    options: dict[str, int],
) -> LatentSmoothedClassifier:
    """Do what `build` does, once `outline_of` has found the same build small enough."""
    entry, shape = _checked(name, num_classes, image_shape, width, options)
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


def outline_of(
    name: str,
    *,
    num_classes: int,
    image_shape: Sequence[int],
    width: float,
    options: dict[str, int],
) -> dict[str, Tensor]:
    """Names, shapes and types of a build's tensors, none of them allocated.

    Arguments are those of `build`, and so are the errors.
    """
    entry, shape = _checked(name, num_classes, image_shape, width, options)
    return outline(entry, shape, num_classes, width, options)


def _checked(
    name: str, num_classes: int, image_shape: Sequence[int], width: float, options: dict[str, int]
) -> tuple[BuildEntry, Shape]:
    """The build of a name and the shape of its images, once all arguments are in range."""
    entry = BUILDS.get(name)
    if entry is None:
        raise ConfigurationError(f"unknown build {name!r}: use one of {', '.join(BUILDS)}")
    unknown = sorted(set(options) - set(entry.options))
    if unknown:
        known = ", ".join(entry.options) or "none"
        raise ConfigurationError(f"build {name} has no option {unknown[0]!r}; it takes: {known}")
    for option, value in options.items():
        if type(value) is not int:
            raise ConfigurationError(f"wanted option {option} as an integer, got {value!r}")
    if len(image_shape) != 3 or min(image_shape) < 1 or min(image_shape[1:]) < 8:
        raise ShapeError(
            f"expected image_shape (channels, height, width) from 8 pixels a side, got "
            f"{tuple(image_shape)}"
        )
    if not 0 < width <= MAX_WIDTH:
        raise ConfigurationError(f"wanted width above 0 and at most {MAX_WIDTH}, got {width}")
    if num_classes < 2:
        raise ConfigurationError(f"wanted at least 2 classes, got {num_classes}")
    return entry, (image_shape[0], image_shape[1], image_shape[2])


def list_builds() -> list[str]:
    """Names that `build` takes."""
    return list(BUILDS)


def describe_builds() -> dict[str, str]:
    """Each build's name and what it is, its options last."""
    return {
        name: entry.description
        + (f" Options: {', '.join(entry.options)}." if entry.options else "")
        for name, entry in BUILDS.items()
    }
