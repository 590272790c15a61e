"""Rounding of dot products with constant weights: dense layers and convolutions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from latentsmooth.lipschitz.roundoff.arithmetic import length
from latentsmooth.lipschitz.roundoff.table import Step
from latentsmooth.lipschitz.rules.rounding import add_up, multiply_up, root_up, widen
from latentsmooth.lipschitz.scaled import times_power_of_two, unit_scaled

__all__ = ["dot_products", "nonnegative_norm"]

ITERATIONS = 12
FLOOR = 1e-6
"""Part of the largest entry that the others of a trial vector are raised to."""


def dot_products(step: Step, weights: Tensor, bias: Tensor | None) -> float:
    r"""Error of ``W x + b``, whatever the order of summation, with or without fused operations.

    With ``k`` weights of a row that are not zero, whose products are added up with the bias,

    .. math:: |fl(w \cdot x + b) - (w \cdot x + b)| \le \gamma_{k+1} |w| \cdot |x| + \gamma_k |b|,

    one rounding less without a bias. Products with zeros, of weights or of padding, are exact,
    and so is a single product with a power of two that does not underflow. Each product and each
    sum may underflow, whatever the weight. Over all rows the l2 norm is at most that of
    the matrix of the ``gamma |w|`` times the norm of ``x``.

    Args:
        step: the call.
        weights: ``(groups, rows, columns, taps)`` float64 on the CPU; every output is the dot
            product of one row of one group with some of the inputs, each tap read once.
        bias: one number for every so many consecutive rows of all groups, or none.

    Source:
        N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, section 3.1.
    """
    used = weights != 0
    counts = used.sum(dim=(2, 3))
    powers = (weights.frexp().mantissa.abs() == 0.5) | ~used
    shifts = powers.flatten(2).all(dim=2)
    biased = torch.zeros_like(counts)
    if bias is not None:
        present = (bias.detach().to("cpu") != 0).long().reshape(len(counts), -1)
        biased = present.repeat_interleave(counts.shape[1] // present.shape[1], dim=1)
    # Of the k products and the bias no term is rounded more often than it is multiplied and added.
    roundings = (counts - 1).clamp(min=0) + biased * (counts > 0) + (~shifts).long()
    gammas = step.arithmetic.gammas(roundings)
    if not bool(gammas.isfinite().all()):
        return math.inf
    scaled, exponent = unit_scaled(weights.abs().sum(dim=3), always=True)
    norm = nonnegative_norm(gammas.unsqueeze(2) * scaled)
    sums = float(scaled.sum(dim=2).max()) if scaled.numel() else 0.0
    total = times_power_of_two(widen(norm, roundings=weights.shape[3] + 4), exponent)
    error = multiply_up(total, step.norm)
    if bias is not None:
        positions = root_up(step.outputs.numel() / max(1, bias.numel()))
        largest = step.arithmetic.gamma(float(counts.max()))
        error = add_up(error, multiply_up(largest, length(bias), positions))
    # No partial sum may overflow.
    reach = multiply_up(times_power_of_two(widen(sums, roundings=weights[0].numel()), exponent), 2)
    if not add_up(multiply_up(reach, step.norm), step.output_norm) < step.arithmetic.largest:
        return math.inf
    # So many products and sums an entry, and a factor for the roundings that follow them.
    most = float(counts.max()) if counts.numel() else 0.0
    return add_up(error, step.underflow(4 * most))


def nonnegative_norm(matrices: Tensor) -> float:
    r"""Upper bound of the largest singular value of matrices without negative entries.

    For any vector ``v`` of positive entries,

    .. math:: \|A\|^2 \le \max_j (A^T A v)_j / v_j,

    with equality where ``v`` is the leading singular vector, to which powers lead.

    Args:
        matrices: ``(groups, rows, columns)`` float64.

    Source:
        L. Collatz, *Einschließungssatz für die charakteristischen Zahlen von Matrizen*,
        Mathematische Zeitschrift 48 (1942); H. Wielandt, likewise, 52 (1950).

    Example:
        >>> 2.0 <= nonnegative_norm(torch.ones(1, 2, 2, dtype=torch.float64)) < 2.0 + 1e-9
        True
    """
    matrices, exponent = unit_scaled(matrices, always=True)
    if not matrices.numel() or not bool(matrices.any()):
        return 0.0
    trial = torch.ones(len(matrices), matrices.shape[2], 1, dtype=torch.float64)
    best = torch.full((len(matrices),), math.inf, dtype=torch.float64)
    for _ in range(ITERATIONS):
        image = matrices.mT @ (matrices @ trial)
        best = torch.minimum(best, (image / trial).amax(dim=(1, 2)))
        largest = image.amax(dim=(1, 2), keepdim=True)
        trial = torch.maximum(image, FLOOR * largest) / torch.where(largest > 0, largest, 1)
        trial = trial.clamp(min=FLOOR)
    # Entries are sums of so many products of non-negative numbers, none of which cancel.
    roundings = matrices.shape[1] + matrices.shape[2] + 8
    square = widen(float(best.max()), roundings=roundings)
    return times_power_of_two(root_up(square), exponent)
