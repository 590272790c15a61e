"""What training asks of a set of images, and nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

__all__ = ["LabelledImages"]


class LabelledImages(Protocol):
    """Images with labels, read in batches; `latentsmooth.images.ImageSet` is one."""

    @property
    def source(self) -> str:
        """Where the images come from, as the user wrote it."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the labels' order."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""

    @property
    def fingerprint(self) -> str:
        """Hash of the images' content."""

    @property
    def indices(self) -> Sequence[int]:
        """Position of each image in the full split."""

    def __len__(self) -> int:
        """Return the number of images."""

    def batch(self, positions: Sequence[int] | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return images ``(b, c, h, w)`` in [0, 1], labels ``(b,)`` and indices ``(b,)``."""
