"""Whether a limit leaves classes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from latentsmooth.images.image_set import ImageSet

__all__ = ["limit_note"]

_RUN = 4
"""Images in a row of one class, on average, from which on a set counts as sorted by class."""


def limit_note(whole: ImageSet, chosen: ImageSet) -> str | None:
    """What to say of a limit on a set that is sorted by class; ``None`` where there is nothing.

    The first images of such a set are of its first classes, and speak for no others.
    """
    labels = whole.labels
    known = labels[labels >= 0]
    kept = chosen.labels[chosen.labels >= 0]
    if chosen.limit is None or not len(kept):
        return None
    runs = int((known[1:] != known[:-1]).sum()) + 1
    classes, seen = len(torch.unique(known)), len(torch.unique(kept))
    is_sorted = runs == classes or runs * _RUN <= len(known)
    if not is_sorted or seen >= min(classes, len(kept)):
        return None
    stride = len(whole) // len(chosen)
    advice = (
        f"--stride {stride} (stride={stride}) spreads as many over all of it"
        if stride > chosen.stride
        else "no limit, or a smaller one with a stride, is of them all"
    )
    return (
        f"the set is sorted by class, and these {len(chosen)} images are of {seen} of {classes} "
        f"classes; {advice}"
    )
