"""What rounding does to a module, measured against the same weights in a wider format."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor, nn

from latentsmooth.lipschitz import RoundingBound, rounding_bound
from latentsmooth.orthogonal.freezing import freeze
from tests.seeds import shifted


def images(
    shape: Sequence[int], *, low: float = 0.0, high: float = 1.0, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Random images, corners of the box, and constant ones."""
    generator = torch.Generator().manual_seed(shifted(0))
    inside = torch.rand(16, *shape, generator=generator, dtype=dtype)
    corners = torch.randint(0, 2, (16, *shape), generator=generator).to(dtype)
    flat = torch.tensor([0.0, 1.0, 0.5, 1 / 3], dtype=dtype).reshape(4, *[1] * len(shape))
    unit = torch.cat([inside, corners, flat.expand(4, *shape)])
    return (unit * (high - low) + low).clamp(low, high)


@torch.no_grad()
def measured(module: nn.Module, inputs: Tensor) -> float:
    """The largest distance between a float32 module and the same with wider arithmetic."""
    narrow = freeze(module.float())
    wide = copy.deepcopy(narrow).double()
    moved = narrow(inputs.clone()).double() - wide(inputs.double())
    return float(moved.flatten(1).norm(dim=1).max())


def check(
    module: nn.Module, shape: Sequence[int], *, low: float = 0.0, high: float = 1.0
) -> tuple[float, RoundingBound]:
    """Raise unless the bound holds for many images; returns what was measured, and the bound."""
    frozen = freeze(module.float())
    bound = rounding_bound(frozen, input_shape=shape, dtype=torch.float32, low=low, high=high)
    inputs = images(shape, low=low, high=high)
    found = measured(frozen, inputs)
    with torch.no_grad():
        largest = float(frozen(inputs.clone()).double().flatten(1).norm(dim=1).max())
    assert found <= bound.error
    assert largest <= bound.norm
    return found, bound


def distance(computed: Tensor, exact: Sequence[Fraction]) -> float:
    """The l2 distance from exact numbers, rounded to nearest only at the end."""
    entries = [Fraction(float(value)) for value in computed.detach().flatten()]
    squares = sum((a - b) ** 2 for a, b in zip(entries, exact, strict=True))
    return math.sqrt(squares)


def exact_dense(weight: Tensor, bias: Tensor | None, inputs: Tensor) -> list[Fraction]:
    """``W x + b`` in rational numbers, for one vector."""
    columns = [Fraction(float(value)) for value in inputs.flatten()]
    result = []
    offsets = [0.0] * len(weight) if bias is None else bias.tolist()
    for weights, offset in zip(weight.tolist(), offsets, strict=True):
        total = sum((Fraction(w) * x for w, x in zip(weights, columns, strict=True)), Fraction(0))
        result.append(total + Fraction(offset))
    return result
