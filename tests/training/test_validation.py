from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.training import validate

LATENT_SIGMA = 0.5


class Above(nn.Module):
    """A half-space: class 1 where the latent exceeds one half."""

    def forward(self, latents: Tensor) -> Tensor:
        return torch.cat((0.5 - latents, latents - 0.5), 1)


class Grey:
    """One-pixel images of two greys; the label is the brighter or darker."""

    source, class_names, image_shape, fingerprint = "grey", ("dark", "bright"), (1, 1, 1), ""

    def __init__(self, margin: float) -> None:
        self.margin, self.indices = margin, range(1000)
        self.asked: list[int] = []

    def __len__(self) -> int:
        return 1000

    def batch(self, positions: Sequence[int] | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows = torch.as_tensor(positions)
        self.asked += rows.tolist()
        labels = rows % 2
        greys = 0.5 + self.margin * (2 * labels - 1)
        return greys.view(-1, 1, 1, 1).float(), labels, rows


def half_space() -> LatentSmoothedClassifier:
    return LatentSmoothedClassifier(
        nn.Flatten(),
        Above(),
        latent_sigma=LATENT_SIGMA,
        class_names=Grey.class_names,
        image_shape=Grey.image_shape,
    )


def test_accuracies_are_the_half_spaces() -> None:
    model, images = half_space(), Grey(margin=0.4)
    result = validate(
        model, images, count=500, draws=101, seed=0, bfloat16=False, accelerator=Accelerator()
    )
    expected = 0.5 * (1 + math.erf(0.4 / LATENT_SIGMA / math.sqrt(2)))
    assert result.noisy_accuracy == pytest.approx(expected, abs=0.008)
    assert result.smoothed_accuracy == 1.0
    assert (result.images, result.draws) == (500, 101)
    assert len(set(images.asked)) == len(images.asked) == 500
    assert max(images.asked) >= 998


def test_noise_is_keyed_and_the_mode_is_kept() -> None:
    model = half_space()
    model.train()

    def run(seed: int) -> float:
        return validate(
            model,
            Grey(margin=0.1),
            count=200,
            draws=5,
            seed=seed,
            bfloat16=False,
            accelerator=Accelerator(),
        ).noisy_accuracy

    assert run(0) == run(0)
    assert run(0) != run(1)
    assert model.training
