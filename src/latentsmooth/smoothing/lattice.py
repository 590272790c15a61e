"""The grid on which latents and noise lie, so that their sums are exact."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.smoothing.noise import REACH, SMALLEST_RATIO

__all__ = ["Lattice", "choose_lattice"]

_BITS = 24
"""Whole numbers up to two to this power are float32 numbers."""
_FINEST = 2.0**19
"""Steps a standard deviation, below: noise is rounded within 2**22 steps of zero."""
_AIM, _MOST = 2.0**-10, 2.0**-8
"""Slack in standard deviations: what is aimed at, and what is allowed for a wider range."""
_SMALLEST, _LARGEST = 2.0**-80, 2.0**80
_FARTHEST = 8.5
"""Standard deviations to the end of any certified ball: no probability below one reaches more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    r"""Multiples of a power of two.

    Latents are rounded to it, and so is the noise. A sum of both is then a multiple of the step
    below ``2**24`` of them, which float32 holds exactly. As ``round(z + e) = z + round(e)`` for
    every ``z`` of the lattice, the head's answer to the sum is that of ``head(round(z + e))``: of a
    fixed function under Gaussian noise, whatever low bits the head reads.

    Rounding moves a latent by at most half a step a coordinate, at an image and again at its
    neighbour: :math:`q \sqrt m` in all, which every latent radius is shortened by.

    Attributes:
        step: of the grid, a power of two; the same for every image, as it is part of the function.
        size: coordinates of a latent.
        latent_sigma: standard deviation of the noise.

    Source:
        The exploit of rounded sums is that of V. Voracek and M. Hein, *Sound Randomized Smoothing
        in Floating-Point Arithmetics*, arXiv 2207.07209.
    """

    step: float
    size: int
    latent_sigma: float

    @property
    def slack(self) -> float:
        """What rounding to the lattice may take off a latent radius, rounded up."""
        return math.nextafter(self.step * math.sqrt(self.size), math.inf)

    @property
    def limit(self) -> float:
        """Largest size of a latent's coordinate for which every sum is exact."""
        return 2.0**_BITS * self.step - (REACH + 0.5) * self.latent_sigma

    @property
    def certified_limit(self) -> float:
        """The same for every latent in a ball that can be certified."""
        return self.limit - _FARTHEST * self.latent_sigma

    def rounded(self, latents: Tensor, *, certified: bool) -> Tensor:
        """Round latents to the lattice, to nearest and even; zero has no sign.

        Args:
            latents: ``(batch, ...)`` float64 or float32.
            certified: whether their neighbours must fit as well.

        Returns:
            The same shape, float32.

        Raises:
            DataError: where a coordinate is out of range or no number; nothing is ever wrapped.

        Example:
            >>> lattice = Lattice(step=0.25, size=2, latent_sigma=1.0)
            >>> lattice.rounded(torch.tensor([[0.3, -0.1]]), certified=True).tolist()
            [[0.25, 0.0]]
        """
        limit = self.certified_limit if certified else self.limit
        largest = float(latents.abs().max()) if latents.numel() else 0.0
        if not largest <= limit:
            raise DataError(
                f"expected latents within {limit:g}, where noise of {self.latent_sigma:g} can be "
                f"added to them exactly, got {largest:g}"
            )
        # Adding zero turns -0 into 0: its sign would tell what was rounded away.
        return (latents / self.step).round().mul(self.step).add(0.0).to(torch.float32)


def choose_lattice(*, latent_sigma: float, size: int, largest: float) -> Lattice:
    """Choose a step: as fine as its slack is of no account, as coarse as the range needs.

    Args:
        latent_sigma: standard deviation of the noise.
        size: coordinates of a latent.
        largest: upper bound of their sizes over all images, as far as known.

    Raises:
        ConfigurationError: for a ``latent_sigma`` that float32 cannot work with.

    Example:
        >>> lattice = choose_lattice(latent_sigma=0.25, size=3072, largest=5.0)
        >>> lattice.step == 2.0**-18, lattice.slack < 0.001 * 0.25, lattice.certified_limit > 50
        (True, True, True)
    """
    if not _SMALLEST <= latent_sigma <= _LARGEST:
        raise ConfigurationError(
            f"wanted latent_sigma from {_SMALLEST:.3g} to {_LARGEST:.3g}, got {latent_sigma}"
        )
    root = math.sqrt(max(1, size))
    wanted = min(latent_sigma * _AIM / root, latent_sigma / SMALLEST_RATIO)
    exponent = math.floor(math.log2(max(wanted, latent_sigma / _FINEST)))
    lattice = Lattice(step=math.ldexp(1.0, exponent), size=size, latent_sigma=latent_sigma)
    if latent_sigma / lattice.step >= _FINEST:
        lattice = _coarser(lattice)
    while largest > lattice.certified_limit:
        wider = _coarser(lattice)
        if wider.slack > _MOST * latent_sigma or latent_sigma / wider.step < SMALLEST_RATIO:
            break  # most images may fit all the same; those that do not are refused
        lattice = wider
    return lattice


def _coarser(lattice: Lattice) -> Lattice:
    return Lattice(step=2 * lattice.step, size=lattice.size, latent_sigma=lattice.latent_sigma)
