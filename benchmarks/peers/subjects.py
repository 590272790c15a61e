"""The layers compared, by name, and the shapes they are compared at."""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import nn

from latentsmooth.orthogonal import OrthogonalConv2d, Parametrization, freeze
from peers.scfac import SCFacConv2d, Trivialization

__all__ = ["REFERENCE", "Section", "Shape", "Subject", "make_layer", "subjects_of"]

Section = Literal["speed", "construction", "error", "memory"]

REFERENCE = "Conv2d zeros"
ORTHO_PARAMS = {
    "exp": "EXP_ORTHO_PARAMS",
    "qr": "QR_ORTHO_PARAMS",
    "cholesky": "CHOLESKY_ORTHO_PARAMS",
}
SOC_PADDING = 3
"""Of its explicit kernel: three terms of the exponential widen 3x3 to 7x7, and 4x4 to 8x8."""


@dataclass(frozen=True)
class Shape:
    """A convolution: 3x3 at stride 1, and two taps a phase (4x4 at stride 2) beyond."""

    in_channels: int
    out_channels: int
    size: int
    stride: int = 1

    @classmethod
    def parse(cls, text: str) -> Shape:
        """From ``IN-OUT@SIZE`` or ``IN-OUT@SIZE/STRIDE``."""
        match = re.fullmatch(r"(\d+)-(\d+)@(\d+)(?:/(\d+))?", text)
        if match is None:
            raise ValueError(f"wanted IN-OUT@SIZE or IN-OUT@SIZE/STRIDE, got {text!r}")
        numbers = [int(part) for part in match.groups(default="1")]
        return cls(*numbers)

    @property
    def kernel_size(self) -> int:
        return 3 if self.stride == 1 else 2 * self.stride

    @property
    def padding(self) -> int:
        """Pixels a side that give ``size / stride`` outputs."""
        return (self.kernel_size - self.stride + 1) // 2

    def __str__(self) -> str:
        stride = f"/{self.stride}" if self.stride > 1 else ""
        return f"{self.in_channels}-{self.out_channels}@{self.size}{stride}"


@dataclass(frozen=True)
class Subject:
    """A layer by name, and where it is measured."""

    name: str
    make: Callable[[Shape], nn.Module]
    sections: tuple[Section, ...]
    largest_batch: int | None = None


EVERYWHERE: tuple[Section, ...] = ("speed", "construction", "error", "memory")
VARIATION: tuple[Section, ...] = ("construction", "error")
NO_KERNEL: tuple[Section, ...] = ("speed", "memory")


def make_layer(name: str, shape: Shape, *, seed: int = 0) -> nn.Module:
    """A freshly drawn layer without bias; peers' warnings about their own settings are muted."""
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {subject.name: subject for subject in _all_subjects()}[name].make(shape)


def subjects_of(section: Section, *, variations: bool = True, batch: int = 0) -> list[str]:
    """Names measured in a section, with or without other parametrizations of the same layers."""
    return [
        subject.name
        for subject in _all_subjects()
        if section in subject.sections
        and (variations or subject.sections != VARIATION)
        and (subject.largest_batch is None or batch <= subject.largest_batch)
    ]


def _all_subjects() -> list[Subject]:
    default = OrthogonalConv2d(2, 2, 1).parametrization
    others = [method for method in get_args(Parametrization) if method != default]
    return [
        Subject(REFERENCE, lambda shape: _plain(shape, "zeros"), NO_KERNEL),
        Subject("Conv2d circular", lambda shape: _plain(shape, "circular"), NO_KERNEL),
        Subject("latentsmooth", lambda shape: _ours(shape, default), EVERYWHERE),
        Subject("latentsmooth frozen", lambda shape: freeze(_ours(shape, default)), ("speed",)),
        Subject("AOC", lambda shape: _aoc(shape), EVERYWHERE),
        # its 7x7 kernel takes six times as long as 3x3: once is enough to show it
        Subject("adaptive SOC", lambda shape: _soc(shape), EVERYWHERE, largest_batch=64),
        Subject("SC-Fac", lambda shape: _scfac(shape, "expm"), EVERYWHERE),
        *(_ours_by(method) for method in others),
        *(_aoc_by(option) for option in ORTHO_PARAMS),
        Subject("SC-Fac (cayley)", lambda shape: _scfac(shape, "cayley"), VARIATION),
    ]


def _ours_by(method: Parametrization) -> Subject:
    return Subject(f"latentsmooth ({method})", lambda shape: _ours(shape, method), VARIATION)


def _aoc_by(option: str) -> Subject:
    return Subject(f"AOC ({option})", lambda shape: _aoc(shape, option), VARIATION)


def _plain(shape: Shape, padding_mode: Literal["zeros", "circular"]) -> nn.Module:
    return nn.Conv2d(
        shape.in_channels,
        shape.out_channels,
        shape.kernel_size,
        shape.stride,
        shape.padding,
        bias=False,
        padding_mode=padding_mode,
    )


def _ours(shape: Shape, method: Parametrization) -> nn.Module:
    return OrthogonalConv2d(
        shape.in_channels,
        shape.out_channels,
        shape.kernel_size,
        shape.stride,
        bias=False,
        parametrization=method,
    )


def _aoc(shape: Shape, option: str | None = None) -> nn.Module:
    options: dict[str, Any] = {}
    if option is not None:
        reparametrizers = importlib.import_module("orthogonium.reparametrizers")
        options["ortho_params"] = getattr(reparametrizers, ORTHO_PARAMS[option])
    layer: nn.Module = importlib.import_module("orthogonium.layers").AdaptiveOrthoConv2d(
        shape.in_channels,
        shape.out_channels,
        shape.kernel_size,
        shape.stride,
        shape.padding,
        bias=False,
        padding_mode="circular",
        **options,
    )
    return layer


def _soc(shape: Shape) -> nn.Module:
    module = importlib.import_module("orthogonium.layers.conv.adaptiveSOC")
    layer: nn.Module = module.AdaptiveSOCConv2d(
        shape.in_channels,
        shape.out_channels,
        shape.kernel_size,
        shape.stride,
        SOC_PADDING,
        bias=False,
        padding_mode="circular",
    )
    return layer


def _scfac(shape: Shape, triv: Trivialization) -> nn.Module:
    return SCFacConv2d(
        shape.in_channels, shape.out_channels, shape.kernel_size, shape.stride, triv=triv
    )
