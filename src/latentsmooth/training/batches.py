"""Which images a step sees, and how they look."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.images import random_crop_flip
from latentsmooth.training.interfaces import LabelledImages
from latentsmooth.training.keys import derive_seed, keyed_generator
from latentsmooth.training.settings import TrainingSettings

__all__ = ["BatchPlan", "Batches"]

_LOOKAHEAD = 3


@dataclass(frozen=True)
class BatchPlan:
    """The images of every step of every process, known in advance.

    Epoch e goes through the permutation keyed by (seed, e); a step takes the next ``batch_size``
    of it, and each process its share of those.

    Args:
        images: size of the training set.
        batch_size: images a step over all processes; no more than the set allows.
        seed: of the permutations.
        rank: this process.
        processes: how many processes share each batch.
    """

    images: int
    batch_size: int
    seed: int
    rank: int = 0
    processes: int = 1

    @classmethod
    def make(
        cls, images: int, settings: TrainingSettings, *, rank: int = 0, processes: int = 1
    ) -> BatchPlan:
        """Return the plan for a set of that size; a batch that cannot be shared is an error."""
        if settings.batch_size % processes:
            raise ConfigurationError(
                f"batch_size must be a multiple of the {processes} processes, "
                f"got {settings.batch_size}"
            )
        batch_size = min(settings.batch_size, images - images % processes)
        if batch_size < 1:
            raise DataError(f"training needs at least {processes} images, got {images}")
        return cls(images, batch_size, settings.seed, rank, processes)

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in the set."""
        return self.images // self.batch_size

    def order(self, epoch: int) -> Tensor:
        """Return the epoch's permutation of all positions, ``(images,)`` int64."""
        return torch.randperm(self.images, generator=keyed_generator(self.seed, "order", epoch))

    def positions(self, step: int, order: Tensor) -> Tensor:
        """Return this process's share of a step, ``(batch_size / processes,)`` int64.

        Args:
            step: counted from 0 over the whole run.
            order: what `order` gave for the step's epoch.
        """
        start = step % self.steps_per_epoch * self.batch_size
        return order[start : start + self.batch_size][self.rank :: self.processes]


class Batches:
    """Batches ready for a step: shuffled, augmented, on the device, channels last.

    Args:
        images: the training set.
        plan: which images come when.
        settings: whether and how to augment.
        device: where the batches go; for a GPU they are prepared ahead, in a thread.
    """

    def __init__(
        self,
        images: LabelledImages,
        plan: BatchPlan,
        settings: TrainingSettings,
        device: torch.device,
    ) -> None:
        self._images = images
        self._plan = plan
        self._settings = settings
        self._device = device
        self._order = (-1, torch.empty(0))

    def stream(self, first_step: int, last_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images ``(b, c, h, w)`` float32 and labels ``(b,)`` int64 of each step."""
        steps = range(first_step, last_step)
        if self._device.type == "cpu":
            yield from map(self.load, steps)
            return
        with ThreadPoolExecutor(1) as pool:
            waiting = [pool.submit(self.load, step) for step in steps[:_LOOKAHEAD]]
            for step in steps:
                if step + _LOOKAHEAD < last_step:
                    waiting.append(pool.submit(self.load, step + _LOOKAHEAD))
                yield waiting.pop(0).result()

    def load(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the batch of a step, images and labels; a missing or wild label is an error."""
        epoch = step // self._plan.steps_per_epoch
        if self._order[0] != epoch:
            self._order = (epoch, self._plan.order(epoch))
        positions = self._plan.positions(step, self._order[1])
        images, labels, indices = self._images.batch(positions)
        self._check_labels(labels, indices)
        settings = self._settings
        if settings.augment and (settings.crop_padding or settings.flip):
            seed = derive_seed(settings.seed, "augmentation", step, self._plan.rank)
            images = random_crop_flip(
                images,
                generator=torch.Generator().manual_seed(seed),
                padding=settings.crop_padding,
                flip=settings.flip,
            )
        if self._device.type == "cuda":
            images, labels = images.pin_memory(), labels.pin_memory()
        images = images.to(self._device, non_blocking=True, memory_format=torch.channels_last)
        return images, labels.to(self._device, non_blocking=True)

    def _check_labels(self, labels: Tensor, indices: Tensor) -> None:
        classes = len(self._images.class_names)
        wrong = ((labels < 0) | (labels >= classes)).nonzero()
        if len(wrong):
            row = int(wrong[0, 0])
            raise DataError(
                f"{self._images.source}: image {int(indices[row])} has the label "
                f"{int(labels[row])}; training wants labels from 0 to {classes - 1}"
            )
