"""One table from module type to the rule that bounds what its own arithmetic adds."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn
from torch.nn.utils import parametrize

from latentsmooth.lipschitz.registry import inherits
from latentsmooth.lipschitz.roundoff.arithmetic import Arithmetic
from latentsmooth.lipschitz.rules.rounding import add_up, divide_up, multiply_up, root_up

__all__ = [
    "ROOM",
    "Outcome",
    "Part",
    "RoundingEntry",
    "Step",
    "composite_rounding_rule",
    "find_rounding",
    "register_rounding_rule",
    "rounded_types",
    "stated_rounding_rule",
]

BUILT_IN = "latentsmooth.lipschitz.roundoff."
INTEROP = {
    "deel": "latentsmooth.lipschitz.roundoff.interop.torchlip",
    "orthogonium": "latentsmooth.lipschitz.roundoff.interop.orthogonium",
}

ROOM = 2.0**-32
"""Part of the largest number that norms stay below."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a part of a network makes of a set of inputs.

    Attributes:
        outputs: computed for the inputs in the middle of the set.
        gain: upper bound of the part's Lipschitz constant.
        error: upper bound of how far the computed result lies from the exact one, in l2, for one
            and the same input from the set.
    """

    outputs: Tensor
    gain: float
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a rounding rule is told about one call of its module.

    Attributes:
        inputs: ``(1, ...)``, of the shape that the module is given.
        outputs: ``(1, ...)``, what the module computes for one input of the set.
        norm: upper bound of the l2 norm of any input, as computed.
        output_norm: upper bound of the l2 norm of any result, but for the module's own rounding.
        gain: upper bound of the module's Lipschitz constant.
        arithmetic: of the dtype that everything is computed in.
    """

    inputs: Tensor
    outputs: Tensor
    norm: float
    output_norm: float
    gain: float
    arithmetic: Arithmetic

    @property
    def unit(self) -> float:
        """The unit roundoff."""
        return self.arithmetic.unit

    @property
    def has_room(self) -> bool:
        """Whether values are so far from the largest number that sums of them stay in range."""
        largest = self.arithmetic.largest * ROOM
        return self.norm < largest and self.output_norm < largest

    def of_input(self, roundings: float, *, factor: float = 1.0) -> float:
        """Error of results with so many roundings relative to ``factor`` times the input."""
        total = multiply_up(self.arithmetic.gamma(roundings), factor, self.norm)
        return add_up(total, self.underflow(2 * roundings))

    def of_output(self, roundings: float) -> float:
        """Error of results each entry of which carries so many relative roundings."""
        relative = self.arithmetic.gamma(roundings)
        if not relative < 0.5:
            return math.inf
        # The exact result in the middle is as much longer than the computed one.
        middle = divide_up(relative, math.nextafter(1 - relative, 0)) if relative else 0.0
        return add_up(multiply_up(middle, self.output_norm), self.underflow(2 * roundings))

    def of_both(self, units: float) -> float:
        """Error of so many units of the input times the Lipschitz bound, and of the result."""
        sizes = add_up(multiply_up(self.gain, self.norm), self.output_norm)
        return multiply_up(units, self.unit, sizes)

    def each(self, amount: float) -> float:
        """Error of results each entry of which is off by so much at most."""
        return multiply_up(amount, root_up(float(self.outputs.numel())))

    def outcome(self, error: float) -> Outcome:
        """The module's part in its network, given its error."""
        return Outcome(self.outputs, self.gain, error)

    def underflow(self, operations: float) -> float:
        """Error of so many operations an entry whose results underflow."""
        return self.each(multiply_up(operations, self.arithmetic.smallest)) if operations else 0.0


class Part(Protocol):
    """What a composite rule is given: its module's set of inputs, and its children."""

    @property
    def inputs(self) -> Tensor:
        """In the middle of the set."""

    @property
    def spread(self) -> float:
        """Upper bound of the l2 distance of any input from the one in the middle."""

    def run(self, child: str, inputs: Tensor, *, spread: float) -> Outcome:
        """Follow a child, named as ``named_modules`` spells it, over a set of inputs."""

    def step(self) -> Step:
        """The module as a whole: this runs it."""


Rule = Callable[[Any, Step], float]
CompositeRule = Callable[[Any, Part], Outcome]
AnyRule = TypeVar("AnyRule", bound=Rule)
AnyCompositeRule = TypeVar("AnyCompositeRule", bound=CompositeRule)


@dataclass(frozen=True, slots=True)
class RoundingEntry:
    """A rule and what it rests on.

    Attributes:
        rule: takes the module and the step, and gives the error; where composite, takes the part
            and gives the outcome.
        composite: whether the error is made of the children's.
        stated: whether it is a user's statement, which nothing here derives.
    """

    rule: Rule | CompositeRule
    composite: bool = False
    stated: bool = False


_ENTRIES: dict[type[nn.Module], RoundingEntry] = {}


def register_rounding_rule(*types: type[nn.Module]) -> Callable[[AnyRule], AnyRule]:
    """Register a function that bounds the rounding of modules of exactly these types.

    The function takes the module, in evaluation mode, and a `Step`. It returns an upper bound of
    the l2 distance between what the module computes and what it would give in exact arithmetic
    with the same weights, for any one input of the step's set. Errors of earlier modules are none
    of its business: they are carried on by the module's Lipschitz bound. Rules from outside this
    package are believed, and `RoundingBound.assumed` names the modules that they were used for.

    Args:
        types: the module classes.

    Example:
        >>> class Third(nn.Module):
        ...     def forward(self, x):
        ...         return x / 3
        >>> @register_rounding_rule(Third)
        ... def third(module: Third, step: Step) -> float:
        ...     return step.of_output(1)
    """

    def register(rule: AnyRule) -> AnyRule:
        stated = not getattr(rule, "__module__", "").startswith(BUILT_IN)
        _ENTRIES.update(dict.fromkeys(types, RoundingEntry(rule, stated=stated)))
        return rule

    return register


def stated_rounding_rule(*types: type[nn.Module]) -> Callable[[AnyRule], AnyRule]:
    """Register a rule that passes a user's statement on."""

    def register(rule: AnyRule) -> AnyRule:
        _ENTRIES.update(dict.fromkeys(types, RoundingEntry(rule, stated=True)))
        return rule

    return register


def composite_rounding_rule(
    *types: type[nn.Module],
) -> Callable[[AnyCompositeRule], AnyCompositeRule]:
    """Register a rule for modules whose error is made of their children's."""

    def register(rule: AnyCompositeRule) -> AnyCompositeRule:
        _ENTRIES.update(dict.fromkeys(types, RoundingEntry(rule, composite=True)))
        return rule

    return register


def find_rounding(module: nn.Module) -> RoundingEntry | None:
    """The rule of a module's type, found as its Lipschitz rule is, or ``None``."""
    kind = parametrize.type_before_parametrizations(module)
    if kind not in _ENTRIES and (extra := INTEROP.get(kind.__module__.partition(".")[0])):
        importlib.import_module(extra)
    if kind in _ENTRIES:
        return _ENTRIES[kind]
    found = (base for base in kind.__mro__[1:] if base in _ENTRIES and inherits(kind, base))
    return next((_ENTRIES[base] for base in found), None)


def rounded_types() -> frozenset[type[nn.Module]]:
    """All module types with a rounding rule."""
    return frozenset(_ENTRIES)
