"""Properties of every row of the table."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from latentsmooth.lipschitz import lipschitz_bound
from latentsmooth.orthogonal.cached import BuiltWeight
from tests.oracles import singular_values
from tests.orthogonal.layers import LAYERS, Row

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
    torch.manual_seed(0)
    check_singular_values(row.make(), row)


@layers_with_weights
def test_stays_orthogonal_after_optimiser_steps(row: Row) -> None:
    torch.manual_seed(1)
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
    torch.manual_seed(2)
    layer = row.make().eval()
    bound = lipschitz_bound(layer)
    assert 1 <= bound <= 1 + 2e-6
    in_float64 = FrozenCopy(layer)
    largest = float(singular_values(in_float64, row.shape).max())
    assert largest <= bound + 1e-12


class FrozenCopy(nn.Module):
    """The layer run in float64 with the very weight that float32 uses."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = copy.deepcopy(layer).double().eval().requires_grad_(False)
        if isinstance(layer, BuiltWeight) and isinstance(self.layer, BuiltWeight):
            with torch.no_grad():
                weight = layer.weight.double()
            sources = [*self.layer.weight_parameters(), weight]
            held = [(source, source._version) for source in sources]
            self.layer._kept = (held, weight)

    def forward(self, inputs: Tensor) -> Tensor:
        result: Tensor = self.layer(inputs)
        return result


@layers_with_weights
def test_state_dict_round_trip_into_a_used_layer(row: Row) -> None:
    torch.manual_seed(3)
    source, target = row.make().eval(), row.make().eval()
    inputs = torch.randn(2, *row.shape)
    with torch.no_grad():
        before = target(inputs)
        target.load_state_dict(source.state_dict())
        assert torch.equal(target(inputs), source(inputs))
        assert not torch.equal(target(inputs), before)


@layers_with_weights
def test_eval_right_after_a_step_uses_the_last_weights(row: Row) -> None:
    torch.manual_seed(4)
    layer = row.make()
    inputs = torch.randn(2, *row.shape)
    with torch.no_grad():
        layer.eval()(inputs)
    take_steps(layer, row.shape, steps=1)
    fresh = row.make()
    fresh.load_state_dict(layer.state_dict())
    with torch.no_grad():
        assert torch.equal(layer.eval()(inputs), fresh.eval()(inputs))


@layers_with_weights
def test_inference_mode_then_training_and_gradients_in_eval(row: Row) -> None:
    torch.manual_seed(5)
    layer = row.make().eval()
    with torch.inference_mode():
        layer(torch.randn(2, *row.shape))
    inputs = torch.randn(2, *row.shape, requires_grad=True)
    for _ in range(2):
        layer(inputs).sum().backward()
    assert inputs.grad is not None
    layer.requires_grad_(False)
    layer(inputs).sum().backward()
    layer.requires_grad_(True)
    take_steps(layer, row.shape, steps=1)


@layers_with_weights
def test_bfloat16_autocast_leaves_the_weight_exact(row: Row) -> None:
    torch.manual_seed(6)
    layer = row.make().eval()
    assert isinstance(layer, BuiltWeight)
    with torch.no_grad():
        expected = layer.weight.clone()
        with torch.autocast("cpu", torch.bfloat16):
            layer(torch.randn(2, *row.shape))
            assert torch.equal(layer.train().weight, expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(layer.weight, expected, atol=1e-5)
