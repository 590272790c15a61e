"""Folding: the orthonormal part of a head's first linear map moves before the noise."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from latentsmooth.lipschitz import lipschitz_bound
from latentsmooth.orthogonal import OrthogonalConv2d, OrthogonalLinear
from latentsmooth.orthogonal.matrix import outside_autocast
from latentsmooth.smoothing.prefix import (
    Affine,
    coisometric_prefix,
    flattens_all,
    has_hooks,
    links,
    multiplications,
)

__all__ = ["MULTIPLICATIONS_PER_NORMAL", "Folded", "fold"]

MULTIPLICATIONS_PER_NORMAL = 8
"""What drawing and adding one normal is taken to cost."""
BOUND_SLACK = 1e-6
"""How much the encoder's verified bound may grow."""
NEAR_ORTHONORMAL = 1e-6
"""Entries by which ``W W^T`` may differ from the identity for its factor to be left out."""

_Dense = nn.Linear | OrthogonalLinear
_Patches = nn.Conv2d | OrthogonalConv2d


@dataclass(frozen=True)
class Folded:
    """An encoder and a head that share the work differently.

    Attributes:
        encoder: the encoder and what moved into it, in evaluation mode.
        head: the rest of the head, in evaluation mode.
        latent_shape: of one latent between them.
        what: what moved and what it saves, in one line.
    """

    encoder: nn.Module
    head: nn.Module
    latent_shape: tuple[int, ...]
    what: str


@dataclass(frozen=True)
class _Split:
    """A chain cut in two: what moves, what stays, and what both of it cost a draw."""

    moved: list[nn.Module]
    stays: list[nn.Module]
    shape: tuple[int, ...]
    saved: int
    name: str


@torch.no_grad()
def fold(
    encoder: nn.Module,
    head: nn.Module,
    *,
    latent_shape: Sequence[int],
    dtype: torch.dtype = torch.float64,
) -> Folded | None:
    r"""Move the orthonormal part of the head's first linear map into the encoder.

    Let the head be ``g'(W z + b)`` with ``W`` of k rows and m > k columns, and ``W = C Q`` with
    orthonormal rows in ``Q``. Then ``Q e`` of ``e ~ N(0, sigma^2 I_m)`` is ``N(0, sigma^2 I_k)``:

    .. math:: g(z + e) = g'(C (Q z + Q e) + b) \sim g'(C (Q z + e') + b),

    so that the encoder ``Q h(x)`` with the head ``u -> g'(C u + b)`` and noise in k dimensions is
    the same smoothed classifier, for less noise and arithmetic. It is certified as soundly with
    any rounding, because what divides the radius is the new encoder's own verified bound.

    Folded are, at the head's beginning: co-isometric orthogonal layers, with reshaping, shifts
    and Haar transforms between them, which move as they are; and then, after elementwise affine
    layers, a dense layer or a convolution whose stride is its kernel size, if it has fewer
    outputs than inputs. Nothing is folded that would cost more multiplications a draw, counting
    eight for each normal.

    Args:
        encoder: any encoder; left as it is.
        head: a linear layer, or ``nn.Sequential`` modules, also nested; left as it is.
        latent_shape: of one latent.
        dtype: of the new encoder, in which certification runs it.

    Returns:
        Copies that share nothing with the arguments, the head in its own dtype; or ``None`` where
        nothing is gained, or where the moved part's verified bound exceeds ``1 + 1e-6``.

    Source:
        Our own; the factorisation is the LQ decomposition, ``C`` the Cholesky factor of
        ``W W^T`` up to signs.

    Example:
        >>> made = fold(nn.Flatten(), nn.Sequential(nn.Linear(64, 10)), latent_shape=(64,))
        >>> made.latent_shape, made.what
        ((10,), 'Linear(64 -> 10) before the noise: 64 -> 10 normals a draw, -972 multiplications')
    """
    chain = links(head)
    if chain is None:
        return None
    device = next((each.device for each in (*head.parameters(), *head.buffers())), None)
    like = torch.empty(0, dtype=dtype, device=device or "cpu")
    shape = tuple(latent_shape)
    with outside_autocast(like.device):
        # One copy of all, so that a module which stands twice stays one.
        chain = [part.eval() for part in copy.deepcopy(chain)]
        whole = _whole_layers(chain, shape, like)
        rest = whole or _Split([], chain, shape, 0, "")
        factored = _factored(rest, like)
        split = factored or whole
        if split is None or split.saved <= 0:
            return None
        added = nn.Sequential(*split.moved).to(dtype).eval().requires_grad_(False)
        if not lipschitz_bound(added, input_shape=shape) <= 1 + BOUND_SLACK:
            return None
        own = copy.deepcopy(encoder).to(dtype)
    what = (
        f"{split.name} before the noise: {math.prod(shape):,} -> {math.prod(split.shape):,} "
        f"normals a draw, -{split.saved:,} multiplications"
    )
    return Folded(
        nn.Sequential(own, *added).eval().requires_grad_(False),
        nn.Sequential(*split.stays).eval().requires_grad_(False),
        split.shape,
        what,
    )


