"""Operations that move, drop, repeat, average or join entries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from latentsmooth.lipschitz.operations import Call, operation
from latentsmooth.lipschitz.rules.rounding import multiply_up, root_of_squares_up, root_up

__all__: list[str] = []

Axes = int | Sequence[int]


@operation("contiguous", "clone", "detach", "flatten", "reshape", "view", "unflatten", "ravel")
def keep(call: Call, tensor: Tensor, *settings: Any, **named_settings: Any) -> float:
    """The same entries; that samples stay apart shows in the result's first axis."""
    if any(isinstance(each, torch.dtype) for each in (*settings, *named_settings.values())):
        raise call.refusal("reads the bits of its input as another dtype")
    return call.gain_of(tensor)


@operation("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle")
def rearrange(call: Call, tensor: Tensor, factor: int) -> float:
    """The same entries elsewhere in the sample."""
    return call.gain_of(tensor)


@operation("float", "double", "to", "type")
def convert(call: Call, tensor: Tensor, *settings: Any, **named_settings: Any) -> float:
    """To a dtype that holds every value; narrower ones are refused for every operation."""
    return call.gain_of(tensor)


@operation("permute")
def permute(call: Call, tensor: Tensor, *axes: Any, dims: Any = None) -> float:
    """The first axis stays first."""
    order = _listed(axes, dims)
    call.check_axes(tensor, tuple(order[1:]))
    return call.gain_of(tensor)


@operation("transpose", "swapaxes", "swapdims")
def transpose(call: Call, tensor: Tensor, dim0: int, dim1: int) -> float:
    """Neither axis is the first."""
    call.check_axes(tensor, (dim0, dim1))
    return call.gain_of(tensor)


@operation("movedim", "moveaxis")
def move_axes(call: Call, tensor: Tensor, source: Axes, destination: Axes) -> float:
    """Neither axis is the first."""
    call.check_axes(tensor, source)
    call.check_axes(tensor, destination)
    return call.gain_of(tensor)


@operation("squeeze")
def squeeze(call: Call, tensor: Tensor, dim: Axes) -> float:
    """Axes of length one fall away."""
    call.check_axes(tensor, dim)
    return call.gain_of(tensor)


@operation("unsqueeze")
def unsqueeze(call: Call, tensor: Tensor, dim: int) -> float:
    """An axis of length one, anywhere but in front."""
    call.check_axes(call.result, dim)
    return call.gain_of(tensor)


@operation("flip")
def flip(call: Call, tensor: Tensor, *axes: Any, dims: Any = None) -> float:
    """Backwards."""
    call.check_axes(tensor, _listed(axes, dims))
    return call.gain_of(tensor)


@operation("roll")
def roll(call: Call, tensor: Tensor, shifts: Axes, dims: Axes) -> float:
    """Round by some places; without axes it would mix the samples."""
    call.check_axes(tensor, dims)
    return call.gain_of(tensor)


@operation("chunk", "split", "tensor_split", "unbind", "narrow", "select")
def part(
    call: Call, tensor: Tensor, *settings: Any, dim: int | None = None, **named_settings: Any
) -> float:
    """A part moves no farther than the whole."""
    if dim is None:
        first = call.name in ("narrow", "select", "unbind")
        position = 0 if first else 1
        dim = settings[position] if len(settings) > position else 0
    call.check_axes(tensor, dim)
    return call.gain_of(tensor)


@operation("__getitem__")
def index(call: Call, tensor: Tensor, place: Any) -> float:
    """Slices and single places; the first axis is left alone."""
    places = place if isinstance(place, tuple) else (place,)
    for each in places:
        plain = each is None or each is Ellipsis or isinstance(each, slice | int)
        if not plain or isinstance(each, bool):
            raise call.refusal(f"takes a {type(each).__name__} as an index; use slices")
    used = sum(isinstance(each, slice | int) for each in places)
    first = places[0] if places else Ellipsis
    whole = first is Ellipsis and used < tensor.ndim
    if not (whole or first == slice(None)):
        raise call.refusal("takes samples apart: start with [:, ...]")
    return call.gain_of(tensor)


@operation("expand", "expand_as", "broadcast_to", "repeat", "tile")
def copies(call: Call, tensor: Tensor, *sizes: Any, **named_sizes: Any) -> float:
    """Every entry equally often."""
    return call.stretched(tensor)


@operation("cat", "concat", "concatenate", "stack")
def join(call: Call, tensors: Sequence[Tensor], dim: int = 0) -> float:
    """Squares of the gains add up."""
    call.check_axes(call.result, dim)
    return root_of_squares_up(*(call.gain_of(each) for each in tensors))


@operation("mean", "sum")
def total(
    call: Call,
    tensor: Tensor,
    dim: Axes | None = None,
    keepdim: bool = False,
    *,
    dtype: None = None,
) -> float:
    """``n`` entries add up to ``sqrt(n)`` times their length, at most."""
    if dim is None:
        raise call.refusal("goes over the samples: name the axes")
    call.check_axes(tensor, dim)
    entries = root_up(tensor.numel() / call.result.numel())
    if call.name == "sum":
        return multiply_up(call.gain_of(tensor), entries)
    return multiply_up(call.gain_of(tensor), math.nextafter(1 / entries, 1), 1 + 2**-51)


@operation("amax", "amin")
def extreme(call: Call, tensor: Tensor, dim: Axes, keepdim: bool = False) -> float:
    """One entry of each group."""
    call.check_axes(tensor, dim)
    return call.gain_of(tensor)


@operation("pad")
def pad(
    call: Call, tensor: Tensor, pad: Sequence[int], mode: str = "constant", value: Any = None
) -> float:
    """Constants are free; a mode that repeats entries costs as its most repeated one."""
    if len(pad) > 2 * (tensor.ndim - 1):
        raise call.refusal("pads the first axis, along which the samples lie")
    if mode == "constant":
        return call.gain_of(tensor)
    padded = F.pad(_places(tensor), list(pad), mode=mode)
    return multiply_up(call.gain_of(tensor), _repetition(padded))


@operation("interpolate")
def interpolate(
    call: Call,
    tensor: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> float:
    """Copies of pixels, which cost as the most copied one."""
    if mode not in ("nearest", "nearest-exact"):
        raise call.refusal(f"is known only for mode='nearest', got {mode!r}")
    sides = tensor.shape[2:]
    dtype = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    most = 1
    for axis, side in enumerate(sides):
        # Where torch reads along this axis, in the very arithmetic that it will use.
        line = [side if other == axis else 1 for other in range(len(sides))]
        places = torch.arange(side, dtype=dtype).reshape(line).expand(1, 1, *sides)
        copied = F.interpolate(
            places, size, scale_factor, mode, recompute_scale_factor=recompute_scale_factor
        ).movedim(2 + axis, -1)
        most *= int(copied.reshape(-1, copied.shape[-1])[0].long().bincount().max())
    return multiply_up(call.gain_of(tensor), root_up(float(most)))


def _listed(axes: tuple[Any, ...], dims: Any) -> tuple[int, ...]:
    """Axes given one by one, as one sequence, or by name."""
    given = dims if dims is not None else axes
    if len(given) == 1 and not isinstance(given[0], int):
        given = given[0]
    return tuple(given)


def _places(value: Tensor) -> Tensor:
    """One sample whose entries are numbered."""
    shape = value.shape[1:]
    return torch.arange(math.prod(shape), dtype=torch.float64).reshape(1, *shape)


def _repetition(places: Tensor) -> float:
    """The root of how often the most repeated number stands in a tensor."""
    return root_up(float(places.flatten().long().bincount().max()))
