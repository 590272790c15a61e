"""Gradient ascent for adversarial objectives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from latentsmooth.orthogonal.cached import BuiltWeight

__all__ = ["ascend", "lengths", "steady", "within_ball"]


def lengths(tensor: Tensor) -> Tensor:
    """Return each row's l2 norm, ``(batch, 1, ..., 1)``.

    >>> lengths(torch.tensor([[3.0, 4.0]]))
    tensor([[5.]])
    """
    norms: Tensor = torch.linalg.vector_norm(tensor, dim=tuple(range(1, tensor.ndim)), keepdim=True)
    return norms


def within_ball(point: Tensor, centre: Tensor, radius: float) -> Tensor:
    """Return the nearest point of the l2 ball, row by row.

    >>> within_ball(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2), radius=1.0)
    tensor([[0.6000, 0.8000]])
    """
    offset = point - centre
    return centre + offset * (radius / lengths(offset).clamp_min(max(radius, 1e-30)))


def ascend(
    loss: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    steps: int,
    step_size: float,
    restrict: Callable[[Tensor], Tensor],
) -> Tensor:
    """Return where steps of equal length along each row's gradient lead, without a graph.

    Args:
        loss: from points of the start's shape to a scalar that sums over rows.
        start: ``(batch, ...)``.
        steps: how many.
        step_size: l2 length of a step.
        restrict: brings points back to where they may be.
    """
    point = start.detach()
    for _ in range(steps):
        tried = point.clone().requires_grad_()
        with torch.enable_grad():
            # only the path to the points is walked, so the weights' graph outlives the attack
            [gradient] = torch.autograd.grad(loss(tried), [tried])
        uphill = gradient / lengths(gradient).clamp_min(1e-12)
        point = restrict(point + step_size * uphill).detach()
    return point


@contextmanager
def steady(network: nn.Module) -> Iterator[None]:
    """Have batch norm at its running statistics and dropout off inside, as attacks want it.

    Orthogonal layers stay as they are: switched, they would build their weights at every call.
    """
    parts = [part for part in network.modules() if not isinstance(part, BuiltWeight)]
    modes = [part.training for part in parts]
    try:
        for part in parts:
            part.training = False
        yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode
