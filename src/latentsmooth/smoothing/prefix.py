"""The layers that a head begins with, read off one by one: which are linear, and how."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from latentsmooth.orthogonal import (
    Center,
    ChannelNormalize,
    ChannelShuffle,
    HaarLowPass,
    HaarWavelet,
    InvertibleDownsample,
    InvertibleUpsample,
    OrthogonalConv1d,
    OrthogonalConv2d,
    OrthogonalConv3d,
    OrthogonalLinear,
    ZeroPadToMultiple,
)

__all__ = [
    "BATCH_NORMS",
    "Affine",
    "batch_norm_constants",
    "coisometric_prefix",
    "flattens_all",
    "has_hooks",
    "links",
    "multiplications",
    "output_shape",
]

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_TRANSPARENT = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
_REARRANGING = (
    ChannelShuffle,
    HaarWavelet,
    InvertibleDownsample,
    InvertibleUpsample,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
)
_CONVOLUTIONS = (OrthogonalConv1d, OrthogonalConv2d, OrthogonalConv3d)


def links(module: nn.Module) -> list[nn.Module] | None:
    """The modules of a chain in order, nested ``nn.Sequential`` unrolled.

    Returns:
        The modules (one for what is no chain), or ``None`` where hooks hang on a chain.
    """
    if type(module) is not nn.Sequential:
        return [module]
    if has_hooks(module):
        return None
    unrolled = [links(child) for child in module]
    if any(part is None for part in unrolled):
        return None
    return [link for part in unrolled if part is not None for link in part]


def has_hooks(module: nn.Module) -> bool:
    """Whether a hook, or a ``forward`` put on the instance, may change what a module computes."""
    patched = "forward" in vars(module)
    return bool(module._forward_hooks or module._forward_pre_hooks or patched)


def flattens_all(module: nn.Module) -> bool:
    """Whether a module makes one vector of each sample."""
    return type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1)


@torch.no_grad()
def output_shape(module: nn.Module, shape: tuple[int, ...], like: Tensor) -> tuple[int, ...]:
    """Shape of one sample after a module in evaluation mode, found by running it."""
    made: Tensor = module(like.new_zeros(1, *shape))
    return tuple(made.shape[1:])


def coisometric_prefix(
    chain: list[nn.Module], shape: tuple[int, ...], like: Tensor
) -> tuple[int, list[tuple[int, ...]]]:
    """How many leading modules are co-isometries up to a shift, and the shapes between them.

    A co-isometry ``W`` has orthonormal rows: it maps ``N(0, sigma^2 I)`` to ``N(0, sigma^2 I)``.
    So do its products.

    Args:
        chain: modules in evaluation mode.
        shape: of one sample.
        like: a tensor of the dtype and on the device in which the modules run.

    Returns:
        The number ``n``, and ``n + 1`` shapes.
    """
    shapes = [shape]
    for module in chain:
        if has_hooks(module):
            break
        after = _after_coisometry(module, shapes[-1], like)
        if after is None:
            break
        shapes.append(after)
    return len(shapes) - 1, shapes


def _after_coisometry(
    module: nn.Module, shape: tuple[int, ...], like: Tensor
) -> tuple[int, ...] | None:
    kind = type(module)
    if kind in _TRANSPARENT:
        return shape
    if flattens_all(module):
        return (math.prod(shape),)
    if isinstance(module, OrthogonalLinear) and kind is OrthogonalLinear and len(shape) == 1:
        narrows = module.out_features <= module.in_features
    elif isinstance(module, _CONVOLUTIONS) and kind in _CONVOLUTIONS:
        # At zero borders rows are shorter than one.
        whole = module.padding_mode == "circular" or not any(map(any, module.margins))
        narrows = whole and module.out_channels <= module.in_channels * math.prod(module.stride)
    else:
        narrows = kind in (Center, HaarLowPass, ZeroPadToMultiple, *_REARRANGING)
    if not narrows:
        return None
    after = output_shape(module, shape, like)
    # Padding with zeros adds coordinates in which there would be no noise.
    return None if math.prod(after) > math.prod(shape) else after


def multiplications(module: nn.Module, after: tuple[int, ...]) -> int:
    """Multiplications of a linear module for one sample, given its output's shape."""
    if isinstance(module, nn.Linear | OrthogonalLinear):
        return module.in_features * module.out_features
    weight = getattr(module, "weight", None)
    if isinstance(module, (nn.Conv2d, *_CONVOLUTIONS)) and isinstance(weight, Tensor):
        return weight.numel() * math.prod(after[1:])
    return 0


@dataclass(frozen=True, slots=True)
class Affine:
    """A map ``x -> scale x + shift`` of each coordinate.

    Attributes:
        scale: float64 on the CPU, broadcastable to the sample's shape.
        shift: likewise.
    """

    scale: Tensor
    shift: Tensor

    @classmethod
    def identity(cls, shape: tuple[int, ...]) -> Affine:
        """The map that changes nothing."""
        ones = torch.ones(shape[0], *[1] * (len(shape) - 1), dtype=torch.float64)
        return cls(ones, torch.zeros_like(ones))

    def then(self, module: nn.Module) -> Affine | None:
        """The map followed by a module in evaluation mode; ``None`` where that is not affine."""
        found = _constants(module)
        if found is None:
            return None
        scale, shift = (
            each.detach().to("cpu", torch.float64).reshape(-1, *[1] * (self.scale.ndim - 1))
            for each in found
        )
        return Affine(self.scale * scale, self.shift * scale + shift)

    def flattened(self, shape: tuple[int, ...]) -> Affine:
        """The same map of samples of this shape as vectors."""
        return Affine(*(each.expand(shape).flatten() for each in (self.scale, self.shift)))


def _constants(module: nn.Module) -> tuple[Tensor, Tensor] | None:
    kind = type(module)
    if kind in _TRANSPARENT:
        return torch.ones(1), torch.zeros(1)
    if isinstance(module, Center) and kind is Center:
        return torch.ones_like(module.mean), -module.mean
    if isinstance(module, ChannelNormalize) and kind is ChannelNormalize:
        mean, std = module.mean.to("cpu", torch.float64), module.std.to("cpu", torch.float64)
        return 1 / std, -mean / std
    if kind in BATCH_NORMS and module.running_mean is not None:
        return batch_norm_constants(module)
    return None


def batch_norm_constants(module: nn.Module) -> tuple[Tensor, Tensor]:
    """Scale and shift of a batch norm with running statistics: ``(features,)`` float64, CPU."""
    norm: nn.BatchNorm2d = module  # type: ignore[assignment]
    ones = torch.ones(norm.num_features)
    mean, variance, weight, bias = (
        (default if each is None else each).detach().to("cpu", torch.float64)
        for each, default in (
            (norm.running_mean, 0 * ones),
            (norm.running_var, ones),
            (norm.weight, ones),
            (norm.bias, 0 * ones),
        )
    )
    scale = weight / (variance + norm.eps).sqrt()
    return scale, bias - mean * scale
