"""What the program that runs differs by from the mathematics, and is deducted for."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from latentsmooth.errors import ConfigurationError

__all__ = ["NOTHING_DEDUCTED", "Deductions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deductions:
    r"""Everything between the votes and the radius that is not the theorem.

    .. math::
        p = p_\mathrm{lower} - \mathrm{total\_variation}, \quad
        r_z = \sigma\,\Phi^{-1}(p), \quad
        r_x = (r_z - 2\,\mathrm{encoder\_rounding} - \mathrm{lattice\_rounding}) / L

    Attributes:
        encoder_rounding: l2 distance of a computed latent from the exact one, at most, for every
            image; once at the image and once at its neighbour.
        lattice_rounding: l2 distance that rounding both to the lattice may add to theirs.
        total_variation: distance of the noise drawn from Gaussian noise on the lattice, at most,
            over all coordinates of a latent together, for a generator of independent bits.

    Raises:
        ConfigurationError: for one that is negative or not finite.
    """

    encoder_rounding: float = 0.0
    lattice_rounding: float = 0.0
    total_variation: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise ConfigurationError(f"wanted a finite {name} >= 0, got {value}")

    @property
    def latent_slack(self) -> float:
        """What is taken off a latent radius, rounded up."""
        total = 2 * self.encoder_rounding + self.lattice_rounding
        return math.nextafter(total, math.inf) if total else 0.0


NOTHING_DEDUCTED = Deductions()
"""For a program that computes in real numbers: in tests, and in logs of earlier versions."""
