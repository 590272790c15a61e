"""Every orthogonal convolution of one grid, against the singular values of its dense matrix."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from latentsmooth.errors import ShapeError
from latentsmooth.orthogonal import (
    OrthogonalConv1d,
    OrthogonalConv2d,
    OrthogonalConv3d,
    OrthogonalConvTranspose1d,
    OrthogonalConvTranspose2d,
    OrthogonalConvTranspose3d,
    PaddingMode,
    Parametrization,
    freeze,
)
from latentsmooth.orthogonal.convolution_layer import ConvolutionLayer
from tests.seeds import shifted

LAYERS: list[Any] = [
    OrthogonalConv1d,
    OrthogonalConv2d,
    OrthogonalConv3d,
    OrthogonalConvTranspose1d,
    OrthogonalConvTranspose2d,
    OrthogonalConvTranspose3d,
]
KERNELS: dict[int, list[Any]] = {
    1: [1, 2, 3, 4, 6],
    2: [1, 2, 3, 4, 6, (2, 3), (4, 1)],
    3: [1, 2, 3, (1, 2, 4)],
}
STRIDES = [1, 2, 3]
DILATIONS = [1, 2, 3]
# In, out and groups: growing, narrowing, equal and odd counts, groups, depthwise.
CHANNELS = [
    (2, 4, 1),
    (4, 2, 1),
    (3, 3, 1),
    (3, 5, 1),
    (5, 3, 1),
    (2, 18, 1),
    (18, 2, 1),
    (4, 6, 2),
    (3, 3, 3),
    (2, 8, 2),
]
TOLERANCE = 1e-10
FLOAT32_TOLERANCE = 2e-6


@dataclass(frozen=True)
class Cell:
    """One legal combination and an image that it takes."""

    layer: ConvolutionLayer
    shape: tuple[int, ...]

    def without_wrapping_twice(self) -> Cell:
        """A cell with sides that reach round a plain layer's circular padding."""
        sides = []
        axes = zip(self.shape[1:], self.layer.margins, self.layer.stride, strict=True)
        for side, margin, step in axes:
            unit = 1 if self.layer.transposed else step
            reach = -(-max(margin) // step) * unit
            sides.append(max(side, reach, unit))
        return Cell(self.layer, (self.shape[0], *sides))

    def describe(self) -> str:
        return f"{type(self.layer).__name__}({self.layer.extra_repr()}) on {self.shape}"


def cells(
    kind: Any, mode: PaddingMode, method: Parametrization, *, step: int = 1
) -> Iterator[Cell]:
    """All legal cells of the grid, or every ``step``-th."""
    choices = itertools.product(KERNELS[kind.axes], STRIDES, DILATIONS, CHANNELS)
    made = 0
    for kernel, stride, dilation, (inputs, outputs, groups) in choices:
        if kind.axes == 3 and max(inputs, outputs) > 6:
            continue
        try:
            layer = kind(
                inputs,
                outputs,
                kernel,
                stride,
                dilation=dilation,
                groups=groups,
                padding_mode=mode,
                parametrization=method,
            )
        except ShapeError:
            continue
        made += 1
        if made % step == 0:
            unit = 1 if kind.transposed else stride
            yield Cell(layer, (inputs, *(unit * side for side in (2, 3, 1)[: kind.axes])))


def dense(layer: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """The matrix of an affine map's linear part, from its action on the unit vectors."""
    count = math.prod(shape)
    basis = torch.eye(count, dtype=torch.float64).reshape(count, *shape)
    with torch.no_grad():
        columns: Tensor = layer(basis) - layer(torch.zeros_like(basis[:1]))
    return columns.reshape(count, -1)


def check(layer: nn.Module, cell: Cell, tolerance: float) -> None:
    values = torch.linalg.svdvals(dense(layer, cell.shape))
    assert float(values.max()) <= 1 + tolerance, cell.describe()
    if cell.layer.padding_mode == "circular" or cell.layer.is_isometry:
        assert float(values.min()) >= 1 - tolerance, cell.describe()


def in_float64(layer: nn.Module) -> nn.Module:
    return copy.deepcopy(layer).double().eval()


every_kind = pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
every_mode = pytest.mark.parametrize("mode", get_args(PaddingMode))
every_method = pytest.mark.parametrize("method", get_args(Parametrization))


@every_kind
@every_mode
@every_method
def test_singular_values_are_one_or_below(
    kind: Any, mode: PaddingMode, method: Parametrization
) -> None:
    torch.manual_seed(shifted(0))
    count = 0
    # What the factors are assembled to is the same for every way of making them.
    for cell in cells(kind, mode, method, step=1 if method == "cayley" else 5):
        check(in_float64(cell.layer), cell, TOLERANCE)
        count += 1
    assert count >= 20


@every_kind
@every_mode
@every_method
def test_stay_so_after_steps_saving_and_freezing(
    kind: Any, mode: PaddingMode, method: Parametrization
) -> None:
    torch.manual_seed(shifted(1))
    for cell in cells(kind, mode, method, step=29 if method == "cayley" else 97):
        layer = cell.layer
        take_steps(layer, cell.shape)
        check(in_float64(layer), cell, TOLERANCE)
        loaded = copy.deepcopy(layer)
        loaded.reset_parameters()
        loaded.load_state_dict(layer.state_dict())
        check(in_float64(loaded), cell, TOLERANCE)
        larger = cell.without_wrapping_twice()
        check(freeze(in_float64(layer)), larger, TOLERANCE)
        # The float32 kernels, as trained with and as frozen, taken as exact numbers.
        for rounded in (frozen_as_trained(layer), freeze(layer)):
            check(rounded.double(), larger, FLOAT32_TOLERANCE)


def take_steps(layer: ConvolutionLayer, shape: tuple[int, ...], steps: int = 8) -> None:
    layer.train()
    # Each step of Adam moves a parameter by about its rate: far from the start within a few.
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.25)
    images = torch.randn(2, *shape)
    target = torch.randn_like(layer(images))
    for _ in range(steps):
        optimizer.zero_grad()
        (layer(images) - target).square().mean().backward()
        optimizer.step()


def frozen_as_trained(layer: ConvolutionLayer) -> nn.Module:
    """The plain layer with the kernel that training, not evaluation, convolves with."""
    plain = freeze(layer)
    trained = layer.train().weight.detach()
    with torch.no_grad():
        for part in plain.modules():
            weight = getattr(part, "weight", None)
            if isinstance(weight, Tensor):
                weight.copy_(trained if weight.shape == trained.shape else layer.flipped()[0])
    return plain


@every_kind
def test_isometries_are_inverted(kind: Any) -> None:
    torch.manual_seed(shifted(2))
    inverted = 0
    for mode in get_args(PaddingMode):
        for cell in cells(kind, mode, "cayley", step=7):
            if not cell.layer.is_isometry:
                continue
            layer = in_float64(cell.layer)
            nn.init.normal_(layer.bias)  # type: ignore[arg-type]
            images = torch.randn(2, *cell.shape, dtype=torch.float64)
            with torch.no_grad():
                back = layer.inverse(layer(images))  # type: ignore[operator]
            assert torch.allclose(back, images, atol=1e-10), cell.describe()
            inverted += 1
    assert inverted >= 20
