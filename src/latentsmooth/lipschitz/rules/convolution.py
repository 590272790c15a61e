"""The norm of a convolution, from its kernel, for any image size."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentsmooth.errors import UnverifiedModule
from latentsmooth.lipschitz.registry import register_rule
from latentsmooth.lipschitz.rules.rounding import norm_from_square
from latentsmooth.orthogonal import OrthogonalConv2d

__all__ = ["convolution_bound"]


def convolution_bound(weight: Tensor, stride: tuple[int, int] = (1, 1)) -> float:
    r"""Upper bound of the spectral norm of a 2-D convolution.

    With ``R_t`` the kernel's channel autocorrelation at lag ``t``, after pixel-unshuffling by the
    stride,

    .. math:: \|conv_W\|^2 \le 1 + \sum_t \| R_t - [t = 0] I \|_F,

    for any image size, circular or zero padding and any dilation: the norm of the residual
    operator is at most the sum of its taps' norms. Tight for near-orthogonal kernels; for others
    the sum over taps of ``\|W_s\|_F`` may be smaller and is used where it is.

    Args:
        weight: ``(o, i, kh, kw)``, any float dtype; taken as it is, in float64.
        stride: ``(sh, sw)``.

    Returns:
        The bound, with the rounding error of its own computation added.

    Source:
        The residual argument is elementary; kernels as in arXiv 2106.09121.

    Example:
        >>> round(convolution_bound(torch.eye(4).reshape(4, 4, 1, 1)), 9)
        1.0
    """
    kernel = polyphase(weight.detach().to("cpu", torch.float64), stride)
    if kernel.shape[0] > kernel.shape[1]:
        kernel = kernel.transpose(0, 1)
    residual = autocorrelation(kernel)
    channels, _, lags_h, lags_w = residual.shape
    residual[:, :, lags_h // 2, lags_w // 2] -= torch.eye(channels, dtype=torch.float64)
    by_lag = float(residual.flatten(0, 1).norm(dim=0).sum())
    by_tap = float(kernel.flatten(0, 1).norm(dim=0).sum())
    # Every entry of every lag is a sum of at most numel / channels products, and all are summed.
    terms = kernel.numel() * lags_h * lags_w
    return min(norm_from_square(1 + by_lag, terms=terms), norm_from_square(by_tap**2, terms=terms))


def polyphase(weight: Tensor, stride: tuple[int, int]) -> Tensor:
    """The stride-1 kernel over pixel-unshuffled channels: ``(o, i sh sw, ceil(kh/sh), ...)``."""
    sh, sw = stride
    out_channels, in_channels, kh, kw = weight.shape
    padded = F.pad(weight, (0, -kw % sw, 0, -kh % sh))
    split = padded.reshape(
        out_channels, in_channels, padded.shape[2] // sh, sh, padded.shape[3] // sw, sw
    )
    return split.permute(0, 1, 3, 5, 2, 4).reshape(
        out_channels, in_channels * sh * sw, padded.shape[2] // sh, padded.shape[3] // sw
    )


def autocorrelation(kernel: Tensor) -> Tensor:
    """``R_t = sum_s W_s W_{s+t}^T``: ``(o, i, kh, kw)`` to ``(o, o, 2 kh - 1, 2 kw - 1)``."""
    kh, kw = kernel.shape[2:]
    return F.conv2d(kernel, kernel, padding=(kh - 1, kw - 1))


@register_rule(OrthogonalConv2d)
def orthogonal_convolution(module: OrthogonalConv2d) -> float:
    """The kernel in force, in the dtype in force; groups are bounded one by one."""
    with torch.no_grad():
        groups = module.weight.chunk(module.groups)
    return max(convolution_bound(weight, module.stride) for weight in groups)


@register_rule(nn.Conv2d)
def plain_convolution(module: nn.Conv2d) -> float:
    """A plain convolution with zero or circular padding; groups are bounded one by one."""
    stride, dilation = _pair(module.stride), _pair(module.dilation)
    if module.padding_mode not in ("zeros", "circular"):
        raise UnverifiedModule(
            f"a convolution with padding_mode={module.padding_mode!r} repeats pixels and has no "
            "rule; use 'zeros' or 'circular'"
        )
    if max(stride) > 1 and max(dilation) > 1:
        raise UnverifiedModule(
            f"a convolution with stride {stride} and dilation {dilation} together has no rule"
        )
    if module.padding_mode == "circular":
        _refuse_repeated_pixels(module, dilation)
        # Where the stride does not divide the image, wrapped phases do not line up; the
        # subsampled stride-1 convolution is what holds for every size.
        stride = (1, 1)
    groups = module.weight.detach().chunk(module.groups)
    return max(convolution_bound(weight, stride) for weight in groups)


def _refuse_repeated_pixels(module: nn.Conv2d, dilation: tuple[int, int]) -> None:
    """Circular padding beyond the kernel's reach yields some outputs twice."""
    # What forward pads by: (left, right, top, bottom), fixed when the module was made.
    margins = module._reversed_padding_repeated_twice
    sides = (margins[2] + margins[3], margins[0] + margins[1])
    for total, size, step in zip(sides, module.kernel_size, dilation, strict=True):
        if total > step * (size - 1):
            raise UnverifiedModule(
                f"circular padding by {total} pixels in all repeats outputs of a kernel of "
                f"{size} with dilation {step} and has no rule; use at most {step * (size - 1)}"
            )


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    return values[0], values[1]
