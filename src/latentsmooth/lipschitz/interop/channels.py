"""What keeps a constant per channel from repeating a single channel of the input."""

from __future__ import annotations

from latentsmooth.errors import UnverifiedModule
from latentsmooth.lipschitz.registry import BoundOf

__all__ = ["check_channels"]


def check_channels(bound_of: BoundOf, channels: int, *, axes: int | None = None) -> None:
    """Raise where a module with so many constants may be given another number of channels.

    Such modules do not check their input; broadcasting would repeat a single channel, which
    lengthens.

    Args:
        bound_of: knows the shapes that the module is called with.
        channels: of the module's constants.
        axes: of an input, samples first, where the constants' shape fixes their number.

    Raises:
        UnverifiedModule: where the shapes are not known, or do not fit.
    """
    if axes is None and channels == 1:
        return
    if not bound_of.input_shapes:
        raise UnverifiedModule(
            f"its {channels} constants would repeat an input of one channel; give input_shape to "
            "show that it has as many"
        )
    for shape in bound_of.input_shapes:
        fits = axes is None or len(shape) == axes
        if not fits or len(shape) < 2 or channels not in (1, shape[1]):
            raise UnverifiedModule(f"its {channels} constants meet an input of shape {shape}")
