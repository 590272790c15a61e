"""The rounding of a whole encoder, carried from module to module."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError, UnverifiedModule
from latentsmooth.lipschitz.bound import ModuleBound, lipschitz_bound, observed_bounds
from latentsmooth.lipschitz.declared import ASSUMED_UNITS
from latentsmooth.lipschitz.modes import ordinary_kernels, refuse_training, undisturbed
from latentsmooth.lipschitz.observed import observe
from latentsmooth.lipschitz.operations import Refusal
from latentsmooth.lipschitz.registry import named, rule_of
from latentsmooth.lipschitz.roundoff import rules as _rules  # noqa: F401  (fills the table)
from latentsmooth.lipschitz.roundoff.arithmetic import Arithmetic, length
from latentsmooth.lipschitz.roundoff.followed import followed_rounding
from latentsmooth.lipschitz.roundoff.table import Outcome, Step, find_rounding
from latentsmooth.lipschitz.rules.rounding import add_up, multiply_up, root_up

__all__ = ["RoundingBound", "rounding_bound"]


@dataclass(frozen=True, slots=True)
class RoundingBound:
    """What floating point adds to an encoder's map, over a whole box of images.

    Attributes:
        error: upper bound of the l2 distance between the computed and the exact result.
        norm: upper bound of the l2 norm of either.
        assumed: paths of modules whose own rounding somebody stated or nobody knows; empty where
            everything is derived from the arithmetic.
    """

    error: float
    norm: float
    assumed: tuple[str, ...] = ()


def rounding_bound(
    module: nn.Module,
    *,
    input_shape: Sequence[int],
    dtype: torch.dtype = torch.float64,
    low: float = 0.0,
    high: float = 1.0,
) -> RoundingBound:
    r"""Bound what rounding adds to an encoder, for every image in a box at once.

    The exact map has the weights in force in ``dtype``; the computed one is the module's copy in
    that dtype, in evaluation mode, run by ordinary kernels: any order of summation, with or
    without fused operations, no reduced precision and no fast transforms. For modules ``f_i`` with
    verified Lipschitz bounds ``L_i`` and rounding ``e_i`` of their own,

    .. math:: E_i \le L_i E_{i-1} + e_i(R_i),

    where ``R_i`` bounds the norms that ``f_i`` can meet: that of one image's, in the middle of the
    box, plus the product of the bounds so far times the box's radius.

    Args:
        module: the encoder; left as it is.
        input_shape: of one image, ``(channels, height, width)`` as a rule.
        dtype: float64 or float32, in which images, weights and activations are held.
        low: least entry of any image.
        high: largest entry of any image.

    Returns:
        The bound, for every image in ``[low, high]`` that the dtype holds.

    Raises:
        UnverifiedModule: where a module has no Lipschitz bound, as in `lipschitz_bound`.
        ShapeError: where ``input_shape`` does not fit.
        ConfigurationError: for another dtype, a box without inside, or where no finite bound
            exists.

    Source:
        N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, chapters 2 and 3.

    Example:
        >>> from latentsmooth.orthogonal import Center, OrthogonalConv2d
        >>> encoder = nn.Sequential(Center(), OrthogonalConv2d(3, 8, 3))
        >>> rounding_bound(encoder, input_shape=(3, 8, 8)).error < 1e-12
        True
    """
    arithmetic = Arithmetic.of(dtype)
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ConfigurationError(f"wanted finite low <= high, got {low} and {high}")
    running = _copied(module).eval().to(dtype)
    bounds = dict(_flat(observed_bounds(running, observe(running, input_shape, is_copy=True))))
    like = next((each for each in (*running.parameters(), *running.buffers())), torch.empty(0))
    middle = torch.full((1, *input_shape), (low + high) / 2, dtype=dtype, device=like.device)
    walk = _Walk(bounds, arithmetic)
    # What the kernels of the middle image err by beyond the bound would be missing from it.
    with undisturbed([like.device.type]), ordinary_kernels(like.device):
        made = walk.follow(running, "", middle, spread=_radius(middle, low, high))
        refuse_training(running)
    reach = add_up(
        length(made.outputs),
        multiply_up(made.gain, _radius(middle, low, high)),
        multiply_up(2.0, made.error),
    )
    return RoundingBound(made.error, reach, tuple(dict.fromkeys(walk.assumed)))


class _Walk:
    """Follows a set of inputs through modules."""

    def __init__(self, bounds: dict[str, float], arithmetic: Arithmetic) -> None:
        self.bounds = bounds
        self.arithmetic = arithmetic
        self.assumed: list[str] = []

    def follow(self, module: nn.Module, path: str, inputs: Tensor, *, spread: float) -> Outcome:
        """What a module makes of a set of inputs."""
        refuse_training(module, path)
        entry = find_rounding(module)
        part = _Part(self, module, path, inputs, spread)
        if entry is None and rule_of(module) is None:
            outcome = self._by_operations(part)
        elif entry is not None and entry.composite:
            composite: Any = entry.rule
            outcome = composite(module, part)
            # A user's own statement about the whole may be lower than what its parts give.
            gain = min(outcome.gain, self.bounds.get(path, math.inf))
            outcome = replace(outcome, gain=gain)
        else:
            step = part.step()
            rule: Any = _assumed if entry is None else entry.rule
            if entry is None or entry.stated:
                self.assumed.append(path)
            outcome = step.outcome(float(rule(module, step)) if step.has_room else math.inf)
        if not (math.isfinite(outcome.error) and outcome.error >= 0):
            raise ConfigurationError(
                f"the rounding of {named(module, path)} has no finite bound: wanted numbers far "
                f"below {self.arithmetic.largest:.2g}, and sums of fewer than "
                f"{1 / self.arithmetic.unit:.2g} terms"
            )
        return outcome

    def _by_operations(self, part: _Part) -> Outcome:
        outputs, error = followed_rounding(
            part.module,
            part.inputs,
            part.path,
            spread=part.spread,
            arithmetic=self.arithmetic,
            follow_child=lambda child, inputs, spread: part.run(child, inputs, spread=spread),
        )
        return Outcome(outputs, self.gain(part.module, part.path, part.inputs), error)

    def gain(self, module: nn.Module, path: str, inputs: Tensor) -> float:
        """A module's Lipschitz bound, also where the bound of the whole did not ask for it."""
        if path not in self.bounds:
            self.bounds[path] = lipschitz_bound(module, input_shape=inputs.shape[1:])
        return self.bounds[path]


