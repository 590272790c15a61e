"""What all orthogonal convolutions share: their factors, and the kernel that these make."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor, nn

from latentsmooth.errors import ShapeError
from latentsmooth.orthogonal.cached import BuiltWeight, Factor
from latentsmooth.orthogonal.factorisation import peel_factors
from latentsmooth.orthogonal.geometry import Geometry
from latentsmooth.orthogonal.initialisation import (
    Initialisation,
    check_initialisation,
    draw_orthonormal,
)
from latentsmooth.orthogonal.kernel import (
    narrow_paraunitary_kernel,
    polyphase,
    strided_from_polyphase,
)
from latentsmooth.orthogonal.matrix import Parametrization, parameter_shape

__all__ = ["ParaunitaryWeight"]


class ParaunitaryWeight(BuiltWeight):
    """A convolution kernel as a product of orthogonal factors, channels cut to what is wanted.

    Args:
        pixel_channels: channels on the side of the pixels.
        strided_channels: channels on the other side, one position for each stride.
        geometry: sizes of the kernel.
        groups: blocks of channels.
        parametrization: how unconstrained parameters become orthogonal factors.
        init: distribution of the factors at the start.
    """

    signs: Tensor

    def __init__(
        self,
        pixel_channels: int,
        strided_channels: int,
        geometry: Geometry,
        groups: int,
        parametrization: Parametrization,
        init: Initialisation,
    ) -> None:
        super().__init__()
        check_initialisation(init)
        self.geometry = geometry
        self.groups = groups
        self.parametrization = parametrization
        self.init: Initialisation = init
        self._phases = pixel_channels // groups * math.prod(geometry.stride)
        self._outputs = strided_channels // groups
        self._narrow = min(self._phases, self._outputs)
        channels = self.channels = max(self._phases, self._outputs)
        self._degrees = tuple(taps - 1 for taps in geometry.taps)
        blocks = (groups,) if groups > 1 else ()
        mixing = parameter_shape(channels, self._narrow, parametrization)
        bases = parameter_shape(channels, channels // 2, parametrization)
        self.mixing = nn.Parameter(torch.empty(*blocks, *mixing))
        # A kernel of one tap has no projections, and a parameter without use is an error to some.
        self.bases = (
            nn.Parameter(torch.empty(*blocks, sum(self._degrees), *bases))
            if any(self._degrees)
            else None
        )
        self.register_buffer("signs", torch.ones(*blocks, self._narrow))

    def reset_factors(self) -> None:
        """Draw the factors anew from `init`."""
        if self.mixing.is_meta:
            return
        drawn = [
            (
                draw_orthonormal(self.channels, self._narrow, self.init),
                *(self._draw_bases(degree) for degree in self._degrees),
            )
            for _ in range(self.groups)
        ]
        stacks = [torch.stack([matrix for matrix, *_ in drawn])]
        stacks.append(torch.stack([torch.cat(parts) for _, *parts in drawn]))
        for factor, columns in zip(self.factors(), stacks, strict=False):
            self.set_factor(factor, columns)

    def _draw_bases(self, degree: int) -> Tensor:
        rank = self.channels // 2
        # Two equal factors undo each other's shift: pairs of them leave the identity in place.
        repeats = 2 if self.init == "identity" else 1
        draws = [
            draw_orthonormal(self.channels, rank, self.init) for _ in range(-(-degree // repeats))
        ]
        drawn = [basis for basis in draws for _ in range(repeats)][:degree]
        return torch.stack(drawn) if drawn else torch.empty(0, self.channels, rank).double()

    def factors(self) -> list[Factor]:
        """The mixing matrix, and the bases of the projections (whose signs cancel)."""
        mixing = Factor(self.mixing, self._narrow, self.signs)
        if self.bases is None:
            return [mixing]
        return [mixing, Factor(self.bases, self.channels // 2, None)]

    def assembly_key(self) -> Hashable:
        """All that `assemble` reads."""
        return self._phases, self._outputs, self.groups, self.geometry

    def assemble(self, matrices: Sequence[Tensor]) -> Tensor:
        """Returns: ``(..., strided channels, pixel channels / groups, *kernel_size)``."""
        mixing, *rest = matrices
        none = mixing.new_empty(*mixing.shape[:-2], 0, self.channels, self.channels // 2)
        bases = rest[0] if rest else none
        by_axis = torch.split(bases, list(self._degrees), dim=-3)
        growing = self._narrow == self._phases
        kernel = narrow_paraunitary_kernel(mixing, by_axis, growing=growing)
        if self.groups > 1:
            axis = kernel.ndim - 3 - len(self._degrees)
            kernel = kernel.flatten(axis, axis + 1)
        kernel = strided_from_polyphase(kernel, self.geometry.stride)
        # Through one axis, since axes of one tap may have kept strides that no convolution expects.
        return kernel.flatten().view(kernel.shape)

    def take_apart(self, weight: Tensor) -> list[Tensor]:
        """Find mixing matrix and bases of a kernel by peeling off one factor after another.

        Raises:
            ShapeError: where the shape differs, or the kernel is no product of such factors.
        """
        expected = (self._outputs * self.groups, self._phases // math.prod(self.geometry.stride))
        if tuple(weight.shape) != (*expected, *self.geometry.kernel_size):
            raise ShapeError(
                f"expected a kernel of shape {(*expected, *self.geometry.kernel_size)}, "
                f"got {tuple(weight.shape)}"
            )
        attempts = [self._peel(weight, tolerance) for tolerance in RANK_TOLERANCES]
        error, found = min(attempts, key=lambda attempt: attempt[0])
        if not error <= TAKEN_APART_TOLERANCE:
            raise ShapeError(
                "the kernel is no separable product of paraunitary factors of this size: the "
                f"nearest found differs by {error:.1e}"
            )
        return found

    def _peel(self, weight: Tensor, tolerance: float) -> tuple[float, list[Tensor]]:
        """Factors of all groups, and the largest error of the kernel that they make."""
        parts = [
            peel_factors(
                polyphase(block[None], self.geometry.stride)[0],
                self.channels // 2,
                transposed=self._narrow != self._phases,
                tolerance=tolerance,
            )
            for block in weight.chunk(self.groups)
        ]
        found = [torch.stack(matrices) for matrices in zip(*parts, strict=True)]
        built = self.assemble([each if self.groups > 1 else each[0] for each in found])
        return float((built - weight).abs().max()), found


# Which tap a factor fully spans is a matter of rank; small kernels come close to losing some.
RANK_TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-6)
TAKEN_APART_TOLERANCE = 1e-4
