"""Activations against naive implementations, and their errors."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from latentsmooth.errors import ShapeError
from latentsmooth.orthogonal import (
    Absolute,
    FullSort,
    GroupSort,
    HouseholderActivation,
    MaxMin,
)
from latentsmooth.orthogonal.activations import sorting_network
from tests.closeness import assert_near
from tests.oracles import dense_jacobian
from tests.seeds import shifted


@pytest.mark.parametrize("size", range(1, 12))
def test_networks_sort_all_zeros_and_ones_and_with_them_everything(size: int) -> None:
    network = sorting_network(size)
    assert all(0 <= i < j < size for i, j in network)
    for values in itertools.product([0, 1], repeat=size):
        entries = list(values)
        for i, j in network:
            entries[i], entries[j] = max(entries[i], entries[j]), min(entries[i], entries[j])
        assert entries == sorted(values, reverse=True)


def test_small_networks_are_the_shortest_known() -> None:
    assert [len(sorting_network(size)) for size in range(1, 9)] == [0, 1, 3, 5, 9, 12, 16, 19]


def naive_group_sort(inputs: Tensor, group_size: int) -> Tensor:
    result = inputs.clone()
    blocks = inputs.shape[1] // group_size
    for group in range(blocks):
        channels = [group + block * blocks for block in range(group_size)]
        result[:, channels] = inputs[:, channels].sort(dim=1, descending=True).values
    return result


@settings(max_examples=60, deadline=None)
@given(
    group_size=st.integers(2, 18),
    groups=st.integers(1, 4),
    sides=st.sampled_from([(), (3,), (2, 3), (2, 1, 2)]),
    levels=st.sampled_from([2, 1000]),
    tracking=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_sorts_every_group(
    group_size: int, groups: int, sides: tuple[int, ...], levels: int, tracking: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, group_size * groups, *sides)
    inputs = torch.randint(levels, shape, generator=generator).float().requires_grad_(tracking)
    result = GroupSort(group_size)(inputs)
    assert torch.equal(result, naive_group_sort(inputs.detach(), group_size))
    if tracking:
        weights = torch.randn(shape, generator=generator)
        result.backward(weights)
        assert inputs.grad is not None
        # A permutation, at ties as well: nothing is lost, shared or doubled.
        assert torch.equal(inputs.grad.flatten().sort().values, weights.flatten().sort().values)


@pytest.mark.parametrize("channels", [1, 2, 5, 8])
@pytest.mark.parametrize("tracking", [False, True])
def test_groups_of_two_are_maxmin(channels: int, tracking: bool) -> None:
    inputs = torch.randn(3, channels, 4, requires_grad=tracking)
    half = channels // 2
    first, second, rest = torch.split(inputs, [half, half, channels % 2], dim=1)
    expected = torch.cat([torch.maximum(first, second), torch.minimum(first, second), rest], dim=1)
    assert torch.equal(MaxMin()(inputs), expected)
    assert torch.equal(GroupSort(2)(inputs), expected)


def test_one_group_is_the_full_sort() -> None:
    inputs = torch.randn(3, 7, 2)
    assert torch.equal(FullSort()(inputs), GroupSort(7)(inputs))
    assert torch.equal(FullSort()(inputs), inputs.sort(dim=1, descending=True).values)


@pytest.mark.parametrize(
    "layer", [MaxMin(), GroupSort(4), GroupSort(10), GroupSort(20), FullSort()]
)
def test_ties_pass_the_whole_gradient(layer: nn.Module) -> None:
    jacobian = dense_jacobian(layer, torch.ones(1, 20, dtype=torch.float64))
    assert torch.equal(jacobian @ jacobian.mT, torch.eye(20, dtype=torch.float64))


@pytest.mark.parametrize("layer", [MaxMin(), GroupSort(3), GroupSort(4)])
def test_compiled_ties_pass_the_whole_gradient_too(layer: nn.Module) -> None:
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    inputs = torch.randint(2, (40, 12)).double()
    for point in inputs:
        jacobian = dense_jacobian(compiled, point[None])
        assert torch.equal(jacobian @ jacobian.mT, torch.eye(12, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_values_are_the_same_with_and_without_gradients(dtype: torch.dtype) -> None:
    inputs = (torch.randn(64, 24) * 10 ** torch.randn(64, 24)).to(dtype)
    for layer in (MaxMin(), GroupSort(3), GroupSort(8)):
        assert torch.equal(layer(inputs), layer(inputs.clone().requires_grad_()))


def naive_householder(pair: Tensor, angle: float) -> Tensor:
    if float(pair[0]) * math.sin(angle / 2) - float(pair[1]) * math.cos(angle / 2) > 0:
        return pair
    cosine, sine = math.cos(angle), math.sin(angle)
    return torch.tensor([[cosine, sine], [sine, -cosine]], dtype=pair.dtype) @ pair


def turned(angles: list[float], *, odd: bool = False) -> HouseholderActivation:
    layer = HouseholderActivation(2 * len(angles) + odd).double()
    with torch.no_grad():
        layer.angle.copy_(torch.tensor(angles, dtype=torch.float64))
    return layer


@pytest.mark.parametrize("odd", [False, True])
def test_householder_reflects_beyond_the_line(odd: bool) -> None:
    torch.manual_seed(shifted(0))
    angles = [0.0, 1.0, -2.5, math.pi, 40.0]
    inputs = torch.randn(50, 10 + odd, dtype=torch.float64)
    expected = inputs.clone()
    for sample, (i, angle) in itertools.product(range(50), enumerate(angles)):
        expected[sample, [i, i + 5]] = naive_householder(inputs[sample, [i, i + 5]], angle)
    assert_near(turned(angles, odd=odd)(inputs), expected)


def test_householder_is_continuous_on_its_line() -> None:
    angles = [0.3, 1.9, -1.1]
    layer = turned(angles)
    half = torch.tensor(angles, dtype=torch.float64) / 2
    on_line = torch.cat([half.cos(), half.sin()]).unsqueeze(0)
    across = torch.cat([half.sin(), -half.cos()]).unsqueeze(0)
    assert_near(layer(on_line), on_line)
    for side in (-1e-9, 1e-9):
        assert torch.allclose(layer(on_line + side * across), on_line, atol=2e-9)


def test_householder_starts_as_maxmin() -> None:
    inputs = torch.randn(4, 7, 3, 2)
    assert_near(HouseholderActivation(7)(inputs), MaxMin()(inputs))


def test_householder_angles_have_the_right_gradient() -> None:
    inputs = torch.randn(5, 6, dtype=torch.float64)

    def at(angle: Tensor) -> Tensor:
        layer = HouseholderActivation(6).double()
        result: Tensor = torch.func.functional_call(layer, {"angle": angle}, (inputs,))
        return result

    angle = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(at, (angle,))


def test_absolute_passes_no_gradient_at_zero() -> None:
    jacobian = dense_jacobian(Absolute(), torch.tensor([[-2.0, 0.0, 3.0]]))
    assert torch.equal(jacobian, torch.diag(torch.tensor([-1.0, 0.0, 1.0])))


@pytest.mark.parametrize("layer", [MaxMin(), GroupSort(2), FullSort(), HouseholderActivation(3)])
def test_inputs_without_channels_are_refused(layer: nn.Module) -> None:
    with pytest.raises(ShapeError, match=r"got \(3,\)"):
        layer(torch.zeros(3))


def test_wrong_sizes_are_named() -> None:
    with pytest.raises(ShapeError, match=r"group size 3 does not divide the 8 channels .* \(1, 8"):
        GroupSort(3)(torch.zeros(1, 8, 2, 2))
    with pytest.raises(ShapeError, match="group size of at least 2, got 1"):
        GroupSort(1)
    with pytest.raises(ShapeError, match="at least one pair of channels, got 1"):
        HouseholderActivation(1)
    with pytest.raises(ShapeError, match=r"expected \(batch, 4, ...\), got \(1, 6\)"):
        HouseholderActivation(4)(torch.zeros(1, 6))


def test_prints_its_settings() -> None:
    assert repr(GroupSort(4)) == "GroupSort(group_size=4)"
    assert repr(HouseholderActivation(6)) == "HouseholderActivation(6)"
