"""Activations that keep the gradient's norm."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from latentsmooth.errors import ShapeError

__all__ = [
    "Absolute",
    "FullSort",
    "GroupSort",
    "HouseholderActivation",
    "MaxMin",
    "sorting_network",
]

# Comparisons of whole channel blocks beat torch.sort, which sorts short strided runs one by one.
LARGEST_NETWORK = 16


class MaxMin(nn.Module):
    """Sort channel pairs: the larger of each pair first, then the smaller (GroupSort of size 2).

    Channel ``i`` of the first half pairs with channel ``i`` of the second; an odd last channel
    passes unchanged. A permutation at every point: gradients keep their norm. Where a pair ties,
    the gradient passes as if it were in order.

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
        _check_channels(inputs, None)
        return _sort_blocks(inputs, 2, ((0, 1),))


class GroupSort(nn.Module):
    """Sort groups of channels, the largest first: ``GroupSort(2)`` is `MaxMin`.

    The channels are cut into ``group_size`` consecutive blocks; channel ``i`` of every block
    together form group ``i``. A permutation at every point: gradients keep their norm. Where
    channels tie, the gradient passes along one of the orders they could have been sorted in.

    Args:
        group_size: channels in a group, at least 2; it divides the channels, except that
            an odd last channel passes groups of two unchanged.

    Shapes:
        ``(batch, channels, ...)`` to the same.

    Raises:
        ShapeError: where the group size does not divide the channels.

    Source:
        C. Anil, J. Lucas, R. Grosse, *Sorting out Lipschitz function approximation*,
        arXiv 1811.05381; for groups of up to 16 the comparisons of K. Batcher (1968).

    Example:
        >>> GroupSort(3)(torch.tensor([[1.0, 6.0, 3.0, 4.0, 2.0, 5.0]]))
        tensor([[3., 6., 2., 5., 1., 4.]])
    """

    def __init__(self, group_size: int) -> None:
        super().__init__()
        if group_size < 2:
            raise ShapeError(f"wanted a group size of at least 2, got {group_size}")
        self.group_size = group_size
        self._network = sorting_network(group_size) if group_size <= LARGEST_NETWORK else None

    def forward(self, inputs: Tensor) -> Tensor:
        """Sort the channel groups of ``(batch, channels, ...)``."""
        _check_channels(inputs, None)
        if inputs.shape[1] % self.group_size and self.group_size != 2:
            raise ShapeError(
                f"group size {self.group_size} does not divide the {inputs.shape[1]} channels "
                f"of inputs of shape {tuple(inputs.shape)}"
            )
        if self._network is not None:
            return _sort_blocks(inputs, self.group_size, self._network)
        groups = torch.unflatten(inputs, 1, (self.group_size, -1))
        return groups.sort(dim=1, descending=True).values.flatten(1, 2)

    def extra_repr(self) -> str:
        """The group size."""
        return f"group_size={self.group_size}"


class FullSort(nn.Module):
    """Sort all channels, the largest first: GroupSort with one group.

    A permutation at every point: gradients keep their norm.

    Shapes:
        ``(batch, channels, ...)`` to the same.

    Source:
        C. Anil, J. Lucas, R. Grosse, *Sorting out Lipschitz function approximation*,
        arXiv 1811.05381.

    Example:
        >>> FullSort()(torch.tensor([[1.0, 6.0, 3.0, 4.0]]))
        tensor([[6., 4., 3., 1.]])
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Sort the channels of ``(batch, channels, ...)``."""
        _check_channels(inputs, None)
        return inputs.sort(dim=1, descending=True).values