@dataclass(frozen=True, slots=True)
class _Part:
    walk: _Walk
    module: nn.Module
    path: str
    inputs: Tensor
    spread: float

    def run(self, child: str, inputs: Tensor, *, spread: float) -> Outcome:
        below = f"{self.path}.{child}" if self.path else child
        return self.walk.follow(self.module.get_submodule(child), below, inputs, spread=spread)

    def step(self) -> Step:
        # Modules that work in place get a copy of their own.
        outputs = self.module(self.inputs.clone())
        gain = self.walk.gain(self.module, self.path, self.inputs)
        return Step(
            inputs=self.inputs,
            outputs=outputs,
            norm=add_up(length(self.inputs), self.spread),
            output_norm=add_up(length(outputs), multiply_up(gain, self.spread)),
            gain=gain,
            arithmetic=self.walk.arithmetic,
        )


def _assumed(module: nn.Module, step: Step) -> float:
    """For modules of whose arithmetic nothing is known."""
    return step.of_both(ASSUMED_UNITS)


def _flat(parts: Iterable[ModuleBound]) -> Iterable[tuple[str, float]]:
    for part in parts:
        yield part.path, part.bound
        yield from _flat(part.children)


def _radius(middle: Tensor, low: float, high: float) -> float:
    """How far any corner of the box is from its middle."""
    if not middle.numel():
        return 0.0
    centre = Fraction(float(middle.flatten()[0]))
    half = max(Fraction(high) - centre, centre - Fraction(low))
    nearest = float(half)
    upper = nearest if Fraction(nearest) >= half else math.nextafter(nearest, math.inf)
    return multiply_up(upper, root_up(float(middle.numel())))


def _copied(module: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(module)
    except (Refusal, RuntimeError, TypeError) as error:
        raise UnverifiedModule(
            f"{type(module).__name__} cannot be copied, so that it cannot be run: {error}"
        ) from error
