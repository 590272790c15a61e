"""Modules that run others, one after the other or side by side."""

from __future__ import annotations

import torch
from torch import nn

from latentsmooth.lipschitz.roundoff.arithmetic import length
from latentsmooth.lipschitz.roundoff.table import Outcome, Part, composite_rounding_rule
from latentsmooth.lipschitz.rules.rounding import add_up, multiply_up, root_of_squares_up
from latentsmooth.orthogonal import ConcatenativeResidual, ConvexResidual, Parallel

__all__: list[str] = []


@composite_rounding_rule(nn.Sequential)
def chain(module: nn.Sequential, part: Part) -> Outcome:
    """The next module carries the error of all before it on, and adds its own."""
    inputs, gain, error = part.inputs, 1.0, 0.0
    # named_children would skip a module's second place.
    for name in [name for name, child in module._modules.items() if child is not None]:
        # Twice the error: of the input in the middle and of the other one.
        spread = add_up(multiply_up(gain, part.spread), multiply_up(2.0, error))
        made = part.run(name, inputs, spread=spread)
        inputs = made.outputs
        gain = multiply_up(gain, made.gain)
        error = add_up(multiply_up(made.gain, error), made.error)
    return Outcome(inputs, gain, error)


@composite_rounding_rule(ConvexResidual)
def convex_residual(module: ConvexResidual, part: Part) -> Outcome:
    """``x + a (f(x) - x)``: a difference, a product and a sum."""
    step = part.step()
    branch = part.run("branch", step.inputs, spread=part.spread)
    with torch.no_grad():
        share = abs(float(module.alpha.double()))
    reach = add_up(
        length(branch.outputs),
        multiply_up(branch.gain, part.spread),
        multiply_up(2.0, branch.error),
        step.norm,
    )
    # The difference is rounded, and then its share; the sum is no longer than both terms.
    mixed = multiply_up(step.arithmetic.gamma(3), share, reach)
    summed = multiply_up(step.arithmetic.gamma(1), step.norm)
    error = add_up(multiply_up(share, branch.error), mixed, summed, step.underflow(3))
    return step.outcome(error)


@composite_rounding_rule(ConcatenativeResidual)
def concatenative_residual(module: ConcatenativeResidual, part: Part) -> Outcome:
    """The branch's; what passes is exact."""
    step = part.step()
    channels = step.inputs.shape[1]
    taken = channels // 2 if module.channels is None else module.channels
    branch = part.run("branch", step.inputs[:, :taken], spread=part.spread)
    return step.outcome(branch.error)


@composite_rounding_rule(Parallel)
def parallel(module: Parallel, part: Part) -> Outcome:
    """Squares add up: the branches' results lie in different coordinates."""
    step = part.step()
    errors = [
        part.run(f"branches.{number}", step.inputs, spread=part.spread).error
        for number in range(len(module.branches))
    ]
    return step.outcome(root_of_squares_up(*errors))
