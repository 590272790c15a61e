"""What each torch operation rounds, beside the table of how it passes Lipschitz constants on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from latentsmooth.lipschitz import functional, operations, rearranging
from latentsmooth.lipschitz.operations import Call, Operation
from latentsmooth.lipschitz.roundoff.arithmetic import Arithmetic
from latentsmooth.lipschitz.roundoff.rules.curved import (
    exponential_rounding,
    relative_rounding,
    times_bounded_rounding,
)
from latentsmooth.lipschitz.roundoff.rules.dense import convolution_rounding, dense_rounding
from latentsmooth.lipschitz.roundoff.rules.windows import mean_rounding
from latentsmooth.lipschitz.roundoff.table import ROOM, Step
from latentsmooth.lipschitz.rules.rounding import add_up, multiply_up, root_up
from latentsmooth.lipschitz.tracked import plain

__all__ = ["Performed", "rounding_of", "rounding_rules"]

CURVED = frozenset(
    {"arctan", "atan", "cos", "logsigmoid", "sin", "softsign", "tanh"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Performed:
    """One operation that was run.

    Attributes:
        call: name and result.
        output_norm: upper bound of the l2 norm of any result, but for the rounding added here.
        norm_of: the same of an argument, as computed; absolute value of a number.
        arithmetic: of the dtype.
    """

    call: Call
    output_norm: float
    norm_of: Callable[[Any], float]
    arithmetic: Arithmetic

    @property
    def has_room(self) -> bool:
        """Whether values are so far from the largest number that sums of them stay in range."""
        return self.output_norm < self.arithmetic.largest * ROOM

    def step(self, value: Tensor) -> Step:
        """The operation as a module that is given one of the arguments."""
        return Step(
            inputs=plain(value),
            outputs=plain(self.call.result),
            norm=self.norm_of(value),
            output_norm=self.output_norm,
            gain=math.inf,
            arithmetic=self.arithmetic,
        )

    def varying(self, *values: Any) -> Tensor:
        """The first argument that depends on the input."""
        found: Tensor = next(value for value in values if self.call.varies(value))
        return found

    def stretched(self, value: Any) -> float:
        """Upper bound of the norm of an argument after broadcasting to the result's shape."""
        entries = value.numel() if isinstance(value, Tensor) else 1
        copies = self.call.result.numel() // max(1, entries)
        return multiply_up(self.norm_of(value), root_up(float(copies)))

    def holds(self, *constants: Any) -> bool:
        """Whether the result's dtype holds constants exactly."""
        return all(self.call.varies(each) or self._holds(each) for each in constants)

    def _holds(self, constant: Any) -> bool:
        dtype = self.call.result.dtype
        if isinstance(constant, Tensor):
            return torch.equal(constant.to(dtype).to(constant.dtype), constant)
        return bool(float(torch.tensor(constant, dtype=dtype)) == constant)

    def is_ordinary(self, *constants: Any) -> bool:
        """Whether constants are so large, and so small, that they round like other numbers."""
        given = [each for each in constants if not self.call.varies(each)]
        return self.arithmetic.is_ordinary(*given)


Rule = Callable[..., float]
_RULES: dict[Callable[..., float], Rule] = {}


def rounding_of(
    operation: Operation, performed: Performed, args: Sequence[Any], kwargs: dict[str, Any]
) -> float:
    """Upper bound of the l2 error that an operation adds by its own rounding."""
    rule = _RULES.get(operation.rule)
    if rule is None:
        raise performed.call.refusal("has no rule for its rounding")
    return rule(performed, *args, **operation.named(kwargs))


def rounding_rules() -> frozenset[Callable[..., float]]:
    """The operations whose rounding is known, by their Lipschitz rules."""
    return frozenset(_RULES)


def _rounds(*rules: Callable[..., float]) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(rules, rule))
        return rule

    return register


@_rounds(
    functional.max_pool2d,
    operations.dropout,
    operations.extreme_of_two,
    rearranging.convert,
    rearranging.copies,
    rearranging.extreme,
    rearranging.flip,
    rearranging.index,
    rearranging.interpolate,
    rearranging.join,
    rearranging.keep,
    rearranging.move_axes,
    rearranging.part,
    rearranging.permute,
    rearranging.rearrange,
    rearranging.roll,
    rearranging.squeeze,
    rearranging.transpose,
    rearranging.unsqueeze,
)
def _exact(done: Performed, *args: Any, **kwargs: Any) -> float:
    return 0.0


@_rounds(operations.sum_of_two)
def _sum(done: Performed, tensor: Any, other: Any, *, alpha: Any = 1) -> float:
    step = done.step(done.varying(tensor, other))
    error = step.of_output(1)
    if alpha != 1:
        terms = add_up(done.stretched(tensor), done.stretched(other))
        size = max(1.0, done.norm_of(alpha))
        error = add_up(error, multiply_up(step.arithmetic.gamma(3), size, terms))
    for constant in (tensor, other):
        if not done.holds(constant):
            rounded = multiply_up(2 * step.unit, done.stretched(constant))
            error = add_up(error, rounded, step.underflow(1))
    return error


