"""Evaluation mode for a while, every module's own mode restored afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["evaluating"]


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Switch modules to evaluation; a part that was frozen before is found frozen after."""
    parts = [part for module in modules for part in module.modules()]
    modes = [part.training for part in parts]
    if any(modes):  # Switching anew would make layers forget the weights that they keep.
        for module in modules:
            module.eval()
    try:
        yield
    finally:
        for part, training in zip(parts, modes, strict=True):
            part.training = training