class HouseholderActivation(nn.Module):
    r"""Reflect each channel pair that falls on the wrong side of a learned line.

    A pair ``z`` with angle ``t`` has the unit normal ``v = (sin t/2, -cos t/2)``:

    .. math:: z \mapsto z + 2 \max(0, -v \cdot z)\, v,

    which is the identity where ``v . z > 0`` and elsewhere the reflection ``I - 2 v v^T =
    [[cos t, sin t], [sin t, -cos t]]``. The two agree on the line, so the map is continuous, and
    either is orthogonal: gradients keep their norm. Channel ``i`` of the first half pairs with
    channel ``i`` of the second; an odd last channel passes unchanged. The initial angle, ``pi/2``,
    is `MaxMin` up to rounding.

    Args:
        channels: channels of the input, at least 2.

    Shapes:
        ``(batch, channels, ...)`` to the same.

    Raises:
        ShapeError: where the input has another number of channels.

    Source:
        S. Singla, S. Singla, S. Feizi, *Improved deterministic l2 robustness on CIFAR-10 and
        CIFAR-100*, arXiv 2108.04062.

    Example:
        >>> layer = HouseholderActivation(4)
        >>> layer(torch.tensor([[1.0, 5.0, 3.0, 2.0]])).detach().round(decimals=3)
        tensor([[3., 5., 1., 2.]])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 2:
            raise ShapeError(f"wanted at least one pair of channels, got {channels}")
        self.channels = channels
        self.angle = nn.Parameter(torch.empty(channels // 2))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Return every angle to ``pi/2``."""
        nn.init.constant_(self.angle, math.pi / 2)

    @property
    def normals(self) -> Tensor:
        """The normals in force, ``(2, pairs)``: of unit length up to the dtype's rounding."""
        half = self.angle.to(_wide(self.angle.dtype)) / 2
        return torch.stack([half.sin(), -half.cos()]).to(self.angle.dtype)

    def forward(self, inputs: Tensor) -> Tensor:
        """Reflect the channel pairs of ``(batch, channels, ...)``."""
        _check_channels(inputs, self.channels)
        pairs = self.channels // 2
        first, second, rest = torch.split(inputs, [pairs, pairs, self.channels % 2], dim=1)
        # A sum with the ramp, not a choice of two matrices: continuous even where the normals
        # are rounded, so that the bound computed from them holds.
        v, w = self.normals.to(inputs.dtype).reshape(2, pairs, *[1] * (inputs.ndim - 2))
        beyond = 2 * torch.relu(-(first * v + second * w))
        parts = [first + beyond * v, second + beyond * w]
        return torch.cat([*parts, rest] if self.channels % 2 else parts, dim=1)

    def extra_repr(self) -> str:
        """The number of channels."""
        return f"{self.channels}"


class Absolute(nn.Module):
    """The absolute value of every coordinate: gradients keep their norm (zero passes none).

    Shapes:
        Any to the same.

    Example:
        >>> Absolute()(torch.tensor([[-2.0, 3.0]]))
        tensor([[2., 3.]])
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Drop the signs."""
        return inputs.abs()


def sorting_network(size: int) -> tuple[tuple[int, int], ...]:
    """Pairs ``(i, j)``, ``i < j``, that sort any list when exchanged in turn.

    Merge exchange: as few comparisons as possible for up to 8 entries.

    Args:
        size: entries of the list.

    Source:
        K. Batcher, *Sorting networks and their applications* (1968), as algorithm M of
        D. Knuth, *The Art of Computer Programming*, volume 3, section 5.2.2.

    Example:
        >>> sorting_network(3)
        ((0, 2), (0, 1), (1, 2))
    """
    pairs: list[tuple[int, int]] = []
    top = 1 << max(size - 1, 0).bit_length() >> 1
    step = top
    while step:
        gap, phase, span = step, 0, top
        while True:
            pairs += [(i, i + gap) for i in range(size - gap) if i & step == phase]
            if span == step:
                break
            gap, phase, span = span - step, step, span >> 1
        step >>= 1
    return tuple(pairs)


def _sort_blocks(inputs: Tensor, blocks: int, network: tuple[tuple[int, int], ...]) -> Tensor:
    """Sort position by position over consecutive blocks of channels; what is left over passes."""
    channels = inputs.shape[1]
    sizes = [channels // blocks] * blocks
    if channels % blocks:
        sizes.append(channels % blocks)
    parts = list(torch.split(inputs, sizes, dim=1))
    # The compiler fuses clamps into fast loops once there are several; lerp is as fast for one.
    exchange = _exchange
    if torch.compiler.is_compiling() and len(network) > 1:
        exchange = _exchange_by_clamp
    for i, j in network:
        parts[i], parts[j] = exchange(parts[i], parts[j])
    return torch.cat(parts, dim=1)


def _exchange(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """The larger and the smaller of two tensors, entry by entry."""
    if not (torch.is_grad_enabled() and (first.requires_grad or second.requires_grad)):
        return torch.maximum(first, second), torch.minimum(first, second)
    # The same values: lerp with a weight of 0 or 1 is exact. Its gradient is a permutation at ties
    # as well, where that of maximum averages, and comes back several times faster.
    ordered = (first >= second).to(first.dtype)
    return torch.lerp(second, first, ordered), torch.lerp(first, second, ordered)


def _exchange_by_clamp(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """The same with the same gradients: at ties, clamp passes all of its first argument's."""
    return first.clamp(min=second), second.clamp(max=first)


def _check_channels(inputs: Tensor, channels: int | None) -> None:
    # Not `in`, which torch.compile cannot answer for a size that it holds open.
    if inputs.ndim < 2 or (channels is not None and channels != inputs.shape[1]):
        wanted = "channels" if channels is None else channels
        raise ShapeError(f"expected (batch, {wanted}, ...), got {tuple(inputs.shape)}")


def _wide(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype.itemsize >= 4 else torch.float32
