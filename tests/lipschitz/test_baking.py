"""Computed weights made plain."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from latentsmooth.lipschitz import bake, lipschitz_bound
from tests.closeness import assert_near
from tests.seeds import shifted


class Widen(nn.Module):
    """A parametrization that changes the shape."""

    def forward(self, weight: Tensor) -> Tensor:
        return torch.cat([weight, weight])


def test_the_copy_computes_the_same_and_the_original_stays() -> None:
    torch.manual_seed(shifted(0))
    network = nn.Sequential(
        parametrizations.orthogonal(nn.Linear(4, 4)),
        nn.ReLU(),
        parametrizations.weight_norm(nn.Linear(4, 3)),
    ).train()
    inputs = torch.randn(2, 4)
    expected = network(inputs).detach()
    baked: Any = bake(network)
    assert [type(part).__name__ for part in baked] == ["Linear", "ReLU", "Linear"]
    assert not any(map(parametrize.is_parametrized, baked.modules()))
    assert_near(baked(inputs), expected)
    assert not baked.training
    assert network.training
    assert parametrize.is_parametrized(network[0])
    assert_near(network(inputs), expected)
    assert sorted(baked.state_dict()) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    assert lipschitz_bound(baked[0]) < 1 + 1e-6


def test_shapes_and_buffers_may_change() -> None:
    layer = nn.Linear(3, 2, bias=False)
    parametrize.register_parametrization(layer, "weight", Widen(), unsafe=True)
    layer.register_buffer("extra", torch.ones(2))
    parametrize.register_parametrization(layer, "extra", Widen(), unsafe=True)
    baked = bake(layer)
    assert isinstance(baked.weight, nn.Parameter)
    assert baked.weight.shape == (4, 3)
    assert dict(baked.named_buffers())["extra"].shape == (4,)
    assert baked(torch.ones(1, 3)).shape == (1, 4)


def test_plain_networks_are_copied() -> None:
    layer = nn.Linear(2, 2)
    baked = bake(layer)
    assert baked is not layer
    assert torch.equal(baked(torch.ones(1, 2)), copy.deepcopy(layer)(torch.ones(1, 2)))
