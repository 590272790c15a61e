"""Bounds that a user states instead of a rule, tested whenever they are used."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError

__all__ = ["ASSUMED_UNITS", "DeclaredLipschitz", "declare_lipschitz"]

ASSUMED_UNITS = 2.0**10
"""Unit roundoffs of input and result that a module of unknown arithmetic is taken to err by."""


class DeclaredLipschitz(nn.Module):
    """A module whose Lipschitz constant is stated, not derived.

    The statement is the user's responsibility: a power iteration can refute it, which raises
    `UnverifiedModule` whenever the bound is asked for, but never prove it.

    Args:
        module: the module.
        bound: upper bound of its l2 Lipschitz constant in evaluation mode, over all inputs.
        input_shape: of one input, on which the statement is tested.
        rounding: another statement, which nothing tests: its rounding is at most so many unit
            roundoffs of ``bound`` times the norm of its input plus the norm of its result.

    Raises:
        ConfigurationError: for a bound or a rounding that is negative or not finite, or a shape
            without sizes.
    """

    def __init__(
        self,
        module: nn.Module,
        bound: float,
        *,
        input_shape: Sequence[int],
        rounding: float = ASSUMED_UNITS,
    ) -> None:
        super().__init__()
        if not (math.isfinite(bound) and bound >= 0):
            raise ConfigurationError(f"wanted a finite bound >= 0, got {bound}")
        if not (math.isfinite(rounding) and rounding >= 0):
            raise ConfigurationError(f"wanted a finite rounding >= 0, got {rounding}")
        if not input_shape or min(input_shape) < 1:
            raise ConfigurationError(f"wanted a shape of positive sizes, got {tuple(input_shape)}")
        self.module = module
        self.bound = float(bound)
        self.rounding = float(rounding)
        self.input_shape = tuple(input_shape)

    def forward(self, inputs: Tensor) -> Tensor:
        """Run the module."""
        result: Tensor = self.module(inputs)
        return result

    def extra_repr(self) -> str:
        """The statement."""
        shown = f"bound={self.bound}, input_shape={self.input_shape}"
        return shown if self.rounding == ASSUMED_UNITS else f"{shown}, rounding={self.rounding}"


def declare_lipschitz(
    module: nn.Module,
    bound: float,
    *,
    input_shape: Sequence[int],
    rounding: float = ASSUMED_UNITS,
) -> DeclaredLipschitz:
    """State an upper bound of a module's l2 Lipschitz constant.

    Args:
        module: the module; wrapped, not changed.
        bound: the statement, about evaluation mode and all inputs.
        input_shape: of one input, ``(channels, height, width)`` as a rule.
        rounding: a statement about its rounding, as for `DeclaredLipschitz`.

    Returns:
        A module that does the same and that `lipschitz_bound` accepts, after a test by power
        iteration each time.

    Raises:
        ConfigurationError: for a bound or a rounding that is negative or not finite.

    Example:
        >>> from latentsmooth.lipschitz import lipschitz_bound
        >>> lipschitz_bound(declare_lipschitz(nn.Softplus(), 1.0, input_shape=(4,)))
        1.0
    """
    return DeclaredLipschitz(module, bound, input_shape=input_shape, rounding=rounding)
