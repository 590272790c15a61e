"""Batch normalization in evaluation; others that are refused, with the reason."""

from __future__ import annotations

import torch
from torch import nn

from latentsmooth.errors import UnverifiedModule
from latentsmooth.lipschitz.registry import refuse_type, register_rule
from latentsmooth.lipschitz.rules.rounding import FLOAT64_UNIT

__all__: list[str] = []

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d

refuse_type(
    "it divides by a deviation that it computes from the input itself and that only eps keeps "
    "from zero, so that nearly constant inputs are stretched hundreds of times",
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)
refuse_type(
    "its weights depend on the input, and it multiplies the two",
    nn.Bilinear,
    nn.MultiheadAttention,
)


@register_rule(
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
)
def batch_norm(module: BatchNorm) -> float:
    """In evaluation a fixed scale a channel, ``gamma / sqrt(running variance + eps)``."""
    if not module.track_running_stats or module.running_var is None:
        raise UnverifiedModule(
            "without running statistics it divides by a deviation that it computes from the input "
            "itself, even in evaluation; use track_running_stats=True"
        )
    if bool((module.running_var < 0).any()):
        raise UnverifiedModule(
            "its running variance has negative entries, which cancel against eps so that rounding "
            "is lengthened without limit"
        )
    variance = module.running_var.detach().to("cpu", torch.float64) + module.eps
    if not bool((variance > 0).all()):
        return float("inf")
    scale = variance.rsqrt()
    if module.weight is not None:
        scale = scale * module.weight.detach().to("cpu", torch.float64).abs()
    return float(scale.max()) * (1 + 16 * FLOAT64_UNIT)
