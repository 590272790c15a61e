"""Small stand-ins: a set of separable images, and a classifier of a few weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.orthogonal import OrthogonalConv2d
from tests.seeds import shifted


class BrightQuadrants:
    """Images of noise with one bright quadrant, which is the class."""

    source = "quadrants"
    class_names: tuple[str, ...] = ("one", "two", "three", "four")
    image_shape = (3, 8, 8)

    def __init__(self, count: int = 96, *, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(shifted(seed))
        self.fingerprint = f"quadrants-{count}-{seed}"
        self.indices = range(count)
        self.labels = torch.arange(count) % 4
        self.images = torch.rand(count, *self.image_shape, generator=generator) * 0.3
        for image, label in zip(self.images, self.labels.tolist(), strict=True):
            top, left = 4 * (label // 2), 4 * (label % 2)
            image[:, top : top + 4, left : left + 4] += 0.7

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, positions: Sequence[int] | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows = torch.as_tensor(positions)
        return self.images[rows], self.labels[rows], rows


def tiny_classifier(
    *, seed: int = 0, latent_sigma: float = 0.25, dropout: float = 0.1
) -> LatentSmoothedClassifier:
    with torch.random.fork_rng([]):
        torch.manual_seed(shifted(seed))
        encoder = OrthogonalConv2d(3, 4, 3)
        head = nn.Sequential(
            nn.Conv2d(4, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(8 * 16, 4),
        )
    return LatentSmoothedClassifier(
        encoder,
        head,
        latent_sigma=latent_sigma,
        class_names=BrightQuadrants.class_names,
        image_shape=BrightQuadrants.image_shape,
    )
