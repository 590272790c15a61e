"""Votes of the head over noisy copies of one latent."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.smoothing.noise import NoiseStream

__all__ = ["count_votes"]


def count_votes(
    head: Callable[[Tensor], Tensor],
    latent: Tensor,
    noise: NoiseStream,
    *,
    samples: int,
    batch_size: int,
    num_classes: int,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Classify noisy copies of one latent and count the answers on its device.

    The sum ``z + e`` is taken in float32 and rounded once to the head's dtype; that rounding is
    part of the classifier being smoothed.

    Args:
        head: maps ``(batch, *latent_shape)`` of ``dtype`` to ``(batch, num_classes)``.
        latent: ``latent_shape``, float32.
        noise: the stream to draw from; advanced by ``samples``.
        samples: noisy copies.
        batch_size: copies a head call.
        num_classes: answers to count.
        dtype: what the head computes in.

    Returns:
        ``(num_classes,)`` int64 on the latent's device, summing to ``samples``.

    Raises:
        ConfigurationError: where ``samples`` or ``batch_size`` is below one.
        ShapeError: where the head answers in another shape.
    """
    if samples < 1 or batch_size < 1:
        raise ConfigurationError(
            f"wanted samples and batch_size >= 1, got {samples} and {batch_size}"
        )
    votes = torch.zeros(num_classes, dtype=torch.int64, device=latent.device)
    buffer = latent.new_empty(min(samples, batch_size), *latent.shape)
    layout = torch.channels_last if latent.ndim == 3 else torch.contiguous_format
    done = 0
    while done < samples:
        noisy = noise.fill(buffer[: samples - done]).add_(latent)
        logits = head(noisy.to(dtype=dtype, memory_format=layout))
        if logits.shape != (len(noisy), num_classes):
            raise ShapeError(
                f"expected logits of shape {(len(noisy), num_classes)}, got {tuple(logits.shape)}"
            )
        votes += torch.bincount(logits.argmax(dim=1), minlength=num_classes)
        done += len(noisy)
    return votes
