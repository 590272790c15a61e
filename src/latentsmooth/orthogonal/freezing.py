"""Trained orthogonal layers as plain ones, their kernels baked in."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from latentsmooth.orthogonal.convolution_layer import ConvolutionLayer
from latentsmooth.orthogonal.linear import OrthogonalLinear
from latentsmooth.orthogonal.padding import Margins

__all__ = ["filled", "freeze"]

Plain = TypeVar("Plain", bound=nn.Module)

_PLAIN = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_PLAIN_TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_ZERO_PADS = {1: nn.ConstantPad1d, 2: nn.ConstantPad2d, 3: nn.ConstantPad3d}
_CIRCULAR_PADS = {1: nn.CircularPad1d, 2: nn.CircularPad2d, 3: nn.CircularPad3d}


def freeze(module: nn.Module) -> nn.Module:
    """Copy a network with its orthogonal layers replaced by plain ``nn.Conv2d``, ``nn.Linear``.

    The copy is in evaluation mode, needs nothing of this package where a layer stood, and gives
    the same outputs to the bit for contiguous images. (For channels-last ones circular padding is
    slower in ``nn.Conv2d``, which gives the format up, and the last bit may differ.) Use it for
    export and for other tools. Margins that a plain convolution cannot express become a padding
    or cropping layer beside it.

    Args:
        module: a network, or a single layer; it stays as it is.

    Returns:
        The copy; the parameters of replaced layers want no gradient.

    Example:
        >>> from latentsmooth.orthogonal import MaxMin, OrthogonalConv2d
        >>> freeze(nn.Sequential(OrthogonalConv2d(3, 8, 3, bias=False), MaxMin()))
        Sequential(
          (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False,
            padding_mode=circular)
          (1): MaxMin()
        )
    """
    return _frozen(copy.deepcopy(module).eval(), {})


def _frozen(module: nn.Module, done: dict[nn.Module, nn.Module]) -> nn.Module:
    if module in done:
        return done[module]
    done[module] = module
    if isinstance(module, OrthogonalLinear):
        plain = nn.Linear(module.in_features, module.out_features, module.bias is not None)
        done[module] = filled(plain, module.weight, module.bias)
    elif isinstance(module, ConvolutionLayer):
        done[module] = _transposed(module) if module.transposed else _convolution(module)
    else:
        for name, child in module._modules.items():
            if child is not None:
                module._modules[name] = _frozen(child, done)
    return done[module]


def filled(plain: Plain, weight: Tensor, bias: Tensor | None) -> Plain:
    """Give a plain layer copies of a weight and a bias, which want no gradient."""
    made: Any = plain
    made.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    offset = None if bias is None else bias.detach().clone()
    made.bias = None if offset is None else nn.Parameter(offset, requires_grad=False)
    return plain.eval()


def _convolution(layer: ConvolutionLayer) -> nn.Module:
    with torch.no_grad():
        weight = layer.weight
    return _plain(layer, weight, layer.margins, layer.in_channels, layer.out_channels)


def _plain(
    layer: ConvolutionLayer, weight: Tensor, margins: Margins, inputs: int, outputs: int
) -> nn.Module:
    circular = layer.padding_mode == "circular"
    settings: dict[str, Any] = {
        "stride": layer.stride,
        "dilation": layer.dilation,
        "groups": layer.groups,
        "bias": layer.bias is not None,
    }
    before: list[nn.Module] = []
    if all(first == last for first, last in margins):
        settings["padding"] = tuple(first for first, _ in margins)
    elif circular and set(layer.stride) == {1} and _as_same_padding(margins):
        settings["padding"] = "same"
    else:
        before = [_padding(margins, circular=circular)]
    if circular and not before:
        settings["padding_mode"] = "circular"
    kind: Any = _PLAIN[layer.axes]
    made = filled(kind(inputs, outputs, layer.kernel_size, **settings), weight, layer.bias)
    return nn.Sequential(*before, made).eval() if before else made


def _as_same_padding(margins: Margins) -> bool:
    return all(before == (before + after) // 2 for before, after in margins)


def _padding(margins: Sequence[tuple[int, int]], *, circular: bool) -> nn.Module:
    flat = tuple(pixels for margin in reversed(margins) for pixels in margin)
    pads: Any = (_CIRCULAR_PADS if circular else _ZERO_PADS)[len(margins)]
    made: nn.Module = pads(flat) if circular else pads(flat, 0.0)
    return made


def _transposed(layer: ConvolutionLayer) -> nn.Module:
    with torch.no_grad():
        weight = layer.weight
        if layer.up_is_convolution:
            flipped, margins = layer.flipped()
            return _plain(layer, flipped, margins, layer.in_channels, layer.out_channels)
    crop = layer.crop
    both = tuple(min(margin) for margin in crop)
    kind: Any = _PLAIN_TRANSPOSED[layer.axes]
    plain = kind(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        stride=layer.stride,
        padding=both,
        groups=layer.groups,
        bias=layer.bias is not None,
        dilation=layer.dilation,
    )
    parts: list[nn.Module] = [filled(plain, weight, layer.bias)]
    if layer.padding_mode == "circular" and any(map(any, layer.wrap)):
        parts.insert(0, _padding(layer.wrap, circular=True))
    rest = [(done - a, done - b) for (a, b), done in zip(crop, both, strict=True)]
    if any(map(any, rest)):
        parts.append(_padding(rest, circular=False))
    return nn.Sequential(*parts).eval() if len(parts) > 1 else parts[0]
