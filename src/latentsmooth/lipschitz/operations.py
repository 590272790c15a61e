"""How each torch operation passes Lipschitz constants on; what stands in no table is refused."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from latentsmooth.lipschitz.rules.rounding import (
    FLOAT64_UNIT,
    add_up,
    divide_up,
    multiply_up,
    root_of_squares_up,
    root_up,
)

__all__ = ["Call", "Operation", "Refusal", "find_operation", "operation", "operation_rules"]


class Refusal(Exception):
    """An operation that cannot be bounded.

    No `TypeError`, as `UnverifiedModule` is: Python takes a type error in ``x += y`` as a hint to
    try ``x = x + y`` instead.
    """


@dataclass(frozen=True, slots=True)
class Call:
    """One operation that was run.

    Attributes:
        name: of the operation.
        result: what it gave: tensors without tracking.
        batch: size of the first axis, along which the samples lie.
        gain_of: the gain of an argument; 0 for constants.
        refusal: makes the error for a reason.
    """

    name: str
    result: Any
    batch: int
    gain_of: Callable[[Any], float]
    refusal: Callable[[str], Refusal]

    def varies(self, value: Any) -> bool:
        """Whether a value depends on the module's input."""
        return bool(self.gain_of(value) > 0) or getattr(value, "_recording", None) is not None

    def stretched(self, value: Any) -> float:
        """The gain of an argument after broadcasting to the result's shape.

        Broadcasting repeats every entry equally often; ``r`` copies are ``sqrt(r)`` times as long.
        """
        gain = self.gain_of(value)
        if gain == 0.0 or not isinstance(value, Tensor):
            return gain
        copies = self.result.numel() // max(1, value.numel())
        return multiply_up(gain, root_up(float(copies)))

    def check_axes(self, value: Tensor, axes: int | Sequence[int]) -> tuple[int, ...]:
        """Axes counted from the front; the samples' own is refused."""
        listed = (axes,) if isinstance(axes, int) else tuple(axes)
        counted = tuple(axis % value.ndim for axis in listed)
        if 0 in counted:
            raise self.refusal("works along the first axis, along which the samples lie")
        return counted


