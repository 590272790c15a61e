"""Convolutions in every dimension, against the singular values of their dense matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from latentsmooth.errors import ConfigurationError, ShapeError, UnverifiedModule
from latentsmooth.lipschitz import kernels, lipschitz_bound
from latentsmooth.lipschitz.kernels import convolution_bound
from latentsmooth.orthogonal import OrthogonalConv2d
from latentsmooth.orthogonal.kernel import polyphase
from tests.closeness import assert_near, rounding
from tests.oracles import singular_values
from tests.seeds import shifted

CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


@st.composite
def geometry(draw: st.DrawFn, most: int = 3) -> dict[str, Any]:
    """Channels, taps, steps and an image that is large enough."""
    axes = draw(st.integers(1, most))
    groups = draw(st.integers(1, 2))
    taps = draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes))
    dilation = draw(st.lists(st.integers(1, 3 if axes < 3 else 1), min_size=axes, max_size=axes))
    reach = [(k - 1) * d for k, d in zip(taps, dilation, strict=True)]
    extra = {1: 6, 2: 3, 3: 2}[axes]
    return {
        "axes": axes,
        "channels": (groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))),
        "groups": groups,
        "taps": taps,
        "stride": draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes)),
        "dilation": dilation,
        "reach": reach,
        "sides": [r + 1 + draw(st.integers(0, extra)) for r in reach],
        "seed": draw(st.integers(0, 1000)),
    }


def largest(layer: nn.Module, channels: int, sides: Sequence[int]) -> float:
    return float(singular_values(layer, (channels, *sides)).max())


@settings(max_examples=60, deadline=None)
@given(sizes=geometry(), circular=st.booleans(), scale=st.floats(0.01, 100), data=st.data())
def test_bounds_any_convolution(
    sizes: dict[str, Any], circular: bool, scale: float, data: st.DataObject
) -> None:
    torch.manual_seed(sizes["seed"])
    # Circular padding adds at most the kernel's reach in all, zeros any number.
    padding = [data.draw(st.integers(0, r // 2 if circular else r + 1)) for r in sizes["reach"]]
    mode: Literal["circular", "zeros"] = "circular" if circular else "zeros"
    layer = CONVOLUTIONS[sizes["axes"]](
        *sizes["channels"],
        tuple(sizes["taps"]),
        tuple(sizes["stride"]),
        tuple(padding),
        tuple(sizes["dilation"]),
        sizes["groups"],
        padding_mode=mode,
    ).double()
    with torch.no_grad():
        layer.weight.mul_(scale)
    truth = largest(layer, sizes["channels"][0], sizes["sides"])
    shape = (sizes["channels"][0], *sizes["sides"])
    for bound in (lipschitz_bound(layer), lipschitz_bound(layer, input_shape=shape)):
        assert truth <= bound * (1 + 1e-12)


@settings(max_examples=40, deadline=None)
@given(sizes=geometry(), data=st.data())
def test_bounds_any_transposed_convolution(sizes: dict[str, Any], data: st.DataObject) -> None:
    torch.manual_seed(sizes["seed"])
    padding = [data.draw(st.integers(0, r // 2)) for r in sizes["reach"]]
    # torch wants the output padding below the stride or the dilation.
    limits = zip(sizes["stride"], sizes["dilation"], strict=True)
    output_padding = [data.draw(st.integers(0, max(s, d) - 1)) for s, d in limits]
    layer = TRANSPOSED[sizes["axes"]](
        *sizes["channels"],
        tuple(sizes["taps"]),
        tuple(sizes["stride"]),
        tuple(padding),
        tuple(output_padding),
        sizes["groups"],
        True,
        tuple(sizes["dilation"]),
    ).double()
    sides = [min(side, 4) for side in sizes["sides"]]
    assert largest(layer, sizes["channels"][0], sides) <= lipschitz_bound(layer) * (1 + 1e-12)


@settings(max_examples=40, deadline=None)
@given(
    sides=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.integers(1, 3),
    kernel=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_known_sizes_let_circular_strides_line_up(
    sides: tuple[int, int], stride: tuple[int, int], dilation: int, kernel: int, seed: int
) -> None:
    torch.manual_seed(seed)
    reach = dilation * (kernel - 1)
    padding = reach // 2
    layer = nn.Conv2d(
        2, 3, kernel, stride, padding, dilation=dilation, padding_mode="circular"
    ).double()
    image = tuple(s * n * (padding // (s * n) + 1) for s, n in zip(stride, sides, strict=True))
    if any(side + 2 * padding < reach + 1 for side in image):
        return
    bound = lipschitz_bound(layer, input_shape=(2, *image))
    assert largest(layer, 2, image) <= bound * (1 + 1e-12)
    # Grids of different kernels lose differently, below one percent.
    assert bound <= lipschitz_bound(layer) * 1.01


def test_a_known_size_makes_the_bound_of_a_strided_circular_layer_tight() -> None:
    torch.manual_seed(shifted(0))
    own = OrthogonalConv2d(3, 12, 4, 2).eval()
    layer = nn.Conv2d(3, 12, 4, 2, 1, padding_mode="circular")
    with torch.no_grad():
        layer.weight.copy_(own.weight)
    assert lipschitz_bound(layer, input_shape=(3, 8, 8)) < 1 + 1e-5
    assert lipschitz_bound(layer, input_shape=(3, 7, 8)) > 1.2
    assert lipschitz_bound(layer) > 1.2


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_general_kernels_are_bounded_within_a_few_percent(axes: int, stride: int) -> None:
    torch.manual_seed(shifted(0))
    layer = CONVOLUTIONS[axes](4, 5, 3, stride, 1).double()
    truth = largest(layer, 4, [120] if axes == 1 else [14, 14])
    # A finite image does not reach the supremum over frequencies.
    assert truth <= lipschitz_bound(layer) <= truth * (1.03 if axes == 1 else 1.06)


@pytest.mark.parametrize("dilation", [2, 3])
def test_a_dilated_stride_costs_no_more_than_its_phases(dilation: int) -> None:
    torch.manual_seed(shifted(0))
    layer = nn.Conv1d(3, 4, 4, 2, dilation=dilation).double()
    truth = largest(layer, 3, [80])
    assert truth <= lipschitz_bound(layer) <= truth * 1.03


def test_exact_for_orthogonal_kernels_and_honest_about_their_rounding() -> None:
    torch.manual_seed(shifted(0))
    layer = OrthogonalConv2d(64, 64, 3).eval()
    with torch.no_grad():
        kernel = layer.weight
    assert 1 < convolution_bound(kernel) < 1 + rounding(torch.float32)
    # The kernel's float32 numbers are taken as they are: their rounding is in its norm.
    assert_near(convolution_bound(3 * kernel.double()), 3, dtype=torch.float32)
    response = torch.fft.fftn(kernel.bfloat16().double(), s=(32, 32), dim=(2, 3))
    truth = float(torch.linalg.svdvals(response.movedim((0, 1), (-2, -1))).max())
    assert 1.001 < truth <= convolution_bound(kernel.bfloat16()) < truth * 1.01


def test_groups_are_bounded_apart_and_together() -> None:
    torch.manual_seed(shifted(0))
    layer = nn.Conv2d(6, 6, 3, padding=1, groups=6).double()
    truth = max(convolution_bound(part) for part in layer.weight.detach().chunk(6))
    assert lipschitz_bound(layer) == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize("shape", [(3, 2, 5), (2, 4, 3, 4), (2, 2, 2, 3, 4)])
def test_without_the_grid_the_bound_still_holds(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "is_affordable", lambda shape: False)
    monkeypatch.setattr(kernels, "_known", {})
    torch.manual_seed(shifted(0))
    weight = torch.randn(shape, dtype=torch.float64)
    layer = CONVOLUTIONS[len(shape) - 2](shape[1], shape[0], shape[2:]).double()
    with torch.no_grad():
        layer.weight.copy_(weight)
    truth = largest(layer, shape[1], [7] * (len(shape) - 2))
    assert truth <= convolution_bound(weight) * (1 + 1e-12)


def test_remembered_bounds_depend_on_the_whole_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_known", {})
    monkeypatch.setattr(kernels, "REMEMBERED", 2)
    weight = torch.eye(2).reshape(2, 2, 1, 1)
    for scale in (1.0, 2.0, 3.0, 1.0):
        assert convolution_bound(scale * weight) == pytest.approx(scale)
    assert convolution_bound(weight.reshape(1, 4, 1, 1)) == pytest.approx(math.sqrt(2))


def test_polyphase_keeps_every_tap() -> None:
    kernel = torch.arange(1.0, 11.0).reshape(1, 1, 2, 5)
    phases = polyphase(kernel, (2,))
    assert phases.shape == (1, 1, 4, 3)
    assert sorted(phases.flatten().tolist()) == [0.0, 0.0, *torch.arange(1.0, 11.0).tolist()]


def test_circular_padding_beyond_the_reach_would_break_the_kernel_bound() -> None:
    layer = nn.Conv2d(1, 1, 2, padding=1, padding_mode="circular", bias=False).double()
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0, 0, 0] = 1
    assert largest(layer, 1, [4, 4]) > convolution_bound(layer.weight)
    with pytest.raises(UnverifiedModule, match="repeats outputs"):
        lipschitz_bound(layer)
    with pytest.raises(UnverifiedModule, match="repeats outputs"):
        lipschitz_bound(layer, input_shape=(1, 4, 4))


def test_same_padding_is_within_reach() -> None:
    torch.manual_seed(shifted(0))
    layer = nn.Conv2d(2, 2, 4, padding="same", padding_mode="circular").double()
    assert largest(layer, 2, [6, 6]) <= lipschitz_bound(layer) * (1 + 1e-12)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ShapeError, match="wanted 2 strides"):
        convolution_bound(torch.zeros(1, 1, 2, 2), (1, 1, 1))
    with pytest.raises(ShapeError, match="3 groups do not divide"):
        convolution_bound(torch.zeros(2, 1, 2, 2), groups=3)
    with pytest.raises(UnverifiedModule, match="complex"):
        convolution_bound(torch.zeros(1, 1, 2, dtype=torch.complex64))
    layer = nn.Conv1d(1, 1, 2)
    with torch.no_grad():
        layer.weight.fill_(math.inf)
    with pytest.raises(ConfigurationError, match="are the weights finite"):
        lipschitz_bound(layer)
