"""A trained classifier to learn from."""

from __future__ import annotations

import torch
from torch import Tensor

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.training.objectives.noise import add_latent_noise
from latentsmooth.training.objectives.probabilities import log_soft_vote

__all__ = ["load_teacher", "teacher_vote"]


def load_teacher(
    source: str | None, *, student: LatentSmoothedClassifier, device: torch.device
) -> LatentSmoothedClassifier | None:
    """Return a saved classifier, frozen and in eval mode, that fits a student.

    Args:
        source: a folder, or what else `LatentSmoothedClassifier.from_pretrained` takes; without
            one there is no teacher.
        student: the classifier to be trained.
        device: where the teacher goes.

    Raises:
        ConfigurationError: the teacher's classes are others than the student's.
        ShapeError: it takes images of another shape.
        CorruptArtifact: it cannot be loaded.
    """
    if source is None:
        return None
    teacher = LatentSmoothedClassifier.from_pretrained(source)
    if teacher.image_shape != student.image_shape:
        raise ShapeError(
            f"the teacher {source} takes images of shape {teacher.image_shape}, "
            f"the student {student.image_shape}"
        )
    if teacher.class_names != student.class_names:
        raise ConfigurationError(
            f"the teacher {source} knows the {len(teacher.class_names)} classes "
            f"{_few(teacher.class_names)}, the student the {len(student.class_names)} classes "
            f"{_few(student.class_names)}"
        )
    return teacher.to(device).requires_grad_(False).eval()


def teacher_vote(
    teacher: LatentSmoothedClassifier,
    images: Tensor,
    *,
    draws: int,
    generator: torch.Generator,
    precision: torch.autocast,
    temperature: float = 1.0,
) -> Tensor:
    """Return the logarithm of the teacher's soft vote under its own noise: ``(batch, classes)``.

    Args:
        teacher: as `load_teacher` gives it; an ISRS one gets its noise on the pixels.
        images: ``(batch, *image_shape)`` in [0, 1].
        draws: noise draws an image; the teacher's encoder runs once.
        generator: source of the noise.
        precision: context in which the networks run.
        temperature: by which logits are divided.
    """
    with torch.no_grad():
        with precision:
            latents: Tensor = teacher.encoder(images)
        logits = []
        for _ in range(draws):  # one batch at a time: without gradients a larger one gains nothing
            noisy = add_latent_noise(
                latents, latent_sigma=teacher.latent_sigma, generator=generator
            )
            with precision:
                logits.append(teacher.head(noisy).float() / temperature)
        return log_soft_vote(torch.cat(logits), draws)


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
