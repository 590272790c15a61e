"""The head as it runs: a copy in evaluation mode, in the precision asked for."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import nn

from latentsmooth.machine import ResolvedPrecision

__all__ = ["default_batch_size", "prepare_head"]


def prepare_head(head: nn.Module, *, precision: ResolvedPrecision) -> nn.Module:
    """Copy a head for sampling: evaluation mode, channels-last, no gradients, one precision.

    A certificate is about the head that voted, so prediction must use the same copy's precision.

    Args:
        head: the trained head; left as it is.
        precision: dtype of weights and activations.

    Returns:
        The copy, on the head's device.
    """
    prepared = copy.deepcopy(head).eval().requires_grad_(False)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    prepared.to(dtype=dtype)
    return prepared.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def default_batch_size(latent_shape: Sequence[int], device: torch.device) -> int:
    """Noisy latents a head batch: as many as keep the CPU's caches useful, more on a GPU."""
    if device.type != "cpu":
        return 1024
    return min(512, max(128, (1 << 18) // max(1, math.prod(latent_shape)) // 64 * 64))