@_rounds(operations.product)
def _product(done: Performed, tensor: Any, other: Any) -> float:
    step = done.step(done.varying(tensor, other))
    if not done.is_ordinary(tensor, other):
        return math.inf
    return step.of_output(1 if done.holds(tensor, other) else 2)


@_rounds(operations.quotient)
def _quotient(done: Performed, tensor: Any, other: Any, **kwargs: Any) -> float:
    """Perhaps a product with the rounded inverse."""
    return done.step(tensor).of_output(3) if done.is_ordinary(other) else math.inf


@_rounds(operations.slope_one)
def _slope_one(done: Performed, tensor: Tensor, inplace: bool = False) -> float:
    # In-place operations have the same name with a line at the end.
    return relative_rounding(done.step(tensor)) if done.call.name.rstrip("_") in CURVED else 0.0


@_rounds(operations.sigmoid, operations.silu)
def _logistic(done: Performed, tensor: Tensor, inplace: bool = False) -> float:
    return relative_rounding(done.step(tensor))


@_rounds(operations.gelu)
def _gelu(done: Performed, tensor: Tensor, **kwargs: Any) -> float:
    return times_bounded_rounding(done.step(tensor))


@_rounds(operations.hard_tanh, operations.clamp, rearranging.pad)
def _limits(done: Performed, tensor: Tensor, *settings: Any, **named: Any) -> float:
    """Exact, but for numbers that the dtype does not hold."""
    given = (*settings, *named.values())
    numbers = [each for each in given if isinstance(each, int | float)]
    if done.holds(*numbers):
        return 0.0
    largest = max(abs(number) for number in numbers)
    step = done.step(tensor)
    return add_up(step.each(multiply_up(step.unit, largest)), step.underflow(1))


@_rounds(operations.leaky_relu)
def _leaky(
    done: Performed, tensor: Tensor, negative_slope: float = 0.01, inplace: bool = False
) -> float:
    return done.step(tensor).of_output(2) if done.is_ordinary(negative_slope) else math.inf


@_rounds(operations.elu)
def _elu(done: Performed, tensor: Tensor, alpha: float = 1.0, inplace: bool = False) -> float:
    if not done.is_ordinary(alpha):
        return math.inf
    return exponential_rounding(done.step(tensor), abs(alpha))


@_rounds(operations.softmax)
def _softmax(done: Performed, tensor: Tensor, dim: int, *args: Any, **kwargs: Any) -> float:
    """Exponentials of differences from the largest entry, whose rounding counts ``u |d| exp(d)``.

    That is below ``u / e``, in a sum of at least one.
    """
    step = done.step(tensor)
    entries = tensor.shape[dim]
    return add_up(step.of_output(2 * entries + 24), step.each(2 * step.unit))


@_rounds(functional.linear)
def _linear(done: Performed, tensor: Tensor, weight: Tensor, bias: Tensor | None = None) -> float:
    return dense_rounding(done.step(tensor), weight, bias)


@_rounds(functional.matmul)
def _matmul(done: Performed, tensor: Tensor, other: Tensor) -> float:
    return dense_rounding(done.step(tensor), other.mT, None)


@_rounds(functional.convolution)
def _convolution(
    done: Performed,
    tensor: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    transposed: bool = False,
) -> float:
    axes = weight.ndim - 2
    return convolution_rounding(
        done.step(tensor),
        weight,
        bias,
        _per_axis(stride, axes),
        _per_axis(dilation, axes),
        groups,
        transposed=transposed,
    )


@_rounds(functional.transposed_convolution)
def _transposed_convolution(
    done: Performed,
    tensor: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> float:
    return _convolution(
        done, tensor, weight, bias, stride, padding, dilation, groups, transposed=True
    )


@_rounds(functional.avg_pool2d)
def _average(done: Performed, tensor: Tensor, kernel_size: Any, *args: Any, **kwargs: Any) -> float:
    return mean_rounding(done.step(tensor), math.prod(_per_axis(kernel_size, 2)))


@_rounds(functional.adaptive_average_pool)
def _adaptive_average(done: Performed, tensor: Tensor, output_size: Any) -> float:
    return mean_rounding(done.step(tensor), _entries(done, tensor))


@_rounds(rearranging.total)
def _total(done: Performed, tensor: Tensor, *args: Any, **kwargs: Any) -> float:
    step, entries = done.step(tensor), _entries(done, tensor)
    if done.call.name != "sum":
        return mean_rounding(step, entries)
    return step.of_input(max(0, entries - 1), factor=root_up(float(entries)))


def _entries(done: Performed, tensor: Tensor) -> int:
    """Entries of an argument for each of the result."""
    return int(tensor.numel() // max(1, done.call.result.numel()))


def _per_axis(value: Any, axes: int) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * axes
    return tuple(value) * (axes if len(value) == 1 else 1)
