"""The gain of any convolution kernel over all frequencies, from its gain on a grid of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from latentsmooth.lipschitz.certified import Ceiling
from latentsmooth.lipschitz.rules.rounding import FLOAT64_UNIT, add_up, divide_up, widen
from latentsmooth.lipschitz.scaled import times_power_of_two, unit_scaled

__all__ = ["OVERSAMPLING", "frequency_bound", "grid_for", "is_affordable"]

OVERSAMPLING = (64, 48, 32, 24, 16, 12, 9, 8, 7, 6, 5, 4, 3, 2)
"""Grid points an axis for each degree of the polynomial, the finest first."""

# Floating-point operations, counted as of large matrices: at most some ten seconds on one core.
BUDGET = 3e11
# Beyond this many frequencies a finer grid gains less than its time is worth, unless it is cheap.
MOST_POINTS = 2000
CHEAP = 6e9
# What a matrix of any size costs besides its arithmetic, and the size below which arithmetic
# is slow.
OVERHEAD = 1e5
SLOW_SIZE = 250
CHUNK_BYTES = 48 << 20


def frequency_bound(
    kernel: Tensor, *, oversampling: int | None = None, give_up_at: float = math.inf
) -> float:
    r"""Upper bound of the norm of a stride-1 convolution, for any kernel and every image size.

    With ``K(w) = sum_t W_t exp(-i w t)`` the norm is at most the largest singular value of ``K``
    over all frequencies, and on a grid with ``m`` times as many points an axis as the degree
    (taps - 1),

    .. math:: \sup_w \sigma(K(w)) \le \max_{grid} \sigma(K(w)) \, / \cos(\pi / 2m)^{axes}.

    *Proof.* Let ``u`` be a unit vector at which the supremum is attained. Along one axis
    ``p(w) = |K(w) u|^2`` is a non-negative trigonometric polynomial of degree ``d`` with some
    maximum ``M`` at ``w0``, so ``q = p - M / 2`` has ``|q| <= M / 2 = q(w0)``. By a lemma of
    M. Riesz ``q(w) >= q(w0) cos(d (w - w0))`` while ``|w - w0| <= pi / d``, hence
    ``p(w) >= M cos(d (w - w0) / 2)^2``. The grid point nearest to ``w0`` is at most
    ``pi / (m d)`` away, and there ``p >= M cos(pi / 2m)^2``. Repeat axis by axis, each time from
    the grid point found.

    On the grid, singular values are bounded by `Ceiling`; conjugate frequencies share theirs.

    Args:
        kernel: ``(groups, outputs, inputs, *taps)`` float64 on the CPU; groups are apart.
        oversampling: ``m``; ``None`` takes the finest grid that a few seconds allow.
        give_up_at: stop where the bound is certain to exceed this number.

    Returns:
        The bound, with the rounding error of its own computation added; infinite where it would
        exceed ``give_up_at``.

    Source:
        The inequality between grid points: H. Ehlich, K. Zeller, *Schwankung von Polynomen
        zwischen Gitterpunkten*, Mathematische Zeitschrift 86 (1964), here for non-negative
        polynomials. Norms of convolutions by frequency: H. Sedghi, V. Gupta, P. Long,
        arXiv 1805.10408; with a grid: B. Delattre et al., arXiv 2402.00240.

    Example:
        >>> kernel = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64).reshape(1, 1, 1, 3)
        >>> 4.0 <= frequency_bound(kernel) < 4.01
        True
    """
    kernel, exponent = unit_scaled(_trimmed(kernel), always=True)
    if not bool(kernel.any()):
        return 0.0
    give_up_at = times_power_of_two(give_up_at, -exponent)
    if oversampling is None:
        oversampling = grid_for(kernel.shape)
    sizes = [(taps - 1) * oversampling or 1 for taps in kernel.shape[3:]]
    losses = [math.cos(math.pi / (2 * oversampling)) for taps in kernel.shape[3:] if taps > 1]
    loss = math.prod(losses)
    ceiling = Ceiling()
    for matrices in _responses(kernel, sizes):
        ceiling.cover(matrices)
        if ceiling.level**0.5 > give_up_at * loss * (1 + 1e-3):
            return math.inf
    on_grid = add_up(ceiling.norm, _transform_error(kernel))
    bound = widen(divide_up(on_grid, loss), roundings=8 + 8 * len(losses))
    return times_power_of_two(bound, exponent)


def grid_for(shape: Sequence[int]) -> int:
    """The finest of `OVERSAMPLING` that the budget allows for a kernel of this shape."""
    for oversampling in OVERSAMPLING:
        points, cost = _cost(shape, oversampling)
        if cost <= (BUDGET if points <= MOST_POINTS else CHEAP):
            return oversampling
    return OVERSAMPLING[-1]


def is_affordable(shape: Sequence[int]) -> bool:
    """Whether even the coarsest grid is within reach for a kernel of this shape."""
    return _cost(shape, OVERSAMPLING[-1])[1] <= 2 * BUDGET


def _cost(shape: Sequence[int], oversampling: int) -> tuple[float, float]:
    groups, outputs, inputs, *taps = shape
    small, large = sorted((outputs, inputs))
    arithmetic = (8 * large * small**2 + 6 * small**3) * (1 + SLOW_SIZE / small)
    points = math.prod((size - 1) * oversampling or 1 for size in taps) / 2 + 1
    return points, points * groups * (OVERHEAD + arithmetic)


def _trimmed(kernel: Tensor) -> Tensor:
    """Without outer taps that are all zero: they cost degree and add nothing."""
    for axis in range(3, kernel.ndim):
        used = kernel.movedim(axis, 0).flatten(1).any(dim=1).nonzero().flatten()
        if len(used):
            first, last = int(used[0]), int(used[-1])
            kernel = kernel.narrow(axis, first, last - first + 1)
    return kernel


def _responses(kernel: Tensor, sizes: Sequence[int]) -> Iterator[Tensor]:
    """``K(w)`` of every group over half the grid: ``(chunk * groups, outputs, inputs)``."""
    groups, outputs, inputs = kernel.shape[:3]
    entries = kernel.flatten(0, 2).flatten(1)
    if entries.shape[1] == 1:
        yield kernel.reshape(groups, outputs, inputs)
        return
    taps = torch.tensor(list(itertools.product(*map(range, kernel.shape[3:]))))
    # The other half of the last axis holds the conjugates.
    halves = [*sizes[:-1], sizes[-1] // 2 + 1]
    count = math.prod(halves)
    step = max(1, CHUNK_BYTES // (16 * entries.shape[0]))
    # The first frequencies come alone: the level they give spares eigenvalues later.
    starts = [0, 1, *range(1 + min(step, 8), count, step)]
    for start, stop in zip(starts, [*starts[1:], count], strict=True):
        if start >= stop:
            continue
        turns = torch.zeros(len(taps), stop - start, dtype=torch.float64)
        places = torch.arange(start, stop)
        for axis in reversed(range(len(sizes))):
            place = places % halves[axis]
            places = places // halves[axis]
            # Whole turns are dropped in integers, so that the angle is exact to a few units.
            turns += taps[:, axis, None] * place % sizes[axis] / sizes[axis]
        angles = -2 * math.pi * turns
        real, imaginary = entries @ angles.cos(), entries @ angles.sin()
        response = torch.complex(real, imaginary).T.reshape(-1, outputs, inputs)
        yield response


def _transform_error(kernel: Tensor) -> float:
    """How far a computed ``K(w)`` may be off, in spectral norm.

    Each entry is a sum over taps of products with a cosine and a sine, whose angles, below three
    turns, are off by at most a dozen units each.
    """
    taps = kernel[0, 0, 0].numel()
    if taps == 1:
        return 0.0
    lengths = kernel.flatten(1, 2).flatten(2).norm(dim=1).sum(dim=-1)
    return 4 * (taps + 64) * FLOAT64_UNIT * float(lengths.max())
