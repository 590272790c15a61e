"""Other libraries' layers: bounded by the weights they compute with, whatever they promise."""

from __future__ import annotations

import copy
import importlib
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from latentsmooth.errors import UnverifiedModule
from latentsmooth.lipschitz import bake, lipschitz_bound, lipschitz_lower_bound
from tests.closeness import assert_near
from tests.oracles import singular_values
from tests.seeds import shifted


def load(name: str) -> Any:
    """A module of a library that need not be installed, whose warnings are its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ImportError:
            return None


orthogonium = load("orthogonium.layers")
aoc = load("orthogonium.layers.conv.AOC")
soc = load("orthogonium.layers.conv.adaptiveSOC")
aol = load("orthogonium.layers.conv.AOL")
sll = load("orthogonium.layers.conv.SLL")
residual = load("orthogonium.layers.residual")
torchlip = load("deel.torchlip")

needs_orthogonium = pytest.mark.skipif(orthogonium is None, reason="orthogonium is not installed")
needs_torchlip = pytest.mark.skipif(torchlip is None, reason="deel-torchlip is not installed")

IMAGE = (4, 8, 8)
Make = Callable[[], nn.Module]


def quietly(make: Make) -> nn.Module:
    torch.manual_seed(shifted(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make().eval()


def check(layer: nn.Module, looseness: float, shape: tuple[int, ...]) -> None:
    bound = lipschitz_bound(layer, input_shape=shape)
    truth = max(
        float(singular_values(copy.deepcopy(layer).double(), shape).max()) for _ in range(2)
    )
    assert truth * (1 - 1e-9) <= bound <= truth * looseness
    # The lower one is computed in float64, and may round upwards.
    assert lipschitz_lower_bound(layer, shape, points=1, iterations=5) <= bound * (1 + 1e-12)


ORTHOGONIUM: dict[str, tuple[Make, float]] = {
    "AOC": (lambda: aoc.AdaptiveOrthoConv2d(4, 6, 3), 1.0001),
    "AOC, zeros": (
        lambda: aoc.AdaptiveOrthoConv2d(4, 6, 3, padding=1, padding_mode="zeros"),
        1.01,
    ),
    "AOC, stride": (lambda: aoc.AdaptiveOrthoConv2d(4, 16, 4, stride=2, padding=1), 1.0001),
    "AOC, groups": (lambda: aoc.AdaptiveOrthoConv2d(4, 4, 3, groups=2), 1.0001),
    "RKO": (lambda: aoc.AdaptiveOrthoConv2d(4, 16, 2, stride=2, padding=0), 1.0001),
    "AOC, transposed": (lambda: aoc.AdaptiveOrthoConvTranspose2d(4, 4, 3, padding=1), 1.01),
    "AOC, transposed, stride": (
        lambda: aoc.AdaptiveOrthoConvTranspose2d(4, 4, 4, stride=2, padding=1),
        1.01,
    ),
    "SOC": (lambda: soc.AdaptiveSOCConv2d(4, 4, 3), 1.1),
    "AOL": (lambda: aol.AOLConv2D(4, 4, 3, padding=1), 1.1),
    "AOL, transposed": (lambda: aol.AOLConvTranspose2D(4, 4, 3, padding=1), 1.1),
    "SLL": (lambda: sll.SDPBasedLipschitzResBlock(4, 1), 1.1),
    "SLL by AOC": (lambda: sll.AOCLipschitzResBlock(4, 1, 3), 1.1),
    "Abs": (lambda: orthogonium.Abs(), 1.0001),
    "MaxMin": (lambda: orthogonium.MaxMin(), 1.0001),
    "HouseHolder": (lambda: orthogonium.HouseHolder(4), 1.0001),
    "ChannelShuffle": (lambda: orthogonium.ChannelShuffle(2, 2), 1.0001),
    "BatchCentering2D": (lambda: orthogonium.BatchCentering2D(4), 1.0001),
    "LayerCentering2D": (lambda: orthogonium.LayerCentering2D(4), 1.0001),
    "ConcatResidual": (
        lambda: residual.ConcatResidual(nn.Conv2d(2, 2, 3, padding=1)),
        1.1,
    ),
    "AdditiveResidual": (lambda: residual.AdditiveResidual(orthogonium.Abs()), 1.0001),
}


@needs_orthogonium
@pytest.mark.parametrize("name", ORTHOGONIUM)
def test_orthogonium_layers_once_baked(name: str) -> None:
    make, looseness = ORTHOGONIUM[name]
    check(bake(quietly(make)), looseness, IMAGE)


@needs_orthogonium
@pytest.mark.parametrize("make", [lambda: orthogonium.OrthoLinear(4, 3), lambda: dense_sll(4)])
def test_orthogonium_dense_layers_once_baked(make: Make) -> None:
    check(bake(quietly(make)), 1.0001, (4,))


def dense_sll(features: int) -> nn.Module:
    layer: nn.Module = sll.SDPBasedLipschitzDense(features, features, 6)
    return layer


@needs_orthogonium
def test_orthogonium_weights_that_move_with_each_reading_are_refused() -> None:
    layer: Any = quietly(lambda: aoc.AdaptiveOrthoConv2d(4, 4, 3))
    first, second = layer.weight.clone(), layer.weight
    assert not torch.equal(first, second)
    for each in (layer, quietly(lambda: sll.AOCLipschitzResBlock(4, 1, 3))):
        with pytest.raises(UnverifiedModule, match="bake"):
            lipschitz_bound(each, input_shape=IMAGE)


@needs_orthogonium
def test_a_promise_that_the_kernel_breaks_is_not_believed() -> None:
    layer: Any = bake(quietly(lambda: aoc.AdaptiveOrthoConv2d(4, 4, 3)))
    with torch.no_grad():
        layer.weight.mul_(2)
    assert lipschitz_bound(layer) == pytest.approx(2, rel=1e-4)


@needs_orthogonium
def test_constants_per_channel_need_as_many_channels() -> None:
    layer = quietly(lambda: orthogonium.HouseHolder(4))
    with pytest.raises(UnverifiedModule, match="give input_shape"):
        lipschitz_bound(layer)
    # Two channels are one pair, which two angles would repeat: longer by the root of two.
    with pytest.raises(UnverifiedModule, match=r"meet an input of shape \(2, 2, 4, 4\)"):
        lipschitz_bound(layer, input_shape=(2, 4, 4))
    with pytest.raises(UnverifiedModule, match="axis=0"):
        lipschitz_bound(quietly(lambda: orthogonium.MaxMin(axis=0)))


TORCHLIP: dict[str, tuple[Make, float]] = {
    "SpectralConv2d": (lambda: torchlip.SpectralConv2d(4, 6, 3, padding=1), 1.1),
    "SpectralConv2d, circular": (
        lambda: torchlip.SpectralConv2d(4, 4, 3, padding=1, padding_mode="circular"),
        1.1,
    ),
    "SpectralConv2d, factor": (
        lambda: torchlip.SpectralConv2d(4, 4, 3, padding=1, k_coef_lip=2.0),
        1.1,
    ),
    "SpectralConv2d, stride": (lambda: torchlip.SpectralConv2d(4, 4, 2, stride=2), 1.01),
    "FrobeniusConv2d": (lambda: torchlip.FrobeniusConv2d(4, 1, 3, padding=1), 1.1),
    "SpectralConvTranspose2d": (lambda: torchlip.SpectralConvTranspose2d(4, 4, 2, stride=2), 1.01),
    "GroupSort": (lambda: torchlip.GroupSort(2), 1.0001),
    "GroupSort2": (lambda: torchlip.GroupSort2(), 1.0001),
    "FullSort, factor": (lambda: torchlip.FullSort(k_coef_lip=3.0), 1.0001),
    "MaxMin": (lambda: torchlip.MaxMin(), 1.0001),
    "LPReLU": (lambda: torchlip.LPReLU(init=0.5, k_coef_lip=2.0), 1.0001),
    "LPReLU, steep": (lambda: torchlip.LPReLU(init=5.0, k_coef_lip=2.0), 1.0001),
    "HouseHolder": (lambda: torchlip.HouseHolder(4), 1.0001),
    "ScaledAvgPool2d": (lambda: torchlip.ScaledAvgPool2d(2, k_coef_lip=2.0), 1.0001),
    "ScaledAvgPool2d, pair": (lambda: torchlip.ScaledAvgPool2d((2, 4)), 1.0001),
    "ScaledL2NormPool2d": (lambda: torchlip.ScaledL2NormPool2d(2), 1.0001),
    "ScaledAdaptiveAvgPool2d": (lambda: torchlip.ScaledAdaptiveAvgPool2d((1, 1)), 1.0001),
    "ScaledAdaptativeL2NormPool2d": (lambda: torchlip.ScaledAdaptativeL2NormPool2d(), 1.0001),
    "InvertibleDownSampling": (lambda: torchlip.InvertibleDownSampling(2), 1.0001),
    "InvertibleUpSampling": (lambda: torchlip.InvertibleUpSampling(2), 1.0001),
    "LayerCentering": (lambda: torchlip.LayerCentering(4), 1.0001),
    "BatchCentering": (lambda: torchlip.BatchCentering(4), 1.0001),
    "ScaleBiasLayer": (lambda: torchlip.ScaleBiasLayer(2.0, 4), 1.0001),
    "Sequential": (
        lambda: torchlip.Sequential(
            torchlip.SpectralConv2d(4, 4, 3, padding=1), torchlip.GroupSort2(), k_coef_lip=2.0
        ),
        1.2,
    ),
}


@needs_torchlip
@pytest.mark.parametrize("name", TORCHLIP)
def test_torchlip_layers(name: str) -> None:
    make, looseness = TORCHLIP[name]
    layer = quietly(make)
    check(layer, looseness, IMAGE)
    check(bake(layer), looseness, IMAGE)


@needs_torchlip
@pytest.mark.parametrize(
    "make", [lambda: torchlip.SpectralLinear(5, 4), lambda: torchlip.FrobeniusLinear(5, 2)]
)
def test_torchlip_dense_layers(make: Make) -> None:
    layer = quietly(make)
    check(layer, 1.0001, (5,))


@needs_torchlip
def test_torchlip_statistics_count_as_they_settle() -> None:
    layer = quietly(lambda: torchlip.BatchLipNorm(4))
    layer.train()
    for _ in range(3):
        layer(0.2 * torch.randn(8, 4, 3, 3))
    layer.eval()
    bound = lipschitz_bound(layer, input_shape=(4, 3, 3))
    assert bound > 3
    inputs = torch.randn(1, 4, 3, 3)
    with torch.no_grad():
        moved = (layer(inputs + 1) - layer(inputs)).norm() / math.sqrt(inputs.numel())
    # Each entry moves by about the bound, between numbers up to their largest output.
    assert_near(moved, bound, steps=256, dtype=torch.float32)
    assert lipschitz_bound(layer, input_shape=(4, 3, 3)) == pytest.approx(bound, rel=1e-6)


@needs_torchlip
def test_torchlip_weights_are_those_of_evaluation() -> None:
    layer: Any = quietly(lambda: torchlip.SpectralLinear(6, 6))
    layer.train()
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.randn(4, 6)).square().sum().backward()
        optimizer.step()
    bound = lipschitz_bound(layer)
    assert layer.training
    weight = layer.eval().weight.detach().double()
    assert float(torch.linalg.matrix_norm(weight, 2)) * (1 - 1e-12) <= bound < 1.01


@needs_torchlip
@pytest.mark.parametrize("mode", ["reflect", "replicate", "symmetric"])
def test_torchlip_paddings_that_repeat_pixels_are_refused(mode: str) -> None:
    layer = quietly(lambda: torchlip.SpectralConv2d(4, 4, 5, padding=2, padding_mode=mode))
    with pytest.raises(UnverifiedModule, match="repeats pixels"):
        lipschitz_bound(layer)


@needs_torchlip
def test_torchlip_settings_without_a_rule_are_refused() -> None:
    for make in (
        lambda: torchlip.ScaledL2NormPool2d(2, ceil_mode=True),
        lambda: torchlip.MaxMin(dim=0),
        lambda: torchlip.HouseHolder(4),
        lambda: torchlip.LayerCentering(4),
    ):
        with pytest.raises(UnverifiedModule):
            lipschitz_bound(quietly(make))
    with pytest.raises(UnverifiedModule, match="goes over the samples"):
        lipschitz_bound(quietly(lambda: torchlip.LayerCentering(4)), input_shape=(4,))


@needs_torchlip
def test_torchlip_residuals_are_followed_inside_a_block() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branch = nn.LeakyReLU(3.0)
            self.join = torchlip.LipResidual()

        def forward(self, inputs: Tensor) -> Tensor:
            return self.join(inputs, self.branch(inputs))  # type: ignore[no-any-return]

    assert lipschitz_bound(Block().eval(), input_shape=(2,)) == pytest.approx(2.0)


def test_another_activation_in_a_residual_block_is_refused() -> None:
    block = quietly(lambda: sll.SDPBasedLipschitzDense(5, 5, 7)).eval()
    block.activation = nn.LeakyReLU(-3.0)
    with pytest.raises(UnverifiedModule, match="wanted its activation to be ReLU"):
        lipschitz_bound(block)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: orthogonium.HouseHolder(8), (8,)),
        (lambda: orthogonium.HouseHolder(8), (8, 3)),
        (lambda: orthogonium.LayerCentering2D(4), (4, 3)),
    ],
)
def test_constants_shaped_for_images_meet_nothing_else(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    with pytest.raises(UnverifiedModule, match="constants meet an input"):
        lipschitz_bound(quietly(make).eval(), input_shape=shape)
