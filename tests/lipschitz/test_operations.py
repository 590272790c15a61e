"""Each operation's rule against the Jacobian of a module that does nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentsmooth.errors import UnverifiedModule
from latentsmooth.lipschitz import lipschitz_bound
from tests.oracles import dense_jacobian
from tests.seeds import shifted

SHAPE = (4, 6, 4)
Map = Callable[[Tensor], Any]


class Does(nn.Module):
    """A module of no known type around a function."""

    def __init__(self, function: Map) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("dtype", torch.zeros((), dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Any:
        return self.function(inputs)


def bound(function: Map, shape: tuple[int, ...] = SHAPE) -> float:
    return lipschitz_bound(Does(function), input_shape=shape)


def stretch(function: Map, shape: tuple[int, ...] = SHAPE) -> float:
    generator = torch.Generator().manual_seed(shifted(0))
    points = [2 * torch.randn(1, *shape, generator=generator).double() for _ in range(4)]
    norms = [torch.linalg.matrix_norm(dense_jacobian(function, point), 2) for point in points]
    return float(max(norms))


KERNEL = torch.randn(3, 4, 3, 3, generator=torch.Generator().manual_seed(shifted(1))).double()
MATRIX = torch.randn(4, 5, generator=torch.Generator().manual_seed(shifted(2))).double()
CHANNELS = torch.tensor([0.5, -3.0, 1.0, 2.0]).double().reshape(1, 4, 1, 1)

# Bounds that are attained (up to the grid of frequencies for kernels).
TIGHT: dict[str, Map] = {
    "add constant": lambda x: x + 3,
    "constant minus": lambda x: 3 - x,
    "add itself": lambda x: x + 2 * x,
    "keyword": lambda x: torch.mul(input=x, other=3.0),
    "broadcast to channels": lambda x: x[:, :1] + CHANNELS * 0,
    "broadcast sum": lambda x: x.mean(dim=(2, 3), keepdim=True) + torch.zeros(6, 4).double(),
    "channel scales": lambda x: CHANNELS * x,
    "divide": lambda x: x / CHANNELS,
    "negative": lambda x: -x,
    "in place": lambda x: (x * 2).mul_(3),
    "augmented": lambda x: _augmented(x),
    "relu": F.relu,
    "relu in place": lambda x: F.relu(x * 1, inplace=True),
    "leaky": lambda x: F.leaky_relu(x, 3.0),
    "absolute": abs,
    "clamp": lambda x: x.clamp(-1, 1),
    "dropout": lambda x: F.dropout(x, 0.5, training=False),
    "flatten": lambda x: x.flatten(1),
    "view": lambda x: x.view(x.size(0), -1),
    "reshape": lambda x: x.reshape(len(x), 2, -1),
    "permute": lambda x: x.permute(0, 2, 3, 1),
    "permute list": lambda x: torch.permute(x, (0, 3, 1, 2)),
    "transpose": lambda x: x.transpose(1, -1),
    "movedim": lambda x: x.movedim(1, 3),
    "unsqueeze": lambda x: x.unsqueeze(1).squeeze(1),
    "flip": lambda x: x.flip(2, 3),
    "flip by name": lambda x: torch.flip(x, dims=[2]),
    "permute by name": lambda x: torch.permute(x, dims=(0, 2, 1, 3)),
    "chunk by name": lambda x: torch.chunk(x, chunks=2, dim=1)[0],
    "expand": lambda x: x[:, :1].expand(-1, 5, -1, -1),
    "expand like": lambda x: x[..., :1].expand_as(x),
    "repeat": lambda x: x.repeat(1, 2, 3, 1),
    "roll": lambda x: x.roll((1, 2), dims=(2, 3)),
    "chunk": lambda x: x.chunk(2, dim=1)[1],
    "split": lambda x: torch.split(x, [1, 3], 1)[0],
    "unbind": lambda x: x.unbind(2)[0],
    "narrow": lambda x: x.narrow(1, 1, 2),
    "slices": lambda x: x[:, 1:3, ..., ::2],
    "one row": lambda x: x[:, :, 2],
    "ellipsis": lambda x: x[..., 1:],
    "sum": lambda x: x.sum(dim=(2, 3)),
    "mean": lambda x: x.mean(dim=-1),
    "amax": lambda x: x.amax(dim=1),
    "cat": lambda x: torch.cat([x, 2 * x], dim=1),
    "stack": lambda x: torch.stack((x, x, x), dim=-1),
    "cat with constants": lambda x: torch.cat([x, x.new_zeros(len(x), 1, 6, 4)], 1),
    "zeros like": lambda x: x + torch.zeros_like(x),
    "pixel unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "pixel shuffle": lambda x: F.pixel_shuffle(x, 2),
    "pad": lambda x: F.pad(x, (1, 2, 0, 1), value=3.0),
    "crop": lambda x: F.pad(x, (-1, -1)),
    "circular": lambda x: F.pad(x, (1, 1, 2, 2), mode="circular"),
    "reflect": lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
    "replicate": lambda x: F.pad(x, (2, 0, 0, 0), mode="replicate"),
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "nearest to any size": lambda x: F.interpolate(x, size=(9, 5), mode="nearest"),
    "average pool": lambda x: F.avg_pool2d(x, 2),
    "max pool": lambda x: F.max_pool2d(x, 2),
    "global pool": lambda x: F.adaptive_avg_pool2d(x, 1),
    "linear": lambda x: F.linear(x, MATRIX.T),
    "matmul": lambda x: x @ MATRIX,
    "to": lambda x: x.double().contiguous().clone(),
}

# Bounds that hold at every point, attained or not.
LOOSE: dict[str, Map] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "gelu": F.gelu,
    "approximate gelu": lambda x: F.gelu(x, approximate="tanh"),
    "elu": lambda x: F.elu(x, alpha=1.5),
    "softsign": F.softsign,
    "logsigmoid": F.logsigmoid,
    "sine": torch.sin,
    "softmax": lambda x: x.softmax(dim=1),
    "maximum": lambda x: torch.maximum(x, 2 - x),
    "two-argument min": lambda x: torch.min(x, x.flip(1)),
    "sort pairs": lambda x: torch.cat(
        [torch.max(x[:, :2], x[:, 2:]), torch.min(x[:, :2], x[:, 2:])], 1
    ),
    "convolution": lambda x: F.conv2d(x, KERNEL, padding=1),
    "strided": lambda x: F.conv2d(x, KERNEL, stride=(2, 1)),
    "transposed": lambda x: F.conv_transpose2d(x, KERNEL.transpose(0, 1), stride=2),
    "grouped": lambda x: F.conv2d(x, KERNEL[:2, :2], padding="same", groups=2),
}


def _plain_only(value: Tensor) -> Tensor:
    if type(value) is not Tensor:
        raise AttributeError("of another kind")
    return value


def _augmented(value: Tensor) -> Tensor:
    result = 2 * value
    result += value
    return result


@pytest.mark.parametrize("name", TIGHT)
def test_attained_bounds(name: str) -> None:
    found, truth = bound(TIGHT[name]), stretch(TIGHT[name])
    assert truth * (1 - 1e-12) <= found <= truth * (1 + 1e-6)


@pytest.mark.parametrize("name", LOOSE)
def test_bounds_that_need_not_be_attained(name: str) -> None:
    found, truth = bound(LOOSE[name]), stretch(LOOSE[name])
    assert truth * (1 - 1e-12) <= found <= truth * 4.1


@pytest.mark.parametrize("curve", [F.silu, F.gelu, lambda x: F.gelu(x, approximate="tanh")])
def test_smooth_slopes_are_no_steeper_than_stated(curve: Map) -> None:
    points = torch.linspace(-8, 8, 200_001, dtype=torch.float64, requires_grad=True)
    [slopes] = torch.autograd.grad(curve(points).sum(), points)
    steepest = float(slopes.abs().max())
    assert steepest <= bound(curve) <= steepest * 1.001


REFUSED: dict[str, tuple[Map, str]] = {
    "product": (lambda x: x * x, "multiplies two values"),
    "square": (lambda x: x**2, "not among the operations"),
    "quotient of values": (lambda x: 1 + x / (x + 9), "divides by a value"),
    "reciprocal": (lambda x: 1 / x, "not among the operations"),
    "floor division": (lambda x: torch.div(x, 2, rounding_mode="floor"), "rounds"),
    "comparison": (lambda x: x > 0, "not among the operations"),
    "where": (lambda x: torch.where(x > 0, x, 9 * x), "not among the operations"),
    "active dropout": (lambda x: F.dropout(x, 0.5), "active in evaluation"),
    "layer norm": (lambda x: F.layer_norm(x, (4,)), "not among the operations"),
    "batch norm": (lambda x: F.batch_norm(x, None, None, training=True), "not among"),
    "first axis": (lambda x: x.flip(0), "first axis"),
    "samples joined": (lambda x: torch.cat([x, x]), "first axis"),
    "samples averaged": (lambda x: x - x.mean(0, keepdim=True), "first axis"),
    "samples counted": (lambda x: x.view(-1), "no longer counts"),
    "samples reshaped": (lambda x: x.reshape(-1, 4), "no longer counts"),
    "one sample": (lambda x: x[0], "takes samples apart"),
    "samples picked": (lambda x: x[torch.tensor([1, 0])], "use slices"),
    "samples swapped": (lambda x: x.transpose(0, 1), "first axis"),
    "samples chunked": (lambda x: x.chunk(2)[0], "first axis"),
    "everything": (lambda x: x.sum(), "name the axes"),
    "largest": (lambda x: x.max(dim=1), "was called in a way|only for two tensors"),
    "rounded": (lambda x: x.to(torch.float16), "rounds its input to torch.float16"),
    "rounded mean": (lambda x: x.mean(dim=1, dtype=torch.float32), "rounds its input"),
    "samples repeated": (lambda x: x.repeat(2, 1, 1, 1), "no longer counts"),
    "integers": (lambda x: x.long(), "not among the operations"),
    "into a constant": (lambda x: torch.zeros(2, 4, 6, 4).add_(x), "into a constant"),
    "out": (lambda x: torch.add(x, 1, out=torch.empty(0)), "out="),
    "item": (lambda x: x * x[:, 0, 0, 0].tolist()[0], "not among the operations"),
    "numpy": (lambda x: torch.from_numpy(x.numpy()), "not among the operations"),
    "decision": (lambda x: x if bool(x.any()) else 2 * x, "not among the operations"),
    "bilinear": (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), "mode='nearest'"),
    "overlapping pool": (lambda x: F.avg_pool2d(x, 3, 1), "reads pixels twice"),
    "uneven pool": (lambda x: F.adaptive_avg_pool2d(x, 4), "overlap"),
    "constant times values": (lambda x: torch.eye(6).double() @ x, "value times a constant"),
    "weights from values": (lambda x: F.linear(x, x[:, 0, 0]), "depends on the input"),
    "several results": (lambda x: (x, x), "gives a tuple"),
    "no result": (lambda x: torch.zeros(2, 3), "depends on the input"),
    "overwritten input": (lambda x: x.add_(x), "overwrites the module's input"),
    "error": (lambda x: _plain_only(x), "cannot be followed: AttributeError: "),
    "not finite": (lambda x: x * float("inf"), "gain of inf"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_is_named(name: str) -> None:
    function, reason = REFUSED[name]
    with pytest.raises(UnverifiedModule, match=rf"the module \(Does\) .*({reason})"):
        bound(function)


def test_the_line_is_named() -> None:
    with pytest.raises(UnverifiedModule, match=r"'mul' \(test_operations\.py:\d+\) multiplies"):
        bound(REFUSED["product"][0])
