"""The loop that the field's papers time themselves against."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from latentsmooth.bench.baseline import Baseline
from latentsmooth.bench.contender import Outcome, best_rate, finish
from latentsmooth.bench.macs import multiply_accumulates
from latentsmooth.bench.subjects import Subject
from latentsmooth.certification import clopper_pearson_lower, latent_radius
from latentsmooth.certification.jobs import leading_votes

__all__ = ["SIZES", "Textbook", "plain_network", "textbook_votes"]

SIZES: Final = (25, 50, 100, 200, 400, 1000)
PUBLISHED_BATCH: Final = 1000


def plain_network(subject: Subject) -> nn.Module:
    """Copy encoder and head into one float32 network in evaluation mode, memory contiguous."""
    model = subject.model
    network = nn.Sequential(copy.deepcopy(model.encoder), copy.deepcopy(model.head))
    network.eval().requires_grad_(False).float()
    return network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload,no-any-return]


class Textbook(Baseline):
    """Certify one image at a time: repeat it, add noise, classify in float32, count on the host.

    Args:
        subject: an ISRS classifier.
        n_select: samples that choose the candidate class.
        alpha: probability that one certificate is wrong.
        batch_size: samples a call; ``None`` takes the fastest of ``sizes``.
        sizes: batch sizes to try.
        name: in the comparison.

    Source:
        J. Cohen, E. Rosenfeld, Z. Kolter, *Certified Adversarial Robustness via Randomized
        Smoothing*, arXiv 1902.02918 (CERTIFY, and the batch of its published program).
    """

    kind = "textbook"

    def __init__(
        self,
        subject: Subject,
        *,
        n_select: int = 100,
        alpha: float = 1e-3,
        batch_size: int | None = PUBLISHED_BATCH,
        sizes: Sequence[int] = SIZES,
        name: str = "textbook",
    ) -> None:
        super().__init__(
            subject,
            n_select=n_select,
            alpha=alpha,
            batch_size=batch_size,
            sizes=sizes,
            name=name,
        )
        chosen = "its fastest batch" if batch_size is None else f"batch {batch_size}"
        self.description = f"Cohen et al.'s loop, float32, eager, {chosen}"
        self._network = plain_network(subject)
        self._sigma = subject.model.latent_sigma
        self._classes = len(subject.model.class_names)
        self._device = subject.device

    def prepare(self, images: Tensor) -> None:
        """Count the network's arithmetic, and find the fastest batch where none was named."""
        self.macs = multiply_accumulates(self._network, images.shape[1:])
        image = images[0].to(self._device)
        chosen = self._batch_size
        if chosen is None:
            rates = best_rate(
                self._sizes, lambda size: lambda: self._count(image, size, size), self._device
            )
            chosen = self._choose(rates)
        self._say()
        self._count(image, chosen, chosen)

    def run(self, images: Tensor, n: int) -> Outcome:
        """Select, estimate and bound, image after image."""
        size = self._batch_size or PUBLISHED_BATCH
        votes = []
        finish(self._device)
        start = time.perf_counter()
        for image in images:
            there = image.to(self._device)
            candidate = int(self._count(there, self._n_select, size).argmax())
            counts = self._count(there, n, size)
            p_lower = clopper_pearson_lower(int(counts[candidate]), n, self._alpha)
            latent_radius(p_lower, self._sigma)
            votes.append(leading_votes(counts.tolist()))
        seconds = time.perf_counter() - start
        return Outcome(
            seconds=seconds,
            samples=len(images) * (self._n_select + n),
            images=len(images),
            votes=tuple(votes),
        )

    def _count(self, image: Tensor, n: int, batch_size: int) -> NDArray[np.int64]:
        return textbook_votes(
            self._network,
            image,
            n,
            latent_sigma=self._sigma,
            num_classes=self._classes,
            batch_size=batch_size,
        )


@torch.no_grad()
def textbook_votes(
    network: nn.Module,
    image: Tensor,
    n: int,
    *,
    latent_sigma: float,
    num_classes: int,
    batch_size: int = PUBLISHED_BATCH,
) -> NDArray[np.int64]:
    """The loop's votes: ``(num_classes,)`` of ``n`` noisy copies of an image.

    Args:
        network: from images to scores.
        image: ``(channels, height, width)``.
        n: copies.
        latent_sigma: standard deviation of the noise.
        num_classes: that the network answers with.
        batch_size: copies a call.
    """
    counts = np.zeros(num_classes, dtype=np.int64)
    left = n
    while left:
        size = min(batch_size, left)
        left -= size
        batch = image.repeat(size, 1, 1, 1)
        noise = torch.randn_like(batch) * latent_sigma
        answers = network(batch + noise).argmax(1).cpu().numpy()
        counts += np.bincount(answers, minlength=num_classes)
    return counts
