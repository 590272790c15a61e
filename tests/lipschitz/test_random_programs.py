"""Random forwards, aliases and in-place operations included, never beat their bound."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from latentsmooth.errors import LatentSmoothError
from latentsmooth.lipschitz import lipschitz_bound

SIDE, CHANNELS = 3, 4
ENTRIES = CHANNELS * SIDE**2


class Program(nn.Module):
    """A forward drawn from a seed: each step takes one or two of the values so far."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        generator = torch.Generator().manual_seed(seed)
        shape = (1, CHANNELS, 1, 1)
        self.scale = nn.Parameter(torch.randn(shape, generator=generator).double())
        self.kernel = nn.Parameter(torch.randn(4, 4, 3, 3, generator=generator).double() / 4)
        self.matrix = nn.Parameter(torch.randn(SIDE, SIDE, generator=generator).double())
        self.layer = nn.Conv2d(4, 4, 1).double()
        self.act = nn.ReLU(inplace=True)

    def forward(self, inputs: Tensor) -> Tensor:
        draw = random.Random(self.seed)
        values = [inputs * 1.0]
        for _ in range(draw.randint(2, 7)):
            first, second = draw.choice(values), draw.choice(values)
            values.append(self.step(draw.randrange(20), first, second))
        return torch.cat([values[-1], draw.choice(values)], dim=1)

    def step(self, number: int, first: Tensor, second: Tensor) -> Tensor:
        low, high = first.chunk(2, dim=1)
        if number == 0:
            first += second
        elif number == 1:
            first.mul_(1.5)
        elif number == 2:
            first[:, 1:3].add_(second[:, :2].clone())
        elif number == 3:
            low.clamp_(-1, 1)
        if number < 4:
            return first
        made: Tensor = (
            lambda: first - 0.5 * second,
            lambda: first * self.scale,
            lambda: first / (self.scale.abs() + 0.5),
            lambda: F.conv2d(first, self.kernel, padding=1),
            lambda: self.layer(first),
            lambda: self.act(first),
            lambda: torch.maximum(first, second),
            lambda: torch.cat([torch.max(low, high), torch.min(low, high)], dim=1),
            lambda: torch.cat([first[:, :2], second[:, 2:]], dim=1),
            lambda: first.mean(dim=(2, 3), keepdim=True) + second,
            lambda: first.sum(dim=1, keepdim=True) - second,
            lambda: first.amax(dim=1, keepdim=True) + second[..., :1],
            lambda: first @ self.matrix,
            lambda: torch.tanh(first) * torch.sigmoid(self.scale),
            lambda: F.pad(first, (1, 1, 1, 1), mode="circular")[:, :, 2:, :-2].contiguous(),
            lambda: torch.stack([first, second], dim=2).sum(dim=2).transpose(2, 3),
        )[number - 4]()
        return made


def stretch(program: nn.Module, point: Tensor) -> float:
    """Norm of the Jacobian by central differences, which in-place operations do not disturb."""
    steps = torch.eye(ENTRIES).double().reshape(-1, 1, CHANNELS, SIDE, SIDE) * 1e-5
    with torch.no_grad():
        columns = [(program(point + s) - program(point - s)).flatten() / 2e-5 for s in steps]
    return float(torch.linalg.matrix_norm(torch.stack(columns, dim=1), 2))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_random_programs(seed: int) -> None:
    torch.manual_seed(seed)
    program = Program(seed).eval()
    try:
        bound = lipschitz_bound(program, input_shape=(CHANNELS, SIDE, SIDE))
    except LatentSmoothError:
        return
    for _ in range(2):
        point = torch.randn(1, CHANNELS, SIDE, SIDE).double()
        assert stretch(program, point) <= bound * (1 + 1e-6)


def test_most_programs_are_bounded() -> None:
    bounded = 0
    for seed in range(20):
        torch.manual_seed(seed)
        try:
            lipschitz_bound(Program(seed).eval(), input_shape=(CHANNELS, SIDE, SIDE))
        except LatentSmoothError:
            continue
        bounded += 1
    assert bounded >= 12
    with pytest.raises(LatentSmoothError):
        lipschitz_bound(Program(0))
