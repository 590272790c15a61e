"""The dense orthogonal layer."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.orthogonal.cached import BuiltWeight, Factor
from latentsmooth.orthogonal.initialisation import (
    Initialisation,
    check_initialisation,
    draw_orthonormal,
)
from latentsmooth.orthogonal.matrix import Parametrization, parameter_shape

__all__ = ["OrthogonalLinear"]


class OrthogonalLinear(BuiltWeight):
    """A linear layer whose weight has orthonormal rows or columns, whichever are fewer.

    ``out_features >= in_features`` is an isometry; fewer is a co-isometry.

    Args:
        in_features: size of each input vector.
        out_features: size of each output vector.
        bias: whether to add a learned offset (free for the Lipschitz constant).
        parametrization: how unconstrained parameters become an orthogonal matrix.
        init: distribution of the matrix at the start.

    Shapes:
        ``(..., in_features)`` to ``(..., out_features)``.

    Example:
        >>> layer = OrthogonalLinear(8, 3)
        >>> bool(torch.allclose(layer.weight @ layer.weight.T, torch.eye(3), atol=1e-5))
        True
    """

    signs: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        parametrization: Parametrization = "cayley",
        init: Initialisation = "haar",
    ) -> None:
        super().__init__()
        if in_features < 1 or out_features < 1:
            raise ShapeError(f"wanted at least one feature, got {in_features} -> {out_features}")
        check_initialisation(init)
        self.in_features = in_features
        self.out_features = out_features
        self.parametrization = parametrization
        self.init: Initialisation = init
        rows, columns = max(in_features, out_features), min(in_features, out_features)
        self.parameter = nn.Parameter(torch.empty(parameter_shape(rows, columns, parametrization)))
        self.register_buffer("signs", torch.ones(columns))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        self.reset_parameters()

    @property
    def is_isometry(self) -> bool:
        """Whether the linear part keeps every norm."""
        return self.out_features >= self.in_features

    def reset_parameters(self) -> None:
        """Draw a new matrix; the bias returns to zero."""
        if not self.parameter.is_meta:
            rows = max(self.in_features, self.out_features)
            drawn = draw_orthonormal(rows, self.signs.shape[0], self.init)
            self.set_factor(self.factors()[0], drawn)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def factors(self) -> list[Factor]:
        """The matrix."""
        return [Factor(self.parameter, self.signs.shape[0], self.signs)]

    def assembly_key(self) -> Hashable:
        """Whether the matrix is transposed."""
        return self.is_isometry

    def assemble(self, matrices: Sequence[Tensor]) -> Tensor:
        """Returns: ``(..., out_features, in_features)``."""
        return matrices[0] if self.is_isometry else matrices[0].mT

    def take_apart(self, weight: Tensor) -> list[Tensor]:
        """The matrix itself.

        Raises:
            ShapeError: where the shape differs.
        """
        if tuple(weight.shape) != (self.out_features, self.in_features):
            raise ShapeError(
                f"expected a weight of shape {(self.out_features, self.in_features)}, "
                f"got {tuple(weight.shape)}"
            )
        return [weight if self.is_isometry else weight.mT]

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the layer: ``(..., in_features)`` to ``(..., out_features)``."""
        if inputs.shape[-1] != self.in_features:
            raise ShapeError(
                f"expected inputs of shape (..., {self.in_features}), got {tuple(inputs.shape)}"
            )
        return F.linear(inputs, self.weight, self.bias)

    def inverse(self, outputs: Tensor) -> Tensor:
        """The inputs behind outputs of an isometry: take the bias off and apply the transpose.

        Raises:
            ConfigurationError: for a layer that narrows.
        """
        if not self.is_isometry:
            raise ConfigurationError(
                f"only an isometry has an inverse, got {self.in_features} -> "
                f"{self.out_features} features"
            )
        centred = outputs if self.bias is None else outputs - self.bias
        return centred @ self.weight

    def extra_repr(self) -> str:
        """Sizes, as ``nn.Linear`` prints them."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, parametrization={self.parametrization}"
        )
