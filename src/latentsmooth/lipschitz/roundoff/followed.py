"""Rounding of modules without a rule, by following what their ``forward`` does to its input."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from latentsmooth.lipschitz.operations import Call, Operation
from latentsmooth.lipschitz.roundoff.arithmetic import Arithmetic, length
from latentsmooth.lipschitz.roundoff.performed import Performed, rounding_of
from latentsmooth.lipschitz.roundoff.table import Outcome
from latentsmooth.lipschitz.rules.rounding import add_up, multiply_up
from latentsmooth.lipschitz.traced import followed
from latentsmooth.lipschitz.tracked import Recording, TrackedTensor, plain

__all__ = ["FollowChild", "followed_rounding"]

FollowChild = Callable[[str, Tensor, float], Outcome]
"""Gives what a child makes of a set of inputs: by its name, one of them, and their spread."""


def followed_rounding(
    module: nn.Module,
    inputs: Tensor,
    path: str,
    *,
    spread: float,
    arithmetic: Arithmetic,
    follow_child: FollowChild,
) -> tuple[Tensor, float]:
    """What a module computes of one input, and the error over a whole set of them.

    The rules that carry Lipschitz constants from operation to operation carry errors as well,
    because both are homogeneous; every operation adds the rounding of its own.

    Args:
        module: a private copy in evaluation mode, whose operations all have rules.
        inputs: in the middle of the set.
        path: the module's place in the network.
        spread: upper bound of the l2 distance of any input of the set from the one in the middle.
        arithmetic: of the dtype.
        follow_child: for the children, which are single steps.

    Raises:
        UnverifiedModule: as `latentsmooth.lipschitz.traced.followed`.
    """
    rounding = _Followed(spread, arithmetic)

    def pass_on(child: str, given: Tensor, gain: float, error: float) -> tuple[float, float]:
        made = follow_child(child, given, rounding.spread_of(gain, error))
        carried = add_up(multiply_up(made.gain, error), made.error)
        return multiply_up(made.gain, gain), carried

    recording = Recording(len(inputs), rounding)
    result = followed(module, inputs.clone(), path, recording, pass_on)
    return plain(result), result._error


@dataclass(frozen=True)
class _Followed:
    spread: float
    arithmetic: Arithmetic

    def length(self, value: Tensor) -> float:
        return length(value)

    def spread_of(self, gain: float, error: float) -> float:
        """How far computed values lie from each other: twice the error, of either."""
        return add_up(multiply_up(gain, self.spread), multiply_up(2.0, error))

    def error(
        self,
        operation: Operation,
        call: Call,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        gain: float,
    ) -> float:
        by_error = dataclasses.replace(call, gain_of=_error_of)
        carried = operation.gain(by_error, args, kwargs)
        single = isinstance(call.result, Tensor)
        middle = length(plain(call.result)) if single else 0.0
        performed = Performed(
            call=call,
            output_norm=add_up(middle, self.spread_of(gain, carried)),
            norm_of=self._norm_of,
            arithmetic=self.arithmetic,
        )
        if not performed.has_room:
            return math.inf
        return add_up(carried, rounding_of(operation, performed, args, kwargs))

    def _norm_of(self, value: Any) -> float:
        if isinstance(value, TrackedTensor):
            return add_up(value._length, self.spread_of(value._gain, value._error))
        return length(value) if isinstance(value, Tensor) else abs(float(value))


def _error_of(value: Any) -> float:
    return value._error if isinstance(value, TrackedTensor) else 0.0
