"""What the noise is: the key of an image, the phases, and the name of the definition."""

from __future__ import annotations

import enum
from hashlib import blake2b
from typing import Final, Literal

from latentsmooth.errors import ConfigurationError

__all__ = ["GRADES", "LARGEST_NORMAL", "NOISE_DEFINITIONS", "Grade", "Phase", "noise_key"]

Grade = Literal["fast", "exact"]
GRADES: Final[tuple[Grade, ...]] = ("fast", "exact")

NOISE_DEFINITIONS: Final[dict[Grade, str]] = {
    "fast": "philox4x32-10/box-muller-1/lattice",
    "exact": "philox4x32-10/inverse-cdf-1/lattice",
}
"""Name of each grade's definition: where it is the same, every implementation gives the same bits.

The generator is Philox4x32-10 with the image's key (low word first) and the counter
``(block, draw, phase, 0)``.

*exact*: its four words of 32 bits are two numbers ``(a, b) = 2**32 a + b``. Of each, bit 63 is the
sign and the rest ``u`` says how many steps of the lattice: as many as there are thresholds up to
``u`` in the table of ``inverse.py``. Element ``32 g + 16 h + l`` of a draw is number ``h`` of block
``16 g + l``.

*fast*: its four words are two pairs ``(a, b)``. Of a pair,

.. math:: r = \\sqrt{-2 \\ln u}, \\quad u = (a' + 1/2) / 2^{32} \\bmod 1,
    \\quad y = (4 b' + 2) / 2^{31} \\in [-1, 1],

are the radius and, times :math:`\\pi / 4`, the angle; ``a'`` is ``a`` as a signed number and ``b'``
the low 30 bits of ``b`` as one. Bit 31 of ``b`` changes the sign of the cosine and bit 30 swaps
cosine and sine; the pair's normals are ``r`` times these. All is in float32, each operation
rounded by itself, never contracted, in the order and with the polynomials of ``reference.py``.
Element ``64 g + 16 w + l`` of a draw is normal ``w`` of block ``16 g + l``.

Times sigma, it is rounded to a multiple of the lattice's step ``q``, to nearest and even, as
``(e + 1.5 * 2**23 q) - 1.5 * 2**23 q``.

Against the formula in double precision a normal is off by less than ``4e-7`` of its own size. A
normal has exactly the distribution of its negative, as each ``y`` is as likely as ``-y``.

Sources: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011);
Box and Muller, "A note on the generation of random normal deviates" (1958).
"""

LARGEST_NORMAL = 6.763705730438232
"""No normal of grade fast is larger in size: the radius of ``u = 2**-33``, times 1."""


class Phase(enum.IntEnum):
    """What the draws are for; each phase has its own, disjoint samples."""

    SELECT = 0
    ESTIMATE = 1
    PREDICT = 2


def noise_key(*, seed: int, index: int) -> int:
    """The generator's key of one image of one run, as a signed 64-bit integer.

    Args:
        seed: the run's seed, ``>= 0``.
        index: the image's position in its data set, ``>= 0``.

    Raises:
        ConfigurationError: for a negative seed or index.

    >>> noise_key(seed=0, index=7) != noise_key(seed=7, index=0)
    True
    """
    if seed < 0 or index < 0:
        raise ConfigurationError(f"wanted seed and image index >= 0, got {seed} and {index}")
    digest = blake2b(f"{seed}:{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
