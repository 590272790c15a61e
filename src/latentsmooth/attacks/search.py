"""Gradient searches: inside a radius, and for the nearest flip beyond it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from latentsmooth.attacks.geometry import inside, project, reach
from latentsmooth.attacks.gradient import GradientStep

__all__ = ["GradientOf", "attack_beyond", "attack_inside"]

GradientOf = Callable[[Tensor, Tensor, Sequence[torch.Generator]], GradientStep]
"""Points, the classes to leave and one generator an image, to gradients; `SmoothedGradient`."""

_MEMORY = 0.75
"""Of the running mean of directions, which averages the noise of several steps."""
_PATH = 4.0
"""Length of all steps inside a radius together, in radii."""
_FASTEST, _SLOWEST = 0.1, 0.01
"""Part of the norm that a step beyond changes it by, at first and at last."""
_START = 1.2
"""Norm that the search beyond begins with, in radii."""


def attack_inside(
    gradient: GradientOf,
    clean: Tensor,
    classes: Tensor,
    input_radii: Tensor,
    generators: Sequence[torch.Generator],
    *,
    steps: int,
) -> Tensor:
    """Projected gradient ascent within a ball round each image and the pixel box.

    Args:
        gradient: of what is to grow.
        clean: ``(batch, channels, height, width)`` float32 in [0, 1].
        classes: ``(batch,)`` int64, the classes to leave.
        input_radii: ``(batch,)`` float64, of the balls.
        generators: one an image.
        steps: gradient steps; their length falls to nothing.

    Returns:
        ``(batch, channels, height, width)`` float32 points, each truly in the box and truly
        nearer to its image than its radius.

    Source:
        A. Madry et al., *Towards Deep Learning Models Resistant to Adversarial Attacks*,
        arXiv 1706.06083; Y. Dong et al., *Boosting Adversarial Attacks with Momentum*,
        arXiv 1710.06081.
    """
    norms = input_radii.to(clean.dtype)
    moved = project(clean, _random(clean, generators) * _column(norms / 2, clean), norms)
    mean = torch.zeros_like(clean)
    for step in range(steps):
        found = gradient(clean + moved, classes, generators)
        mean = _MEMORY * mean + _unit(found.gradients, generators)
        length = norms * (2 * _PATH / steps) * (1 - step / steps)
        moved = project(clean, moved + _unit(mean, generators) * _column(length, clean), norms)
    return inside(clean, moved, input_radii)


def attack_beyond(
    gradient: GradientOf,
    clean: Tensor,
    classes: Tensor,
    input_radii: Tensor,
    start: Tensor,
    generators: Sequence[torch.Generator],
    *,
    steps: int,
) -> Tensor:
    """Look for the nearest point of another class, direction and norm apart.

    Each step turns the direction uphill and then goes the current norm along it, within the box;
    the norm shrinks where the draws vote for another class and grows where they do not.

    Args:
        gradient: of what is to grow.
        clean: ``(batch, channels, height, width)`` float32 in [0, 1].
        classes: ``(batch,)`` int64, the classes to leave.
        input_radii: ``(batch,)``; the norm begins a little beyond.
        start: first directions, of any length.
        generators: one an image.
        steps: gradient steps.

    Returns:
        The last perturbations, float32, about where the vote flips.

    Source:
        J. Rony et al., *Decoupling Direction and Norm for Efficient Gradient-Based L2 Adversarial
        Attacks and Defenses*, arXiv 1811.09600.
    """
    norms = input_radii.to(clean.dtype) * _START
    moved = reach(clean, start, norms)
    mean = torch.zeros_like(clean)
    for step in range(steps):
        found = gradient(clean + moved, classes, generators)
        cosine = (1 + math.cos(math.pi * step / steps)) / 2
        rate = _SLOWEST + (_FASTEST - _SLOWEST) * cosine
        mean = _MEMORY * mean + _unit(found.gradients, generators)
        turned = moved + _unit(mean, generators) * _column(norms * max(cosine, _SLOWEST), clean)
        norms = norms * torch.where(found.flipped, 1 - rate, 1 + rate)
        moved = reach(clean, turned, norms)
        # Where the box is full, the norm must not run away from what is reached.
        norms = norms.minimum(moved.flatten(1).norm(dim=1) * (1 + rate))
    return moved


def _random(like: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    drawn = [
        torch.randn(like.shape[1:], generator=each, device=like.device, dtype=like.dtype)
        for each in generators
    ]
    return _scaled(torch.stack(drawn))


def _unit(gradients: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Scale to norm 1; where there is no slope, any direction is as good."""
    flat = gradients.flatten(1).norm(dim=1) == 0
    if bool(flat.any()):
        gradients = torch.where(_column(flat, gradients), _random(gradients, generators), gradients)
    return _scaled(gradients)


def _scaled(vectors: Tensor) -> Tensor:
    # The largest entry first: squares of tiny gradients would underflow.
    vectors = vectors / _column(vectors.flatten(1).abs().amax(1).clamp_min(1e-38), vectors)
    return vectors / _column(vectors.flatten(1).norm(dim=1).clamp_min(1e-38), vectors)


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *(1 for _ in like.shape[1:]))
