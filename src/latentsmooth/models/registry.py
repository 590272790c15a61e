"""What a named build is, and what the families of builds share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from latentsmooth.errors import ConfigurationError

__all__ = [
    "LARGE_IMAGE_SIDE",
    "BuildEntry",
    "Pair",
    "Shape",
    "check_channels",
    "check_levels",
    "scaled",
    "wide",
]

Shape = tuple[int, int, int]
Pair = tuple[nn.Module, nn.Module]
LARGE_IMAGE_SIDE = 128


@dataclass(frozen=True, slots=True)
class BuildEntry:
    """One named build.

    Attributes:
        make: takes the image shape, the number of classes, the width and, as parameters with a
            default, integer options; returns encoder and head.
        description: one sentence.
    """

    make: Callable[..., Pair]
    description: str

    @property
    def options(self) -> list[str]:
        """Names of the options that `make` takes."""
        parameters = inspect.signature(self.make).parameters.values()
        return [entry.name for entry in parameters if entry.default is not entry.empty]


def scaled(channels: int, width: float, *, multiple: int = 2) -> int:
    """A channel count times the multiplier, a multiple of what the activations sort at a time.

    Example:
        >>> scaled(16, 0.5), scaled(16, 0.01), scaled(16, 1.1, multiple=4)
        (8, 2, 16)
    """
    return max(multiple, multiple * round(channels * width / multiple))


def wide(channels: Sequence[int], width: float) -> list[int]:
    """Several channel counts, each `scaled`."""
    return [scaled(count, width) for count in channels]


def check_levels(shape: Shape, levels: int, *, least: int = 1, more: int = 0) -> None:
    """Raise unless images can be halved so often, and ``more`` times after that.

    Raises:
        ConfigurationError: fewer levels than ``least``, or so many that no pixel is left.
    """
    if levels < least or 2 ** (levels + more) > min(shape[1:]):
        raise ConfigurationError(
            f"wanted levels >= {least} that leave some of {shape[1]}x{shape[2]} pixels, got "
            f"{levels}"
        )


def check_channels(channels: int, depth: int) -> None:
    """Raise where channels are asked for of layers that are not there.

    Raises:
        ConfigurationError: channels without depth.
    """
    if channels and not depth:
        raise ConfigurationError(
            f"channels are those of the orthogonal layers: wanted depth >= 1 beside "
            f"channels={channels}, got 0"
        )
