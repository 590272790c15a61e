"""The head as it runs: a copy in evaluation mode, in the precision asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError
from latentsmooth.machine import ResolvedPrecision, dtype_of
from latentsmooth.smoothing.simplify import merge_batch_norm

__all__ = ["default_batch_size", "prepare_head", "refuse_mixing"]


def prepare_head(head: nn.Module, *, precision: ResolvedPrecision) -> nn.Module:
    """Copy a head for sampling: evaluation mode, batch norms merged, channels-last, one precision.

    A certificate is about the head that voted, so prediction must use the same copy's precision.

    Args:
        head: the trained head; left as it is.
        precision: dtype of weights and activations.

    Returns:
        The copy, on the head's device.
    """
    prepared = merge_batch_norm(head).eval().requires_grad_(False)
    prepared.to(dtype=dtype_of(precision))
    return prepared.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


@torch.inference_mode()
def refuse_mixing(head: nn.Module, latent: Tensor) -> None:
    """Raise where a head's answer to one latent depends on the others in its batch.

    Votes are independent only if each is a function of its own latent. Normalisation by batch
    statistics is the usual culprit. The trial runs in float32, whatever the votes will run in, so
    that rounding is not mistaken for mixing.

    Args:
        head: the head.
        latent: ``latent_shape``, any; noisy copies of it are the trial.

    Raises:
        ConfigurationError: naming how far the answers lie apart.
    """
    for path, module in head.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise ConfigurationError(
                f"head.{path} ({type(module).__name__}) normalises by the statistics of each "
                "batch, so votes would depend on one another; use track_running_stats=True"
            )
    generator = torch.Generator().manual_seed(0)
    unit = torch.randn(3, *latent.shape, generator=generator).to(latent.device)
    scales = torch.tensor([0.1, 1.0, 3.0], device=latent.device)
    trial = latent + unit * scales.view(-1, *[1] * latent.ndim)
    in_float32 = prepare_head(head, precision="float32")
    together = in_float32(trial)
    alone = torch.cat([in_float32(row.unsqueeze(0)) for row in trial])
    if together.shape != alone.shape:
        return  # count_votes names wrong shapes
    apart = float((together - alone).abs().max())
    allowed = 0.01 * float(alone.abs().max()) + 1e-5
    if apart > allowed:
        raise ConfigurationError(
            f"the head's answers to a latent differ by {apart:.3g} with the rest of its batch; "
            "votes must not depend on one another"
        )


def default_batch_size(latent_shape: Sequence[int], device: torch.device) -> int:
    """Noisy latents a head batch: as many as keep the CPU's caches useful, more on a GPU."""
    if device.type != "cpu":
        return 1024
    return min(512, max(128, (1 << 18) // max(1, math.prod(latent_shape)) // 64 * 64))
