"""Activations that keep the gradient's norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latentsmooth.errors import ShapeError

__all__ = ["MaxMin"]


class MaxMin(nn.Module):
    """Sort channel pairs: the larger of each pair first, then the smaller (GroupSort of size 2).

    Channel ``i`` of the first half pairs with channel ``i`` of the second; an odd last channel
    passes unchanged. A permutation at every point: gradients keep their norm.

    Shapes:
        ``(batch, channels, ...)`` to the same.

    Source:
        C. Anil, J. Lucas, R. Grosse, *Sorting out Lipschitz function approximation*,
        arXiv 1811.05381.

    Example:
        >>> MaxMin()(torch.tensor([[1.0, 5.0, 3.0, 2.0, 9.0]]))
        tensor([[3., 5., 1., 2., 9.]])
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Sort the channel pairs of ``(batch, channels, ...)``."""
        if inputs.ndim < 2:
            raise ShapeError(f"expected (batch, channels, ...), got {tuple(inputs.shape)}")
        half = inputs.shape[1] // 2
        first, second = inputs[:, :half], inputs[:, half : 2 * half]
        parts = [torch.maximum(first, second), torch.minimum(first, second)]
        if inputs.shape[1] % 2:
            parts.append(inputs[:, 2 * half :])
        return torch.cat(parts, dim=1)
