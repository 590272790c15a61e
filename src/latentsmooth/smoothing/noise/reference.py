"""The definition of the noise in plain torch: slow, for any device, and what the others match."""

from __future__ import annotations

import torch
from torch import Tensor

from latentsmooth.smoothing.noise.filler import NoiseFiller, refuse_bad_rows, rounding_magnet

__all__ = ["BLOCKS", "WORD", "ReferenceFiller", "box_muller", "philox"]

GROUP = 64
BLOCKS = GROUP // 4
ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
WORD = 0xFFFFFFFF

TWO_THIRDS = 0x3F2AAAAB  # float32 bits: the logarithm's argument is brought into [2/3, 4/3)


def _coefficients(text: str) -> tuple[float, ...]:
    """Exact float32 numbers, from the constant term up."""
    return tuple(float.fromhex(word) for word in text.split())


MINUS_TWO_LN2 = float.fromhex("-0x1.62e430p+0")
# -2 ln(1 + f) / f for |f| <= 1/3, off by 2.7e-8 relative.
LOGARITHM = _coefficients(
    "-0x1p+1 0x1.ffffd6p-1 -0x1.5554fcp-1 0x1.001450p-1 -0x1.99d3a8p-2"
    " 0x1.503884p-2 -0x1.1ea94ep-2 0x1.3b0e5cp-2 -0x1.1f242ap-2"
)
# cos(pi y / 4) and sin(pi y / 4) / y in y * y for |y| <= 1, off by 3.3e-8 and 2.3e-8.
COSINE = _coefficients("0x1p+0 -0x1.3bd3a2p-2 0x1.03b18ep-6 -0x1.4eb112p-12")
SINE = _coefficients("0x1.921fb6p-1 -0x1.4abc28p-4 0x1.468282p-9 -0x1.3375fep-15")

_ELEMENTS_AT_ONCE = 1 << 16


class ReferenceFiller(NoiseFiller):
    """Keyed noise by torch's own operations, one rounding each, a few rows at a time."""

    name = "reference"

    def _fill(
        self, out: Tensor, latents: Tensor, plan: Tensor, latent_sigma: float, step: float
    ) -> None:
        plan = plan.to(out.device)
        refuse_bad_rows(plan, slots=len(latents))
        rows = max(1, _ELEMENTS_AT_ONCE // out.shape[1])
        for start in range(0, len(out), rows):
            part = plan[start : start + rows]
            noise = self._noise(part, out.shape[1], latent_sigma, step)
            noisy = latents[part[:, 0].clamp(min=0)] + noise
            noisy[part[:, 0] < 0] = 0.0
            out[start : start + rows] = noisy.to(out.dtype)

    def _noise(self, plan: Tensor, size: int, latent_sigma: float, step: float) -> Tensor:
        """What is added to each row's latent: ``(rows, size)`` float32."""
        sigma = torch.tensor(latent_sigma, dtype=torch.float32, device=plan.device)
        magnet = rounding_magnet(step)
        return (_normals(plan, size) * sigma + magnet) - magnet


def _normals(plan: Tensor, size: int) -> Tensor:
    """The first ``size`` standard normals of every row of a plan: ``(rows, size)`` float32."""
    groups = (size + GROUP - 1) // GROUP
    block = torch.arange(groups * BLOCKS, device=plan.device)
    rows = [plan[:, column].unsqueeze(1).expand(-1, len(block)) for column in (1, 2, 3)]
    key, phase, draw = rows
    words = philox(
        (block.expand_as(draw), draw, phase, torch.zeros_like(draw)), (key & WORD, key >> 32 & WORD)
    )
    normals = torch.stack((*box_muller(words[0], words[1]), *box_muller(words[2], words[3])))
    grouped = normals.view(4, len(plan), groups, BLOCKS).permute(1, 2, 0, 3)
    return grouped.flatten(1)[:, :size]


def philox(
    counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Philox4x32-10 of words of 32 bits, each in an int64 tensor.

    Args:
        counter: four words.
        key: two words.

    Returns:
        Four words, of the common shape.

    Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    x0, x1, x2, x3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        # Products wrap around 64 bits; masked, their halves are right all the same.
        p0, p1 = x0 * MULTIPLIERS[0], x2 * MULTIPLIERS[1]
        x0, x2 = (p1 >> 32 & WORD) ^ x1 ^ k0, (p0 >> 32 & WORD) ^ x3 ^ k1
        x1, x3 = p1 & WORD, p0 & WORD
        k0, k1 = k0 + WEYL[0] & WORD, k1 + WEYL[1] & WORD
    return x0, x1, x2, x3


def box_muller(radius_word: Tensor, angle_word: Tensor) -> tuple[Tensor, Tensor]:
    """Two standard normals in float32 of two words of 32 bits, each in an int64 tensor.

    Args:
        radius_word: the word whose logarithm is taken.
        angle_word: the word that says where on the circle.

    Source: Box and Muller, "A note on the generation of random normal deviates" (1958).
    """
    radius = _radius(radius_word)
    low = ((angle_word & 0x3FFFFFFF) ^ 0x20000000) - 0x20000000
    y = (low * 4 + 2).to(torch.float32) * 2.0**-31
    z = y * y
    cosine = _horner(COSINE, z)
    sine = _horner(SINE, z) * y
    cosine = torch.where(angle_word & 0x80000000 != 0, -cosine, cosine)
    swapped = angle_word & 0x40000000 != 0
    first, second = torch.where(swapped, sine, cosine), torch.where(swapped, cosine, sine)
    return first * radius, second * radius


def _radius(word: Tensor) -> Tensor:
    """``sqrt(-2 ln u)``: exponent and mantissa of ``u``, then a polynomial.

    As signed numbers, words count from 0 upwards and from 1 downwards: ``u`` keeps its relative
    precision near 0, and ``1 - u`` near 1, which the rounded sum ``1 + below`` would lose.
    """
    position = (word ^ 0x80000000) - 0x80000000
    below = (position.to(torch.float32) + 0.5) * 2.0**-32
    uniform = torch.where(position < 0, below + 1.0, below)
    t = uniform.view(torch.int32) - TWO_THIRDS
    exponent = t >> 23
    f = ((t & 0x7FFFFF) + TWO_THIRDS).view(torch.float32) - 1.0
    f = torch.where(exponent == 0, below, f)
    g = f * f
    # Even and odd powers apart: two short chains of operations instead of a long one.
    series = _horner(LOGARITHM[0::2], g) + _horner(LOGARITHM[1::2], g) * f
    square = exponent.to(torch.float32) * MINUS_TWO_LN2 + series * f
    # A double's root, rounded, is the correctly rounded float32 root; float32's own may not be.
    # An Apple GPU has no doubles; its roots are taken on the processor.
    doubles = square.cpu() if square.device.type == "mps" else square
    return doubles.double().sqrt().float().to(square.device)


def _horner(coefficients: tuple[float, ...], at: Tensor) -> Tensor:
    total = at * coefficients[-1] + coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        total = total * at + coefficient
    return total
