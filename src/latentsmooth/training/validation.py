"""How well a classifier does under the noise it will be smoothed with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F

from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.training.interfaces import LabelledImages
from latentsmooth.training.keys import derive_seed

__all__ = ["ValidationResult", "validate"]

_HEAD_BATCH = 128


@dataclass(frozen=True)
class ValidationResult:
    """Accuracies of one validation, as fractions.

    Args:
        images: how many images were looked at.
        draws: noisy copies of each.
        noisy_accuracy: share of the copies classified correctly.
        smoothed_accuracy: share of the images whose most voted class is right; no abstention.
    """

    images: int
    draws: int
    noisy_accuracy: float
    smoothed_accuracy: float

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a dictionary."""
        return asdict(self)


def validate(
    model: LatentSmoothedClassifier,
    images: LabelledImages,
    *,
    count: int,
    draws: int,
    seed: int,
    bfloat16: bool,
    accelerator: Accelerator,
) -> ValidationResult:
    """Return the accuracy of the noisy head and of its majority vote.

    The encoder runs once an image, in float32; the head runs on ``draws`` noisy copies of the
    latent. The noise is keyed by (seed, image), so that two validations differ by the weights
    alone, and the result does not depend on how many processes share the work.

    Args:
        model: the classifier; its mode is put back afterwards.
        images: labelled images.
        count: images to use, evenly spread; all if there are fewer.
        draws: noisy copies an image.
        seed: of the noise.
        bfloat16: whether the head computes in bfloat16, as it does in training.
        accelerator: the processes that share the images.
    """
    count = min(count, len(images))
    chosen = [index * len(images) // count for index in range(count)]
    own = chosen[accelerator.process_index :: accelerator.num_processes]
    chunk = max(1, _HEAD_BATCH // draws)
    totals = torch.zeros(2, dtype=torch.int64)
    was_training = model.training
    model.eval()
    try:
        # no_grad, not inference_mode: what a layer caches in eval must stay usable for gradients
        with torch.no_grad():
            for start in range(0, len(own), chunk):
                positions = own[start : start + chunk]
                votes, labels = _votes(
                    model, images, positions, draws, seed, bfloat16, accelerator.device
                )
                hits = votes.gather(1, labels[:, None])[:, 0]
                totals[0] += hits.sum()
                totals[1] += (votes.argmax(1) == labels).sum()
    finally:
        model.train(was_training)
    reduced = accelerator.reduce(totals.to(accelerator.device), reduction="sum")
    noisy, smoothed = (int(total) for total in reduced.tolist())
    return ValidationResult(count, draws, noisy / (count * draws), smoothed / count)


def _votes(
    model: LatentSmoothedClassifier,
    images: LabelledImages,
    positions: list[int],
    draws: int,
    seed: int,
    bfloat16: bool,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Return votes ``(b, classes)`` and labels ``(b,)``, both int64 on the CPU."""
    pixels, labels, _ = images.batch(positions)
    latents = model.encoder(pixels.to(device, memory_format=torch.channels_last)).float()
    copies = latents.new_empty(len(positions), draws, *latents.shape[1:])
    generator = torch.Generator(device)
    for row, position in enumerate(positions):
        generator.manual_seed(derive_seed(seed, "validation", position))
        copies[row].normal_(0.0, model.latent_sigma, generator=generator).add_(latents[row])
    with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        logits = model.head(copies.flatten(0, 1))
    classes = logits.argmax(1).view(len(positions), draws)
    votes = F.one_hot(classes, logits.shape[1]).sum(1)
    return votes.cpu(), labels
