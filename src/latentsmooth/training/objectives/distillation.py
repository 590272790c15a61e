"""Learning from a larger classifier's votes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from latentsmooth.errors import ConfigurationError
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.training.objectives.base import LatentObjective
from latentsmooth.training.objectives.noise import repeat_draws
from latentsmooth.training.objectives.options import count, number
from latentsmooth.training.objectives.probabilities import by_draw, kl_divergence
from latentsmooth.training.objectives.teacher import teacher_vote

__all__ = ["DistillationObjective"]


@dataclass(frozen=True, kw_only=True)
class DistillationObjective(LatentObjective):
    r"""Cross-entropy, and the distance of noisy predictions from a teacher's soft vote.

    .. math:: (1 - \lambda) \frac{1}{m} \sum_i \mathrm{CE}(\ell_i, y) + \lambda T^2
              \frac{1}{m} \sum_i \mathrm{KL}(t \,\|\, \mathrm{softmax}(\ell_i / T)), \quad
              t = \frac{1}{n} \sum_j \mathrm{softmax}(\ell^{teacher}_j / T)

    The teacher, a saved classifier such as a larger network smoothed in input space, votes under
    its own noise behind its own encoder. What the student then learns is the smoothed prediction
    itself, with how sure it is of every image. Averaged over the noise it is soft already, so the
    temperature is 1 unless asked otherwise.
    Source: G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network",
    arXiv 1503.02531; the vote under noise as the teaching signal is this package's choice.

    Args:
        draws: m, noise draws an image of the student.
        teacher_draws: n, noise draws an image of the teacher.
        weight: lambda, share of the teacher in the loss.
        temperature: T, of both softmaxes.
        teacher: a trained classifier of the same images and classes.
        label_smoothing: see `LatentObjective`; so too ``bfloat16``.
    """

    draws: int = count(1)
    teacher_draws: int = count(4)
    weight: float = number(0.9, least=0, most=1)
    temperature: float = number(1.0, above=0)

    uses_teacher: ClassVar[Literal["never", "optionally", "always"]] = "always"

    def __call__(
        self,
        model: LatentSmoothedClassifier,
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,
        progress: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Return the mean loss and the first draw's logits ``(batch, classes)``."""
        if self.teacher is None:
            raise ConfigurationError("the objective distillation needs a teacher, got none")
        latents = self.encode(model, images)
        logits = self.noisy_votes(model, latents, draws=self.draws, generator=generator)
        target = teacher_vote(
            self.teacher,
            images,
            draws=self.teacher_draws,
            generator=generator,
            precision=self.low_precision(images.device),
            temperature=self.temperature,
        )
        found = by_draw((logits / self.temperature).log_softmax(1), self.draws)
        taught = self.temperature**2 * kl_divergence(target, found).mean()
        told = self.cross_entropy(logits, repeat_draws(labels, self.draws))
        return torch.lerp(told, taught, self.weight), logits[: len(labels)]
