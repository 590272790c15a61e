"""Properties of every row of the table."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from latentsmooth.lipschitz import lipschitz_bound
from latentsmooth.orthogonal import freeze
from tests.oracles import singular_values
from tests.orthogonal.layers import LAYERS, Row
from tests.seeds import shifted

every_layer = pytest.mark.parametrize("row", LAYERS, ids=lambda row: row.name)
layers_with_weights = pytest.mark.parametrize(
    "row", [row for row in LAYERS if list(row.make().parameters())], ids=lambda row: row.name
)


def take_steps(layer: nn.Module, shape: tuple[int, ...], steps: int = 5) -> None:
    layer.train()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    target = torch.randn_like(layer(torch.randn(4, *shape)))
    for _ in range(steps):
        optimizer.zero_grad()
        (layer(torch.randn(4, *shape)) - target).square().mean().backward()
        optimizer.step()


def check_singular_values(layer: nn.Module, row: Row) -> None:
    values = singular_values(copy.deepcopy(layer).double().eval(), row.shape)
    assert float(values.max()) <= 1 + 1e-12
    if row.kind != "contraction":
        assert float(values.min()) >= 1 - 1e-12


@every_layer
def test_dense_jacobian_has_unit_singular_values(row: Row) -> None:
    torch.manual_seed(shifted(0))
    check_singular_values(row.make(), row)


@layers_with_weights
def test_stays_orthogonal_after_optimiser_steps(row: Row) -> None:
    torch.manual_seed(shifted(1))
    layer = row.make()
    before = [parameter.detach().clone() for parameter in layer.parameters()]
    take_steps(layer, row.shape)
    after = list(layer.parameters())
    moved = [
        not torch.equal(old, new) for old, new in zip(before, after, strict=True) if new.numel()
    ]
    assert any(moved)
    check_singular_values(layer, row)
    assert lipschitz_bound(layer.eval()) <= 1 + 2e-6


@every_layer
def test_bound_holds_for_the_float32_layer_and_is_tight(row: Row) -> None:
    torch.manual_seed(shifted(2))
    layer = row.make().eval()
    bound = lipschitz_bound(layer)
    assert 1 <= bound <= 1 + 2e-6
    # Plain layers keep the float32 weights as they are when they compute in float64.
    in_float64 = freeze(layer).double()
    largest = float(singular_values(in_float64, row.shape).max())
    assert largest <= bound + 1e-12
