"""How far apart two ways to one number may come out, from the dtype and the size of the numbers.

Which processor a test runs on, with how many threads and which matrix units, decides the order of
the sums and which products are fused with them. Each of those roundings moves a number by at most
``eps / 2`` of the largest number on the way, whatever the order, so that two ways of ``n`` steps
are at most ``n * eps * scale`` apart (N. J. Higham, *Accuracy and stability of numerical
algorithms*, section 3.1). A defect, a forgotten term or a stale weight, moves it by ``scale``.

Use ``assert_near`` for what was computed in float32 or below, and wherever numbers that are not
small are subtracted. A tolerance of 1e-9 and more between numbers of float64 that are not far from
one is already a million roundings, and exact promises (``torch.equal``) are for what takes the same
calls on the same machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

STEPS = 64


def rounding(dtype: torch.dtype, *, steps: float = STEPS, scale: float = 1.0) -> float:
    """What ``steps`` roundings of numbers up to ``scale`` amount to at the most."""
    return steps * torch.finfo(dtype).eps * scale


def assert_near(
    found: Any,
    wanted: Any,
    *,
    steps: float = STEPS,
    scale: float | None = None,
    dtype: torch.dtype | None = None,
    about: object = "",
) -> None:
    """Raise unless all entries are within ``steps`` roundings of the largest number.

    Args:
        found: What the code under test computed: a tensor, an array or a number.
        wanted: The same by another way, of the same shape or one that broadcasts.
        steps: Roundings on the longer way: the terms of a sum, times the layers it passes.
        scale: The largest number on either way; without it the largest that is wanted, which is
            too little where a sum cancels.
        dtype: What the coarser way computes in; without it the coarser of the two dtypes.
        about: Told when it fails.
    """
    ours, theirs = (
        torch.as_tensor(np.asarray(x) if not torch.is_tensor(x) else x.detach())
        for x in (found, wanted)
    )
    if dtype is None:
        dtypes = [x.dtype for x in (ours, theirs) if x.is_floating_point()]
        dtype = max(dtypes, key=lambda kind: torch.finfo(kind).eps)
    ours, theirs = ours.double(), theirs.double()
    if scale is None:
        scale = float(theirs.abs().max()) if theirs.numel() else 0.0
    most = rounding(dtype, steps=steps, scale=scale)
    torch.testing.assert_close(
        ours,
        theirs.expand_as(ours),
        rtol=0.0,
        atol=most,
        msg=lambda text: f"{about}: {steps:g} roundings of {dtype} at {scale:g}: {text}",
    )
