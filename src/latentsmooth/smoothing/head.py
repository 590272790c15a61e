"""The head as it runs: a simpler copy in evaluation mode, in the precision asked for."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError
from latentsmooth.machine import ResolvedPrecision, dtype_of
from latentsmooth.orthogonal import freeze
from latentsmooth.smoothing.simplify import merge_batch_norm

__all__ = ["agree", "default_batch_size", "prepare_head", "refuse_mixing", "simplified_head"]


def prepare_head(
    head: nn.Module, *, precision: ResolvedPrecision, channels_last: bool = True
) -> nn.Module:
    """Copy a head for sampling: evaluation mode, no gradients, one precision.

    A certificate is about the head that voted, so prediction must use the same copy's precision.

    Args:
        head: the head; left as it is.
        precision: dtype of weights and activations.
        channels_last: whether its weights are laid out channels-last.

    Returns:
        The copy, on the head's device.

    Raises:
        ConfigurationError: for a head that cannot be copied.
    """
    prepared = copied(head).to(dtype=dtype_of(precision))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return prepared.to(memory_format=layout)  # type: ignore[call-overload,no-any-return]


def copied(head: nn.Module) -> nn.Module:
    """Copy a head in evaluation mode, without gradients.

    Raises:
        ConfigurationError: where it cannot be copied.
    """
    try:
        return copy.deepcopy(head).eval().requires_grad_(False)
    except (RuntimeError, TypeError) as error:
        raise ConfigurationError(f"the head cannot be copied: {error}") from error


@torch.no_grad()
def simplified_head(head: nn.Module, latent: Tensor) -> nn.Module:
    """Copy a head with its batch norms merged and its orthogonal layers made plain.

    Each step is kept only if the copy computes the same on noisy latents: a module may do what
    its class does not tell.

    Args:
        head: the head; left as it is.
        latent: ``latent_shape``, float32; noisy copies of it are the trial.
    """
    plain = copied(head)
    trial = _trial(latent)
    try:
        wanted = plain(trial)
    except (RuntimeError, TypeError, ValueError):
        return plain  # what is wrong with it is told where it runs
    steps: list[Callable[[nn.Module], nn.Module]] = [merge_batch_norm, freeze]
    for step in steps:
        try:
            made = step(plain)
            if agree(made(trial), wanted, tolerance=1e-4):
                return made.eval().requires_grad_(False)
        except (RuntimeError, TypeError, ValueError):
            continue
    return plain


@torch.inference_mode()
def refuse_mixing(head: nn.Module, latent: Tensor, *, batch_size: int) -> None:
    """Raise where a head's answer to one latent depends on the others in its batch.

    Votes are independent only if each is a function of its own latent. Normalisation by batch
    statistics is the usual culprit. The trial runs in float32, whatever the votes will run in, so
    that rounding is not mistaken for mixing, and at the batch size of the votes.

    Args:
        head: the head.
        latent: ``latent_shape``, float32; noisy copies of it are the trial.
        batch_size: latents a head call.

    Raises:
        ConfigurationError: naming how far the answers lie apart.
    """
    for path, module in head.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise ConfigurationError(
                f"head.{path} ({type(module).__name__}) normalises by the statistics of each "
                "batch, so votes would depend on one another; use track_running_stats=True"
            )
    in_float32 = prepare_head(head, precision="float32", channels_last=False)
    trial = _trial(latent)
    alone = torch.cat([in_float32(row.unsqueeze(0)) for row in trial])
    for rows in sorted({len(trial), max(len(trial), batch_size)}):
        company = 3 * torch.roll(trial, 1, 0).repeat(-(-rows // len(trial)), *[1] * latent.ndim)
        company[: len(trial)] = trial
        together = in_float32(company[:rows].contiguous())
        if together.shape != (rows, *alone.shape[1:]):
            return  # the executor names wrong shapes
        if not agree(together[: len(trial)], alone, tolerance=0.01):
            apart = float((together[: len(trial)] - alone).abs().max())
            raise ConfigurationError(
                f"the head's answers to a latent differ by {apart:.3g} with the rest of a batch of "
                f"{rows}; votes must not depend on one another"
            )


def agree(found: Tensor, wanted: Tensor, *, tolerance: float) -> bool:
    """Whether scores are equal but for rounding; what is not finite must be the same.

    Args:
        found: any shape.
        wanted: the same shape.
        tolerance: difference allowed, in parts of the largest finite score.

    Example:
        >>> ruled_out = torch.tensor([1.0, -float("inf")])
        >>> agree(ruled_out, ruled_out, tolerance=0.01)
        True
    """
    if found.shape != wanted.shape:
        return False
    largest = torch.where(wanted.isfinite(), wanted, 0).abs().max()
    allowed = tolerance * float(largest) + 1e-5
    return torch.allclose(found, wanted, rtol=0.0, atol=allowed, equal_nan=True)


def default_batch_size(latent_shape: Sequence[int], device: torch.device) -> int:
    """Noisy latents a head batch: as many as keep the CPU's caches useful, more on a GPU."""
    if device.type != "cpu":
        return 1024
    return min(512, max(128, (1 << 18) // max(1, math.prod(latent_shape)) // 64 * 64))


def _trial(latent: Tensor) -> Tensor:
    """Three noisy copies, near and far."""
    generator = torch.Generator().manual_seed(0)
    unit = torch.randn(3, *latent.shape, generator=generator, dtype=torch.float32)
    scales = torch.tensor([0.1, 1.0, 3.0], dtype=torch.float32).view(-1, *[1] * latent.ndim)
    return latent + (unit * scales).to(latent.device)
