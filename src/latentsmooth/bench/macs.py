"""Arithmetic of a network, and the rate that the machine reaches at its best."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from latentsmooth.bench.contender import finish

__all__ = ["MATMUL_SIDE", "matmul_rates", "multiply_accumulates"]

MATMUL_SIDE: Final = 2048


@torch.no_grad()
def multiply_accumulates(network: nn.Module, input_shape: Sequence[int]) -> int:
    """Count the multiply-accumulates of convolutions and matrix products on one input.

    Args:
        network: in evaluation mode, float32; left as it is.
        input_shape: without the batch.

    Example:
        >>> multiply_accumulates(nn.Linear(10, 3), (10,))
        30
    """
    like = next(network.parameters(), torch.zeros(()))
    blank = torch.zeros(1, *input_shape, device=like.device, dtype=like.dtype)
    with FlopCounterMode(display=False) as counter:
        network(blank)
    return int(counter.get_total_flops()) // 2


@torch.no_grad()
def matmul_rates(
    device: torch.device, *, side: int = MATMUL_SIDE, seconds: float = 0.5
) -> dict[str, float]:
    """Measure floating-point operations a second of a square matrix product, by dtype.

    Args:
        device: where to run.
        side: of the matrices.
        seconds: spent on each dtype; three products at least, of which the fastest counts.

    Returns:
        Operations a second (two a multiply-accumulate) for ``float32`` and ``bfloat16``.
    """
    rates = {}
    for dtype in (torch.float32, torch.bfloat16):
        left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        out = torch.empty(side, side, device=device, dtype=dtype)
        torch.mm(left, right, out=out)
        times: list[float] = []
        while sum(times) < seconds or len(times) < 3:
            finish(device)
            start = time.perf_counter()
            torch.mm(left, right, out=out)
            finish(device)
            times.append(time.perf_counter() - start)
        rates[str(dtype).removeprefix("torch.")] = 2 * side**3 / min(times)
    return rates
