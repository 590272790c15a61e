"""Sizes of a convolution: which are legal, and what they make of an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.orthogonal.padding import Margins

__all__ = ["Geometry", "PaddingMode", "check_channels", "per_axis"]

PaddingMode = Literal["circular", "zeros", "full"]


@dataclass(frozen=True, slots=True)
class Geometry:
    """Kernel, stride, dilation and padding of an orthogonal convolution, checked together.

    Args:
        kernel_size: taps an axis, multiples of the stride.
        stride: step an axis.
        dilation: spacing of taps an axis; it shares no factor with the stride.
        padding_mode: ``"circular"``, ``"zeros"`` (both keep ``side / stride`` outputs) or
            ``"full"`` (zeros, every output that reads a pixel).

    Raises:
        ShapeError: for sizes that no orthogonal convolution has, naming the nearest legal ones.
        ConfigurationError: for another padding mode.
    """

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding_mode: PaddingMode

    def __post_init__(self) -> None:
        if self.padding_mode not in get_args(PaddingMode):
            raise ConfigurationError(
                f"padding_mode {self.padding_mode!r} is not 1-Lipschitz or not known: "
                "use 'circular', 'zeros' or 'full'"
            )
        for size, step, gap in zip(self.kernel_size, self.stride, self.dilation, strict=True):
            _check_axis(size, step, gap)

    @property
    def margins(self) -> Margins:
        """Pixels before and after each side, placed as ``nn.Conv2d(padding="same")`` does."""
        sizes = zip(self.kernel_size, self.stride, self.dilation, strict=True)
        return tuple(_margin(*each, full=self.padding_mode == "full") for each in sizes)

    @property
    def taps(self) -> tuple[int, ...]:
        """Taps an axis after pixel-unshuffling by the stride."""
        return tuple(k // s for k, s in zip(self.kernel_size, self.stride, strict=True))

    def check_padding(self, padding: int | Sequence[int] | Literal["same"]) -> None:
        """Refuse a padding other than the one that these sizes need."""
        if padding == "same":
            return
        if not isinstance(padding, int | tuple | list):
            raise ConfigurationError(f"wanted padding 'same' or a number, got {padding!r}")
        numbers = per_axis(padding, len(self.stride), "padding")
        for asked, (before, after) in zip(numbers, self.margins, strict=True):
            if asked != before or asked != after:
                legal = f"{before} or 'same'" if before == after else "'same'"
                raise ShapeError(
                    f"padding {asked} does not keep the size of a {self.kernel_size} kernel with "
                    f"stride {self.stride} and dilation {self.dilation}: use {legal}"
                )


def _check_axis(size: int, step: int, gap: int) -> None:
    if min(size, step, gap) < 1:
        raise ShapeError(f"wanted kernel, stride and dilation >= 1, got {size}, {step} and {gap}")
    if math.gcd(step, gap) > 1:
        legal = [near for near in range(gap - 1, 0, -1) if math.gcd(step, near) == 1][:1]
        legal += [near for near in range(gap + 1, gap + step + 1) if math.gcd(step, near) == 1][:1]
        raise ShapeError(
            f"dilation {gap} shares a factor with stride {step}, so taps meet on the same pixels: "
            f"use {' or '.join(map(str, legal))}"
        )
    if size % step:
        below, above = size // step * step, (size // step + 1) * step
        legal_sizes = f"{below} or {above}" if below else f"{above}"
        raise ShapeError(
            f"kernel size {size} is not a multiple of stride {step}: use {legal_sizes}"
        )


def _margin(size: int, step: int, gap: int, *, full: bool) -> tuple[int, int]:
    total = gap * (size - 1) + 1 - step
    # Full: from the first output, a multiple of the stride, whose last tap reads pixel zero.
    before = gap * (size - 1) // step * step if full else total // 2
    return before, total if full else total - before


def per_axis(value: int | Sequence[int], axes: int, name: str) -> tuple[int, ...]:
    """One number an axis from a number for all or a sequence."""
    numbers = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(numbers) != axes:
        raise ShapeError(f"wanted {name} as one number or {axes}, got {tuple(numbers)}")
    return numbers


def check_channels(in_channels: int, out_channels: int, groups: int) -> None:
    """Refuse channel counts that are not positive or not divided by the groups."""
    if in_channels < 1 or out_channels < 1:
        raise ShapeError(f"wanted at least one channel, got {in_channels} -> {out_channels}")
    if groups < 1 or in_channels % groups or out_channels % groups:
        raise ShapeError(
            f"groups={groups} does not divide the channels, {in_channels} -> {out_channels}"
        )
