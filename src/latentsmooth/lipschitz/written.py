"""Whether somebody writes into a tensor."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Kept"]


class Kept:
    """A tensor as it is now, to be compared with what it is later.

    Args:
        value: an ordinary tensor, not tracked.

    Example:
        >>> value = torch.zeros(2)
        >>> kept = Kept(value)
        >>> kept.written(), value.add_(0).sum().item(), kept.written()
        (False, 0.0, True)
    """

    def __init__(self, value: Tensor) -> None:
        self.value = value
        self.before = value.detach().clone()
        self._version = _version(value)

    def written(self) -> bool:
        """Whether it was written into, by torch's own count or because an entry differs."""
        if _version(self.value) != self._version:
            return True
        # Writing through .data or NumPy is not counted.
        now, before = self.value.detach(), self.before
        return not bool(((now == before) | (now.isnan() & before.isnan())).all())


def _version(value: Tensor) -> int:
    # Torch does not count for tensors of inference mode, in which nothing here runs.
    return 0 if value.is_inference() else int(value._version)