def _whole_layers(chain: list[nn.Module], shape: tuple[int, ...], like: Tensor) -> _Split | None:
    """Co-isometric layers at the beginning, as they are."""
    trial = [part.to(like.dtype) for part in copy.deepcopy(chain)]
    count, shapes = coisometric_prefix(trial, shape, like)
    arithmetic = [multiplications(*each) for each in zip(chain, shapes[1:], strict=False)]
    if count == 0:
        return None
    saved = sum(arithmetic) + MULTIPLICATIONS_PER_NORMAL * (
        math.prod(shape) - math.prod(shapes[-1])
    )
    names = [_name(part) for part, cost in zip(chain, arithmetic, strict=False) if cost]
    moved = trial[:count]
    return _Split(moved, chain[count:], shapes[-1], saved, ", ".join(names) or "reshaping")


def _factored(before: _Split, like: Tensor) -> _Split | None:
    """The next dense layer or patchwise convolution, split into ``C Q``."""
    shape = before.shape
    affine = Affine.identity(shape)
    flatten: list[nn.Module] = []
    for position, module in enumerate(before.stays):
        if has_hooks(module):
            return None
        if flattens_all(module):
            affine = affine.flattened(shape)
            shape = (math.prod(shape),)
            flatten = [nn.Flatten()]
            continue
        following = affine.then(module)
        if following is not None:
            affine = following
            continue
        found = _layers(module, affine, shape, like)
        if found is None:
            return None
        inner, outer, after = found
        saved = multiplications(module, after) + MULTIPLICATIONS_PER_NORMAL * (
            math.prod(shape) - math.prod(after)
        )
        saved -= sum(multiplications(part, after) for part in outer)
        name = ", ".join(part for part in (before.name, _name(module)) if part)
        return _Split(
            [*before.moved, *flatten, inner],
            [*outer, *before.stays[position + 1 :]],
            after,
            before.saved + saved,
            name,
        )
    return None


