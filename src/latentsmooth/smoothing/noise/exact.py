"""The noise of grade exact in plain torch: for any device, and what the C++ code matches."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from latentsmooth.smoothing.noise.filler import ExactFiller
from latentsmooth.smoothing.noise.inverse import InverseTable, inverse_table
from latentsmooth.smoothing.noise.reference import BLOCKS, WORD, ReferenceFiller, philox

__all__ = ["ExactReferenceFiller"]


class ExactReferenceFiller(ExactFiller, ReferenceFiller):
    """Keyed noise by a binary search of every element, a few rows at a time."""

    def _noise(self, plan: Tensor, size: int, latent_sigma: float, step: float) -> Tensor:
        thresholds = _thresholds(inverse_table(latent_sigma / step), plan.device)
        return _offsets(plan, size, thresholds).to(torch.float32) * step


@lru_cache(maxsize=4)
def _thresholds(table: InverseTable, device: torch.device) -> Tensor:
    return table.thresholds.to(device)


def _offsets(plan: Tensor, size: int, thresholds: Tensor) -> Tensor:
    """The first ``size`` lattice offsets of every row of a plan: ``(rows, size)`` int64."""
    groups = -(-size // (2 * BLOCKS))
    block = torch.arange(groups * BLOCKS, device=plan.device)
    key, phase, draw = (plan[:, column, None].expand(-1, len(block)) for column in (1, 2, 3))
    words = philox(
        (block.expand_as(draw), draw, phase, torch.zeros_like(draw)), (key & WORD, key >> 32 & WORD)
    )
    pairs = torch.stack([words[0] << 32 | words[1], words[2] << 32 | words[3]])
    sizes = torch.searchsorted(thresholds, pairs & (2**63 - 1), right=True)
    offsets = torch.where(pairs < 0, -sizes, sizes)
    grouped = offsets.view(2, len(plan), groups, BLOCKS).permute(1, 2, 0, 3)
    return grouped.flatten(1)[:, :size]
