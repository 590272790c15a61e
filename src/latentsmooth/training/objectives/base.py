"""What an objective is."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from latentsmooth.models import LatentSmoothedClassifier

__all__ = ["Objective"]


class Objective(Protocol):
    """A rule that turns a classifier and a batch into a loss to be minimised."""

    def __call__(
        self,
        model: LatentSmoothedClassifier,
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Return the loss and the logits it came from.

        Args:
            model: the classifier in training.
            images: ``(batch, channels, height, width)`` in [0, 1].
            labels: ``(batch,)`` int64.
            generator: source of all noise, on the images' device.

        Returns:
            The scalar mean loss and the logits ``(batch, classes)``, both float32.
        """
        ...