def _layers(
    module: nn.Module, affine: Affine, shape: tuple[int, ...], like: Tensor
) -> tuple[nn.Module, list[nn.Module], tuple[int, ...]] | None:
    """``Q`` for the encoder, ``C`` for the head (none if it is the identity), and a latent."""
    kind = type(module)
    if isinstance(module, _Dense) and kind in (nn.Linear, OrthogonalLinear):
        if shape != (module.in_features,):
            return None
        weight = module.weight.detach()
        rows = weight.to("cpu", torch.float64)
        split = _factorise(rows * affine.scale, rows @ affine.shift, module.bias)
        if split is None:
            return None
        return _dense_layers(split, weight, like)
    if isinstance(module, _Patches) and kind in (nn.Conv2d, OrthogonalConv2d):
        if len(shape) != 3 or shape[0] != module.in_channels or not _is_patchwise(module):
            return None
        if min(s // k for s, k in zip(shape[1:], module.kernel_size, strict=True)) < 1:
            return None
        weight = module.weight.detach()
        kernel = weight.to("cpu", torch.float64)
        shift = (kernel * affine.shift).sum(dim=(1, 2, 3))
        split = _factorise((kernel * affine.scale).flatten(1), shift, module.bias)
        if split is None:
            return None
        sides = [s // k for s, k in zip(shape[1:], module.kernel_size, strict=True)]
        inner, outer, _ = _patch_layers(split, weight, like)
        return inner, outer, (module.out_channels, *sides)
    return None


@dataclass(frozen=True)
class _Factors:
    """``W = C Q`` and a bias, float64; ``C`` is ``None`` where it is the identity."""

    outer: Tensor | None
    inner: Tensor
    bias: Tensor | None


def _factorise(weight: Tensor, shift: Tensor, bias: Tensor | None) -> _Factors | None:
    """LQ of a wide matrix; rows stay orthonormal in ``Q`` whatever the rank."""
    rows, columns = weight.shape
    if rows >= columns or not bool(weight.isfinite().all()):
        return None
    offset = shift if bias is None else shift + bias.detach().to("cpu", torch.float64)
    kept = offset if bias is not None or bool(offset.any()) else None
    q, r = torch.linalg.qr(weight.mT)
    signs = torch.where(r.diagonal() < 0, -1.0, 1.0).to(torch.float64)
    outer, inner = r.mT * signs, (q * signs).mT.contiguous()
    near = outer - torch.eye(rows, dtype=torch.float64)
    return _Factors(None if float(near.abs().max()) <= NEAR_ORTHONORMAL else outer, inner, kept)


def _dense_layers(
    split: _Factors, weight: Tensor, like: Tensor
) -> tuple[nn.Module, list[nn.Module], tuple[int, ...]]:
    rows, columns = split.inner.shape
    first = split.bias if split.outer is None else None
    inner = _filled(nn.Linear(columns, rows, first is not None), split.inner, first, like)
    if split.outer is None:
        return inner, [], (rows,)
    second = nn.Linear(rows, rows, split.bias is not None)
    return inner, [_filled(second, split.outer, split.bias, weight)], (rows,)


def _patch_layers(
    split: _Factors, weight: Tensor, like: Tensor
) -> tuple[nn.Module, list[nn.Module], tuple[int, ...]]:
    rows, channels, *taps = weight.shape
    size = (taps[0], taps[1])
    first = split.bias if split.outer is None else None
    made = nn.Conv2d(channels, rows, size, stride=size, bias=first is not None)
    inner = _filled(made, split.inner.reshape(weight.shape), first, like)
    if split.outer is None:
        return inner, [], ()
    second = nn.Conv2d(rows, rows, 1, bias=split.bias is not None)
    return inner, [_filled(second, split.outer[:, :, None, None], split.bias, weight)], ()


def _filled(
    layer: nn.Linear | nn.Conv2d, weight: Tensor, bias: Tensor | None, like: Tensor
) -> nn.Module:
    layer.weight = nn.Parameter(weight.to(like), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.to(like), requires_grad=False)
    return layer.eval()


def _is_patchwise(module: _Patches) -> bool:
    """Whether every pixel is read once: the stride is the kernel's size."""
    if isinstance(module, nn.Conv2d):
        padded = any(module._reversed_padding_repeated_twice)
    else:
        padded = any(map(any, module.margins))
    plain = module.groups == 1 and tuple(module.dilation) == (1, 1) and not padded
    return plain and tuple(module.stride) == tuple(module.kernel_size)


def _name(module: nn.Module) -> str:
    if isinstance(module, nn.Linear | OrthogonalLinear):
        return f"{type(module).__name__}({module.in_features} -> {module.out_features})"
    if hasattr(module, "out_channels"):
        return f"{type(module).__name__}({module.in_channels} -> {module.out_channels})"
    return type(module).__name__
