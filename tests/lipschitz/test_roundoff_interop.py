"""Rounding of other libraries' layers."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch import nn

from latentsmooth.lipschitz import bake, registry, rounding_bound
from latentsmooth.lipschitz.roundoff.table import rounded_types
from tests.lipschitz.roundings import check, images
from tests.lipschitz.test_interop import (
    IMAGE,
    ORTHOGONIUM,
    TORCHLIP,
    Make,
    dense_sll,
    needs_orthogonium,
    needs_torchlip,
    orthogonium,
    quietly,
    torchlip,
)
from tests.seeds import shifted

LOOSE = 5000.0  # as in `test_roundoff`; seen were up to 750
EXACT = ("Abs", "MaxMin", "ChannelShuffle", "GroupSort", "GroupSort2", "Invertible")


def measure(make: Make, name: str, shape: tuple[int, ...]) -> None:
    layer = bake(quietly(make))
    generator = torch.Generator().manual_seed(shifted(0))
    for parameter in layer.parameters():
        nn.init.normal_(parameter, generator=generator)
    found, bound = check(layer, shape, low=-2.0, high=2.0)
    assert not bound.assumed
    if name.startswith(EXACT):
        assert bound.error == 0.0
    elif found:
        assert bound.error <= LOOSE * found


@needs_orthogonium
@pytest.mark.parametrize("name", ORTHOGONIUM)
def test_orthogonium_layers(name: str) -> None:
    measure(ORTHOGONIUM[name][0], name, IMAGE)


@needs_orthogonium
def test_soft_absolute_values() -> None:
    activations = importlib.import_module("orthogonium.layers.custom_activations")
    measure(lambda: activations.SoftHuber(), "SoftHuber", IMAGE)
    measure(lambda: dense_sll(5), "dense", (5,))
    measure(lambda: orthogonium.OrthoLinear(4, 3), "dense", (4,))


@needs_torchlip
@pytest.mark.parametrize("name", TORCHLIP)
def test_torchlip_layers(name: str) -> None:
    measure(TORCHLIP[name][0], name, IMAGE)


@needs_torchlip
def test_torchlip_dense_layers() -> None:
    measure(lambda: torchlip.SpectralLinear(5, 4), "dense", (5,))


@needs_torchlip
def test_torchlip_statistics_are_those_in_force() -> None:
    layer: Any = quietly(lambda: torchlip.BatchLipNorm(4)).train()
    nn.init.normal_(layer.bias)
    for _ in range(2):
        layer(0.2 * torch.randn(8, 4, 3, 3) + 1)
    layer.eval()
    bound = rounding_bound(layer, input_shape=(4, 3, 3), dtype=torch.float32)
    inputs = images((4, 3, 3))
    with torch.no_grad():
        computed = layer(inputs).double()
        mean, bias = (each.double().reshape(1, 4, 1, 1) for each in (layer._get_mean(), layer.bias))
        exact = (inputs.double() - mean) * layer.get_scaling().double() + bias
    found = float((computed - exact).flatten(1).norm(dim=1).max())
    assert 0 < found <= bound.error <= LOOSE * found


@needs_orthogonium
@needs_torchlip
def test_every_type_with_a_lipschitz_rule_has_a_rounding_rule() -> None:
    for place in ("lipschitz.interop", "lipschitz.roundoff.interop"):
        for library in ("orthogonium", "torchlip"):
            importlib.import_module(f"latentsmooth.{place}.{library}")
    built_in = {kind for kind, entry in registry._ENTRIES.items() if not entry.users}
    assert built_in == rounded_types() & built_in
    assert any(kind.__module__.startswith("deel") for kind in built_in)
