"""The dense orthogonal layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentsmooth.errors import ShapeError
from latentsmooth.orthogonal.cached import BuiltWeight
from latentsmooth.orthogonal.matrix import Parametrization, orthogonal_columns, parameter_shape

__all__ = ["OrthogonalLinear"]


class OrthogonalLinear(BuiltWeight):
    """A linear layer whose weight has orthonormal rows or columns, whichever are fewer.

    ``out_features >= in_features`` is an isometry; fewer is a co-isometry.

    Args:
        in_features: size of each input vector.
        out_features: size of each output vector.
        bias: whether to add a learned offset (free for the Lipschitz constant).
        parametrization: how unconstrained parameters become an orthogonal matrix.

    Shapes:
        ``(..., in_features)`` to ``(..., out_features)``.

    Example:
        >>> layer = OrthogonalLinear(8, 3)
        >>> bool(torch.allclose(layer.weight @ layer.weight.T, torch.eye(3), atol=1e-6))
        True
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        parametrization: Parametrization = "cayley",
    ) -> None:
        super().__init__()
        if in_features < 1 or out_features < 1:
            raise ShapeError(f"wanted at least one feature, got {in_features} -> {out_features}")
        self.in_features = in_features
        self.out_features = out_features
        self.parametrization: Parametrization = parametrization
        rows, columns = max(in_features, out_features), min(in_features, out_features)
        self.parameter = nn.Parameter(torch.empty(parameter_shape(rows, columns, parametrization)))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters; the bias returns to zero."""
        nn.init.normal_(self.parameter, std=1 / math.sqrt(self.parameter.shape[0]))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def build_weight(self, dtype: torch.dtype) -> Tensor:
        """Returns: ``(out_features, in_features)`` of that dtype."""
        columns = min(self.in_features, self.out_features)
        q = orthogonal_columns(
            self.parameter.to(dtype), columns=columns, method=self.parametrization
        )
        return q if self.out_features >= self.in_features else q.mT

    def weight_parameters(self) -> list[Tensor]:
        """The matrix behind the weight."""
        return [self.parameter]

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the layer: ``(..., in_features)`` to ``(..., out_features)``."""
        if inputs.shape[-1] != self.in_features:
            raise ShapeError(
                f"expected inputs of shape (..., {self.in_features}), got {tuple(inputs.shape)}"
            )
        return F.linear(inputs, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Sizes, as ``nn.Linear`` prints them."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, parametrization={self.parametrization}"
        )
