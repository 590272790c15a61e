"""What a named build would hold and compute, found without allocating any of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.lipschitz import evaluating
from latentsmooth.models.registry import BuildEntry, Shape

__all__ = ["MAX_ELEMENTS", "MAX_OPTION", "MAX_PARAMETERS", "check_image_shape", "outline"]

MAX_PARAMETERS = 2**28
"""Most weights of a build: 1 GiB in float32, 20 times the largest at full width for 224 pixels."""
MAX_ELEMENTS = 2**27
"""Most numbers that any module of a build may make of one image: 512 MiB in float32."""
MAX_PIXELS = 2**25
"""Most numbers of one image."""
MAX_OPTION = 512
"""Largest value of an integer option, of those that repeat layers `_MAX_REPEATS`."""
MAX_MODULES = 1000
"""Most modules of a build, three times those of the deepest at its defaults."""
_MAX_REPEATS = 64
_REPEATING = ("depth", "blocks")


def check_image_shape(shape: Shape) -> None:
    """Refuse images that could not be held many times over.

    Raises:
        ShapeError: naming the shape and the limit.
    """
    numbers = shape[0] * shape[1] * shape[2]
    if numbers > MAX_PIXELS:
        raise ShapeError(
            f"image_shape {shape} holds {numbers:,} numbers; at most {MAX_PIXELS:,} are taken"
        )


def outline(
    entry: BuildEntry, shape: Shape, num_classes: int, width: float, options: dict[str, int]
) -> dict[str, Tensor]:
    """The state dict of a build on torch's meta device: names, shapes and types without values.

    Encoder and head are put together and one image is run through them there, so that what is
    too large is refused before memory is taken.

    Args:
        entry: the build.
        shape: of the images.
        num_classes: outputs of the head.
        width: multiplier of all channels.
        options: the build's own.

    Raises:
        ConfigurationError: an option is out of range, or the network would hold more than
            `MAX_PARAMETERS`, have more than `MAX_MODULES` or compute more than `MAX_ELEMENTS` at
            once.
        ShapeError: images are too large, or do not fit the build.
    """
    check_image_shape(shape)
    for name, value in options.items():
        limit = _MAX_REPEATS if name in _REPEATING else MAX_OPTION
        if abs(value) > limit:
            raise ConfigurationError(f"wanted option {name} up to {limit}, got {value}")
    with torch.device("meta"):
        encoder, head = entry.make(shape, num_classes, width, **options)
    pair = nn.ModuleDict({"encoder": encoder, "head": head})
    tensors: dict[str, Tensor] = pair.state_dict()
    count = sum(tensor.numel() for tensor in tensors.values())
    if count > MAX_PARAMETERS:
        raise ConfigurationError(
            f"this build would hold {count:,} numbers at width {width}; at most "
            f"{MAX_PARAMETERS:,} are allocated"
        )
    modules = sum(1 for _ in pair.modules())
    if modules > MAX_MODULES:
        raise ConfigurationError(
            f"this build would have {modules:,} modules; at most {MAX_MODULES:,} are run"
        )
    _run(pair, shape)
    return tensors


def _run(pair: nn.ModuleDict, shape: Shape) -> None:
    """Trace one image, watching the size of what each module gives."""

    def watch(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.numel() > MAX_ELEMENTS:
            raise ConfigurationError(
                f"{type(module).__name__} would make {output.numel():,} numbers of one image of "
                f"shape {shape}; at most {MAX_ELEMENTS:,} are allocated"
            )

    for module in pair.modules():
        module.register_forward_hook(watch)
    try:
        with torch.no_grad(), evaluating(pair):
            pair["head"](pair["encoder"](torch.zeros(1, *shape, device="meta")))
    except (RuntimeError, ValueError, TypeError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ShapeError(f"encoder and head do not fit images of shape {shape}: {error}") from error