@dataclass(frozen=True, slots=True)
class Operation:
    """A rule for an operation.

    Attributes:
        rule: takes the call and the operation's own arguments; gives the result's gain.
        in_place: whether it overwrites its first argument.
    """

    rule: Callable[..., float]
    in_place: bool

    @staticmethod
    def named(kwargs: dict[str, Any]) -> dict[str, Any]:
        """Named arguments as the rules name them."""
        # torch calls the first argument "input"; here that is the module's.
        return {"tensor" if name == "input" else name: given for name, given in kwargs.items()}

    def gain(self, call: Call, args: Sequence[Any], kwargs: dict[str, Any]) -> float:
        """The gain of the result."""
        named = self.named(kwargs)
        try:
            bound = inspect.signature(self.rule).bind(call, *args, **named)
        except TypeError as error:
            raise call.refusal(f"was called in a way that has no rule: {error}") from None
        if not isinstance(inplace := bound.arguments.get("inplace", False), bool):
            raise call.refusal(f"takes inplace={inplace!r}; wanted a bool")
        gain = self.rule(call, *args, **named)
        if not (math.isfinite(gain) and gain >= 0):
            raise call.refusal(f"has a gain of {gain}: are the constants finite?")
        return gain

    def overwrites(self, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
        """Whether a call writes into its first argument; called after `gain`."""
        named = self.named(kwargs)
        bound = inspect.signature(self.rule).bind(None, *args, **named)
        return self.in_place or bool(bound.arguments.get("inplace", False))


_OPERATIONS: dict[Any, Operation] = {}
# Of torch._C._nn only what F shows too: the others take other arguments in the same places.
_HOMES = (torch, F, Tensor, torch.special)
AnyRule = Callable[..., float]


def operation(*names: str) -> Callable[[AnyRule], AnyRule]:
    """Register a rule for all torch functions and tensor methods of these names.

    Where torch has one that ends in ``_`` and works in place, it has the same rule.
    """

    def register(rule: AnyRule) -> AnyRule:
        for name in names:
            in_place = f"__i{name[2:]}" if name.startswith("__") else f"{name}_"
            for home in _HOMES:
                if (found := getattr(home, name, None)) is not None:
                    _OPERATIONS[found] = Operation(rule, in_place=False)
                if (found := getattr(home, in_place, None)) is not None:
                    _OPERATIONS[found] = Operation(rule, in_place=True)
        return rule

    return register


def find_operation(func: Any, attribute: str | None) -> Operation | None:
    """The rule of a torch function, or of a tensor attribute such as ``mT``."""
    return _OPERATIONS.get(("attribute", attribute) if attribute else func)


def operation_rules() -> frozenset[AnyRule]:
    """All rules in the table."""
    return frozenset(entry.rule for entry in _OPERATIONS.values())


@operation("add", "__add__", "__radd__", "sub", "subtract", "__sub__", "rsub", "__rsub__")
def sum_of_two(call: Call, tensor: Any, other: Any, *, alpha: float = 1) -> float:
    """Gains add up."""
    total = add_up(call.stretched(tensor), call.stretched(other))
    return multiply_up(total, max(1.0, _size_of(call, alpha)))


@operation("mul", "multiply", "__mul__", "__rmul__")
def product(call: Call, tensor: Any, other: Any) -> float:
    """A constant's largest entry counts."""
    if call.varies(tensor) and call.varies(other):
        raise call.refusal(
            "multiplies two values that depend on the input; only products with constants have "
            "a constant bound"
        )
    tensor, constant = (tensor, other) if call.varies(tensor) else (other, tensor)
    return multiply_up(call.stretched(tensor), _size_of(call, constant))


@operation("div", "divide", "true_divide", "__truediv__", "__div__")
def quotient(call: Call, tensor: Any, other: Any, *, rounding_mode: str | None = None) -> float:
    """Division by a constant: its smallest entry counts."""
    if rounding_mode is not None:
        raise call.refusal("rounds, which moves in jumps")
    if call.varies(other):
        raise call.refusal("divides by a value that depends on the input")
    return divide_up(call.stretched(tensor), _size_of(call, other, smallest=True))


@operation("maximum", "minimum", "max", "min", "fmax", "fmin")
def extreme_of_two(call: Call, tensor: Any, other: Any = None) -> float:
    """Each entry moves by no more than the farther of the two."""
    if not isinstance(other, Tensor):
        raise call.refusal("is known only for two tensors; use amax or amin along an axis")
    return root_of_squares_up(call.stretched(tensor), call.stretched(other))


@operation(
    "relu",
    "relu6",
    "softsign",
    "logsigmoid",
    "tanh",
    "abs",
    "absolute",
    "__abs__",
    "neg",
    "negative",
    "__neg__",
    "positive",
    "__pos__",
    "sin",
    "cos",
    "atan",
    "arctan",
)
def slope_one(call: Call, tensor: Tensor, inplace: bool = False) -> float:
    """Slopes of at most one."""
    return call.gain_of(tensor)


@operation("hardtanh")
def hard_tanh(
    call: Call,
    tensor: Tensor,
    min_val: float = -1.0,
    max_val: float = 1.0,
    inplace: bool = False,
) -> float:
    """Slopes of at most one, wherever the limits are."""
    return call.gain_of(tensor)


@operation("clamp", "clip", "clamp_min", "clamp_max")
def clamp(call: Call, tensor: Tensor, *limits: Any, **named_limits: Any) -> float:
    """Between two numbers."""
    for limit in (*limits, *named_limits.values()):
        if not (limit is None or isinstance(limit, int | float)):
            raise call.refusal("is known only for limits that are numbers")
    return call.gain_of(tensor)


@operation("leaky_relu")
def leaky_relu(
    call: Call, tensor: Tensor, negative_slope: float = 0.01, inplace: bool = False
) -> float:
    """The steeper of two slopes."""
    return multiply_up(call.gain_of(tensor), max(1.0, abs(negative_slope)))


@operation("elu")
def elu(call: Call, tensor: Tensor, alpha: float = 1.0, inplace: bool = False) -> float:
    """Slope ``alpha`` left of zero."""
    return multiply_up(call.gain_of(tensor), max(1.0, abs(alpha)))


@operation("sigmoid")
def sigmoid(call: Call, tensor: Tensor) -> float:
    """A quarter at most."""
    return call.gain_of(tensor) * 0.25


@operation("silu")
def silu(call: Call, tensor: Tensor, inplace: bool = False) -> float:
    """1.0999 at most."""
    return multiply_up(call.gain_of(tensor), 1.1)


@operation("gelu")
def gelu(call: Call, tensor: Tensor, *, approximate: str = "none") -> float:
    """1.1290 at most, either way it is computed."""
    return multiply_up(call.gain_of(tensor), 1.13)


@operation("softmax")
def softmax(
    call: Call, tensor: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: None = None
) -> float:
    """``diag(p) - p p^T`` has rows of absolute sum ``2 p (1 - p)``."""
    if dim is None:
        raise call.refusal("has no rule without dim")
    call.check_axes(tensor, dim)
    return call.gain_of(tensor) * 0.5


@operation("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout")
def dropout(
    call: Call, tensor: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> float:
    """Nothing, unless it is active even in evaluation."""
    if training:
        raise call.refusal("is active in evaluation: pass training=self.training")
    return call.gain_of(tensor)


def _size_of(call: Call, constant: Any, *, smallest: bool = False) -> float:
    """Largest (or smallest) absolute value of a number or a constant tensor."""
    if isinstance(constant, int | float):
        return abs(float(constant))
    if not isinstance(constant, Tensor) or constant.is_complex() or not constant.numel():
        raise call.refusal(f"takes a {type(constant).__name__}; wanted numbers or real tensors")
    entries = constant.detach().to("cpu", torch.float64).abs()
    # The constant may be computed from weights, with some rounding.
    if smallest:
        return float(entries.min()) * (1 - 32 * FLOAT64_UNIT)
    return float(entries.max()) * (1 + 32 * FLOAT64_UNIT)
