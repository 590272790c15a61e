"""Bounds against dense Jacobians, and what must be refused."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from latentsmooth.errors import ConfigurationError, ShapeError, UnverifiedModule
from latentsmooth.lipschitz import (
    evaluating,
    lipschitz_bound,
    module_bounds,
    register_rule,
    verified_types,
)
from latentsmooth.lipschitz.rules.convolution import convolution_bound
from latentsmooth.orthogonal import ChannelNormalize, MaxMin, OrthogonalConv2d
from tests.oracles import singular_values


@settings(max_examples=40, deadline=None)
@given(
    channels=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 3),
    circular=st.booleans(),
    scale=st.floats(0.01, 10),
    seed=st.integers(0, 1000),
)
def test_bounds_any_convolution(
    channels: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    circular: bool,
    scale: float,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    reach = 1 if circular else 2
    padding = ((kernel[0] - 1) // 2 * reach, (kernel[1] - 1) // 2 * reach)
    mode: Literal["circular", "zeros"] = "circular" if circular else "zeros"
    layer = nn.Conv2d(*channels, kernel, stride, padding, padding_mode=mode).double()
    with torch.no_grad():
        layer.weight.mul_(scale)
    largest = float(singular_values(layer, (channels[0], 5, 6)).max())
    assert largest <= lipschitz_bound(layer) * (1 + 1e-12)


@pytest.mark.parametrize("dilation", [1, 2])
def test_bounds_groups_and_dilation(dilation: int) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, 3, padding=dilation, dilation=dilation, groups=2).double()
    largest = float(singular_values(layer, (4, 7, 7)).max())
    assert largest <= lipschitz_bound(layer)


def test_exact_for_orthogonal_kernels_and_their_rounding() -> None:
    torch.manual_seed(0)
    layer = OrthogonalConv2d(64, 64, 3).eval()
    with torch.no_grad():
        kernel = layer.weight
    in_float32 = convolution_bound(kernel)
    in_bfloat16 = convolution_bound(kernel.bfloat16())
    assert 1 < in_float32 < 1 + 2e-6
    assert 1.01 < in_bfloat16 < 1.1


def test_circular_padding_beyond_the_reach_would_break_the_kernel_bound() -> None:
    layer = nn.Conv2d(1, 1, 2, padding=1, padding_mode="circular", bias=False).double()
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0, 0, 0] = 1
    largest = float(singular_values(layer, (1, 4, 4)).max())
    assert largest > convolution_bound(layer.weight)
    with pytest.raises(UnverifiedModule, match="repeats outputs"):
        lipschitz_bound(layer)


def test_same_padding_is_within_reach() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 2, 4, padding="same", padding_mode="circular").double()
    largest = float(singular_values(layer, (2, 6, 6)).max())
    assert largest <= lipschitz_bound(layer)


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (5, 5)])
def test_bounds_dense_layers(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(*shape).double()
    largest = float(torch.linalg.matrix_norm(layer.weight.detach(), 2))
    assert largest <= lipschitz_bound(layer)


@pytest.mark.parametrize(
    ("layer", "bound"),
    [
        (nn.AvgPool2d(2), 0.5),
        (nn.MaxPool2d(2), 1.0),
        (nn.MaxPool2d(2, 3), 1.0),
        (nn.LeakyReLU(3.0), 3.0),
        (nn.ReLU(), 1.0),
        (nn.Sigmoid(), 0.25),
        (nn.PixelUnshuffle(2), 1.0),
        (ChannelNormalize(0.5, [0.25, 0.5, 1.0]), 4.0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_known_factors_bound_the_jacobian(layer: nn.Module, bound: float) -> None:
    assert lipschitz_bound(layer) == pytest.approx(bound, rel=1e-12)
    largest = float(singular_values(layer.double(), (3, 6, 6)).max())
    assert largest <= lipschitz_bound(layer) * (1 + 1e-12)


def test_scaling_the_input_raises_the_bound() -> None:
    torch.manual_seed(0)
    convolution = OrthogonalConv2d(3, 8, 3).eval()
    plain = lipschitz_bound(nn.Sequential(convolution, MaxMin()))
    std = (0.2470, 0.2435, 0.2616)
    scaled = nn.Sequential(ChannelNormalize((0.49, 0.48, 0.45), std), convolution, MaxMin())
    assert lipschitz_bound(scaled) == pytest.approx(plain / min(std), rel=1e-6)
    largest = float(singular_values(scaled.double(), (3, 6, 6)).max())
    assert 1 < largest <= lipschitz_bound(scaled) * (1 + 1e-9)


def test_chains_multiply_and_name_their_parts() -> None:
    chain = nn.Sequential(nn.AvgPool2d(2), nn.Sequential(nn.Flatten(), nn.LeakyReLU(3.0)))
    parts = module_bounds(chain)
    assert [part.path for part in parts] == ["0", "1.0", "1.1"]
    assert lipschitz_bound(chain) == pytest.approx(math.prod(part.bound for part in parts))


class Unknown(nn.Module):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return 100 * inputs


class Subclass(nn.Conv2d):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(inputs)


@pytest.mark.parametrize(
    "layer",
    [
        Unknown(),
        Subclass(3, 3, 1),
        nn.BatchNorm2d(3),
        nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(3, 3, 3, stride=2, dilation=2),
        nn.Conv2d(3, 3, 2, padding=1, padding_mode="circular"),
        nn.MaxPool2d(3, 2),
        nn.MaxPool2d(2, dilation=2),
        nn.AvgPool2d(2, 1),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.AvgPool2d(2, padding=1, count_include_pad=False),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_what_no_rule_knows_is_an_error(layer: nn.Module) -> None:
    with pytest.raises(UnverifiedModule):
        lipschitz_bound(nn.Sequential(nn.Flatten(), layer))


def test_the_error_names_the_path() -> None:
    with pytest.raises(UnverifiedModule, match=r"1\.0\.tail \(Unknown\)"):
        lipschitz_bound(nn.Sequential(nn.ReLU(), nn.Sequential(_named("tail", Unknown()))))


def _named(name: str, module: nn.Module) -> nn.Sequential:
    outer = nn.Sequential()
    outer.add_module(name, module)
    return outer


def test_hooks_and_replaced_forwards_are_refused() -> None:
    hooked = nn.ReLU()
    hooked.register_forward_hook(lambda module, inputs, output: 100 * output)
    with pytest.raises(UnverifiedModule, match="forward hook"):
        lipschitz_bound(nn.Sequential(hooked))
    chain = nn.Sequential(nn.ReLU())
    chain.forward = lambda inputs: 100 * inputs  # type: ignore[method-assign]
    with pytest.raises(UnverifiedModule, match="replaced"):
        lipschitz_bound(chain)


def test_a_module_that_acts_twice_counts_twice() -> None:
    leaky = nn.LeakyReLU(3.0)
    assert lipschitz_bound(nn.Sequential(leaky, leaky)) == pytest.approx(9.0)
    inner = nn.Sequential(leaky)
    assert lipschitz_bound(nn.Sequential(inner, nn.ReLU(), inner)) == pytest.approx(9.0)
    scale = ChannelNormalize(0.0, 0.25)
    chain = nn.Sequential(scale, scale)
    largest = float(singular_values(chain.double(), (1, 2, 2)).max())
    assert largest == pytest.approx(16.0)
    assert largest <= lipschitz_bound(chain)


def test_hooks_on_all_modules_and_replaced_internals_are_refused() -> None:
    handle = nn.modules.module.register_module_forward_hook(lambda *parts: 100 * parts[2])
    try:
        with pytest.raises(UnverifiedModule, match="forward hook"):
            lipschitz_bound(nn.ReLU())
    finally:
        handle.remove()
    convolution = nn.Conv2d(1, 1, 1)
    convolution._conv_forward = lambda *parts: 100 * parts[0]  # type: ignore[method-assign]
    with pytest.raises(UnverifiedModule, match="replaced method '_conv_forward'"):
        lipschitz_bound(convolution)
    late = nn.Conv2d(1, 1, 2, padding=1, padding_mode="circular")
    late.padding = (0, 0)
    with pytest.raises(UnverifiedModule, match="repeats outputs"):
        lipschitz_bound(late)


def test_constants_that_make_no_sense_are_refused() -> None:
    spread = ChannelNormalize(0.5, 0.5)
    spread.std.zero_()
    for layer in (nn.LeakyReLU(float("nan")), spread):
        with pytest.raises(ConfigurationError, match="wanted a finite bound"):
            lipschitz_bound(layer)


def test_parts_frozen_before_stay_frozen() -> None:
    chain = nn.Sequential(nn.Dropout(0.5), nn.Flatten()).train()
    chain[0].eval()
    lipschitz_bound(chain, input_shape=(1, 2, 2))
    with evaluating(chain):
        assert not any(part.training for part in chain.modules())
    assert [part.training for part in chain] == [False, True]


def test_users_register_rules() -> None:
    class Half(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs / 2

    register_rule(Half)(lambda module: 0.5)
    assert lipschitz_bound(nn.Sequential(Half(), Half())) == pytest.approx(0.25)
    assert "Half" in verified_types()
    register_rule(Half)(lambda module: float("nan"))
    with pytest.raises(ConfigurationError, match="gave nan"):
        lipschitz_bound(Half())


def test_input_shape_finds_size_errors() -> None:
    layer = OrthogonalConv2d(3, 8, 4, 2)
    assert lipschitz_bound(layer, input_shape=(3, 8, 8)) == lipschitz_bound(layer)
    assert layer.training
    with pytest.raises(ShapeError, match="multiple of stride"):
        lipschitz_bound(layer, input_shape=(3, 7, 7))
    with pytest.raises(ShapeError, match="does not fit"):
        lipschitz_bound(nn.Linear(3, 2), input_shape=(4,))


def test_weights_that_are_not_finite_are_refused() -> None:
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.fill_(float("nan"))
    with pytest.raises(ConfigurationError, match="are the weights finite"):
        lipschitz_bound(layer)
