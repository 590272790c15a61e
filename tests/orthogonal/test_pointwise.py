"""Properties of every layer without a built weight: the pointwise ones and the residual blocks."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from latentsmooth.orthogonal.cached import BuiltWeight
from tests.closeness import assert_near
from tests.oracles import dense_jacobian, singular_values
from tests.orthogonal.layers import LAYERS, POINTWISE, RESIDUALS, Row
from tests.seeds import shifted

PLAIN = [row for row in LAYERS if not isinstance(row.make(), BuiltWeight)]
ROWS = [*PLAIN, *POINTWISE, *RESIDUALS]

every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
learned = pytest.mark.parametrize("row", [*POINTWISE, *RESIDUALS[:1]], ids=lambda row: row.name)
images = pytest.mark.parametrize(
    "row", [row for row in ROWS if len(row.shape) == 3], ids=lambda row: row.name
)


def drawn(row: Row, *, seed: int = 0) -> nn.Module:
    torch.manual_seed(shifted(seed))
    return row.make().double().eval()


def points(row: Row, count: int = 3) -> Tensor:
    return torch.randn(count, *row.shape, dtype=torch.float64)


@every_row
def test_dense_jacobian_has_unit_singular_values(row: Row) -> None:
    values = singular_values(drawn(row), row.shape)
    assert float(values.max()) <= 1 + 1e-12
    if row.kind != "contraction":
        assert float(values.min()) >= 1 - 1e-12


@every_row
def test_never_lengthens_any_difference(row: Row) -> None:
    layer = drawn(row)
    start = points(row, 64)
    for size in (1e-3, 1.0, 1e3):
        end = start + size * torch.randn_like(start)
        with torch.no_grad():
            apart = (layer(end) - layer(start)).flatten(1).norm(dim=1)
        assert bool((apart <= (end - start).flatten(1).norm(dim=1) * (1 + 1e-10)).all())


@every_row
@pytest.mark.parametrize("value", [0.0, 0.7])
def test_gradients_at_ties_and_zeros_are_finite_and_never_longer(row: Row, value: float) -> None:
    jacobian = dense_jacobian(drawn(row), torch.full((1, *row.shape), value, dtype=torch.float64))
    assert bool(jacobian.isfinite().all())
    assert float(torch.linalg.matrix_norm(jacobian, 2)) <= 1 + 1e-12


@every_row
def test_gradients_match_finite_differences(row: Row) -> None:
    layer = drawn(row)
    assert torch.autograd.gradcheck(layer, points(row, 1).requires_grad_())


@every_row
def test_compiles_and_exports_without_a_break(row: Row) -> None:
    torch.manual_seed(shifted(0))
    layer = row.make().eval().requires_grad_(False)
    inputs = torch.randn(2, *row.shape)
    expected = layer(inputs)
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True, dynamic=False, backend="eager")
    assert torch.equal(compiled(inputs), expected)
    tracked = inputs.clone().requires_grad_()
    assert torch.equal(compiled(tracked), layer(tracked))
    if row.name != "wavelet-twice":  # what takes long with one level takes ten times so with two
        torch.compiler.reset()
        compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="eager")
        assert torch.equal(compiled(tracked), layer(tracked))
    exported = torch.export.export(layer, (inputs,)).module()
    assert torch.equal(exported(inputs), expected)


@every_row
def test_function_transforms_agree_with_the_batch(row: Row) -> None:
    layer = drawn(row).requires_grad_(False)
    batch = points(row)

    def alone(point: Tensor) -> Tensor:
        result: Tensor = layer(point.unsqueeze(0)).squeeze(0)
        return result

    assert torch.allclose(torch.func.vmap(alone)(batch), layer(batch), rtol=1e-12)
    expected = dense_jacobian(alone, batch[0])
    for jacobian in (torch.func.jacrev(alone)(batch[0]), torch.func.jacfwd(alone)(batch[0])):
        assert torch.allclose(jacobian.reshape(expected.shape), expected, rtol=1e-12)
    each = torch.func.vmap(torch.func.jacrev(alone))(batch)
    assert torch.allclose(each[0].reshape(expected.shape), expected, rtol=1e-12)


@every_row
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_stays_near(row: Row, dtype: torch.dtype) -> None:
    layer = drawn(row)
    inputs = points(row).to(dtype)
    low = copy.deepcopy(layer).to(dtype)
    with torch.no_grad():
        result = low(inputs)
        expected = layer(inputs.double())
    assert result.dtype == dtype
    # Rounded: the parameters, and an output in each of at most three layers.
    assert_near(result, expected, steps=16)
    low(inputs.requires_grad_()).sum().backward()
    assert inputs.grad is not None
    assert inputs.grad.dtype == dtype


@images
@pytest.mark.parametrize("tracking", [False, True])
def test_keeps_channels_last(row: Row, tracking: bool) -> None:
    layer = drawn(row)
    # Sides of one pixel would count as any layout.
    plain = points(row)
    inputs = plain.contiguous(memory_format=torch.channels_last).requires_grad_(tracking)
    result = layer(inputs)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(result, layer(plain), rtol=1e-12)


@every_row
def test_leaves_its_input_alone(row: Row) -> None:
    layer = drawn(row)
    inputs = points(row)
    before = inputs.clone()
    layer(inputs)
    assert torch.equal(inputs, before)


@learned
def test_stays_nonexpansive_after_optimiser_steps(row: Row) -> None:
    torch.manual_seed(shifted(1))
    layer = row.make()
    before = [parameter.detach().clone() for parameter in layer.parameters()]
    optimizer = torch.optim.SGD(layer.parameters(), lr=5.0)
    for _ in range(5):
        optimizer.zero_grad()
        inputs = torch.randn(4, *row.shape)
        (layer(inputs) - 3 * inputs).square().mean().backward()
        optimizer.step()
    pairs = zip(before, layer.parameters(), strict=True)
    assert not any(torch.equal(old, new) for old, new in pairs if new.numel())
    values = singular_values(layer.double().eval(), row.shape)
    assert float(values.max()) <= 1 + 1e-12


@learned
def test_state_dict_round_trip(row: Row) -> None:
    torch.manual_seed(shifted(2))
    source, target = row.make().eval(), row.make().eval()
    inputs = torch.randn(2, *row.shape)
    with torch.no_grad():
        assert not torch.equal(target(inputs), source(inputs))
        target.load_state_dict(source.state_dict())
        assert torch.equal(target(inputs), source(inputs))
