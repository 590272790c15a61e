"""Points of the pixel box at a given distance from an image, exactly."""

from __future__ import annotations

import torch
from torch import Tensor

from latentsmooth.errors import ShapeError

__all__ = ["distances", "inside", "on_ray", "project", "reach"]

_FARTHEST = 1e100
_TINY = 1e-300
_ROUNDOFF = 2.0**-53
_SHRINKAGES = (1 - 1e-6, 1 - 1e-5, 1 - 1e-4, 1 - 1e-2, 0.5)


def distances(clean: Tensor, points: Tensor) -> Tensor:
    """Return l2 distances, rounded up.

    Args:
        clean: ``(batch, ...)``.
        points: likewise.

    Returns:
        ``(batch,)`` float64, at least the true distance.

    Raises:
        ShapeError: unless both have one shape.

    Example:
        >>> distances(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])).tolist() >= [5.0]
        True
    """
    if clean.shape != points.shape:
        raise ShapeError(f"expected points of shape {tuple(clean.shape)}, got {points.shape}")
    apart = (points.double() - clean.double()).flatten(1)
    # A sum of n squares is off by at most (n + 2) roundoffs, whatever its order; its root by half.
    upwards = 1 + (apart.shape[1] + 8) * _ROUNDOFF
    lengths: Tensor = torch.linalg.vector_norm(apart, dim=1) * upwards
    return lengths


def on_ray(clean: Tensor, directions: Tensor, scales: Tensor) -> Tensor:
    """Go ``scales`` times a direction from an image, each pixel until it meets the box.

    Since the image is in the box, clamping only ever brings a point nearer to it.

    Args:
        clean: ``(batch, channels, height, width)`` in [0, 1].
        directions: likewise, of any length.
        scales: ``(batch,)``, at least 0.

    Returns:
        Points in [0, 1], float32.
    """
    return (clean + _column(scales, clean) * directions).clamp(0, 1)


def reach(clean: Tensor, directions: Tensor, norms: Tensor) -> Tensor:
    """Go so far along `on_ray` that the point is at the given distance.

    Let pixel i meet the box at scale ``s_i``, having moved ``room_i``. The squared distance at
    scale s is the sum of ``room_i^2`` over those that have met it and of ``(s d_i)^2`` over the
    others: with the s_i sorted, the scale follows in closed form.

    Args:
        clean: ``(batch, channels, height, width)`` in [0, 1].
        directions: likewise.
        norms: ``(batch,)``.

    Returns:
        The perturbations, float32; shorter than asked for where the box ends before.

    Example:
        >>> reach(torch.full((1, 1, 1, 2), 0.5), torch.tensor([[[[3.0, 4.0]]]]), torch.ones(1) / 2)
        tensor([[[[0.3000, 0.4000]]]])
    """
    flat, start = directions.flatten(1).double(), clean.flatten(1).double()
    room = torch.where(flat > 0, 1 - start, start)
    moved = flat != 0
    meets, order = torch.where(moved, room / flat.abs(), torch.inf).sort(dim=1)
    gone = torch.where(moved, room**2, 0.0).gather(1, order)
    speed = (flat**2).gather(1, order)
    before = _with_zero(gone.cumsum(1))
    after = _with_zero(speed.flip(1).cumsum(1)).flip(1)
    squares = norms.double().unsqueeze(1) ** 2
    freely = meets.nan_to_num(posinf=0.0) ** 2 * after[:, :-1]
    at_meeting = torch.where(meets.isfinite(), before[:, :-1] + freely, torch.inf)
    passed = (at_meeting <= squares).sum(1, keepdim=True)
    left, pace = squares - before.gather(1, passed), after.gather(1, passed)
    scales = (left.clamp_min(0) / pace.clamp_min(_TINY)).sqrt().clamp_max(_FARTHEST)
    last = torch.where(meets.isfinite(), meets, 0.0).amax(1, keepdim=True)
    scales = torch.where(pace > 0, scales, last).squeeze(1)
    return (on_ray(start, flat, scales) - start).to(clean.dtype).view_as(clean)


def project(clean: Tensor, perturbations: Tensor, norms: Tensor) -> Tensor:
    """Project onto the l2 ball round each image, cut by the pixel box.

    The nearest point of both at once is ``clamp(image + s * perturbation)`` for some s in [0, 1],
    by the multiplier of the ball's constraint; where that lies on the sphere, `reach` finds s.

    Args:
        clean: ``(batch, channels, height, width)`` in [0, 1].
        perturbations: likewise.
        norms: ``(batch,)``, the balls' radii.
    """
    boxed = (clean + perturbations).clamp(0, 1) - clean
    far = boxed.flatten(1).norm(dim=1) > norms
    if not bool(far.any()):
        return boxed
    return torch.where(_column(far, clean), reach(clean, perturbations, norms), boxed)


def inside(clean: Tensor, perturbations: Tensor, norms: Tensor) -> Tensor:
    """Return points in the box that are truly nearer than the norm, as they are in float32.

    Args:
        clean: ``(batch, channels, height, width)`` float32 in [0, 1].
        perturbations: likewise.
        norms: ``(batch,)`` float64.

    Returns:
        Points in [0, 1]: shrunk towards the image until their distance, computed in float64 and
        rounded up, is below the norm; the image itself where float32 has no such point.
    """
    points = (clean + perturbations).clamp(0, 1)
    scale = torch.ones_like(norms)
    for shrinkage in _SHRINKAGES:
        outside = distances(clean, points) >= norms
        if not bool(outside.any()):
            return points
        scale = torch.where(outside, scale * shrinkage, scale)
        points = on_ray(clean, perturbations, scale.to(clean.dtype))
    outside = distances(clean, points) >= norms
    return torch.where(_column(outside, clean), clean, points)


def _with_zero(sums: Tensor) -> Tensor:
    return torch.nn.functional.pad(sums, (1, 0))


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *(1 for _ in like.shape[1:]))
