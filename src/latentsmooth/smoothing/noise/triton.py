"""The noise by Triton, on graphics processors."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor

from latentsmooth.smoothing.noise.filler import NoiseFiller, refuse_bad_rows, rounding_magnet
from latentsmooth.smoothing.noise.kernels import BLOCKS_A_PROGRAM, HAS_TRITON, fill_rows
from latentsmooth.smoothing.noise.native import BuildError

__all__ = ["TritonFiller"]


class TritonFiller(NoiseFiller):
    """Keyed noise by one Triton kernel, launched once a call.

    Raises:
        BuildError: where triton is not installed.
    """

    name = "triton"

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        if not HAS_TRITON:
            raise BuildError("the package triton is not installed")

    def _fill(
        self, out: Tensor, latents: Tensor, plan: Tensor, latent_sigma: float, step: float
    ) -> None:
        rows, size = out.shape
        if plan.device.type == "cpu":
            refuse_bad_rows(plan, slots=len(latents))
        plan = plan.to(out.device, non_blocking=True)
        written = out.view(torch.int16) if out.dtype == torch.bfloat16 else out
        kernel: Any = fill_rows
        here: Any = torch.cuda.device(out.device) if out.is_cuda else contextlib.nullcontext()
        with here:
            # Fused, a product and a sum would be rounded once, not twice.
            kernel[rows, -(-size // (4 * BLOCKS_A_PROGRAM))](
                written,
                latents,
                plan,
                size,
                len(latents),
                latent_sigma,
                rounding_magnet(step),
                enable_fp_fusion=False,
            )
