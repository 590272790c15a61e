"""The interface of the implementations: latents in, noisy latents out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.smoothing.noise.definition import LARGEST_NORMAL, Grade
from latentsmooth.smoothing.noise.inverse import inverse_table

__all__ = ["ExactFiller", "NoiseFiller", "refuse_bad_rows", "refuse_row", "rounding_magnet"]

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
LARGEST_SIZE = 1 << 33  # blocks of two elements, or four, are counted in 32 bits


class NoiseFiller(ABC):
    """Writes latents with keyed Gaussian noise, row by row.

    Row ``r`` is a function of its latent, ``latent_sigma``, ``step`` and ``plan[r]`` alone: the
    same bits in any batch, on any number of threads, from any implementation.

    Args:
        device: where the latents and the output live.
    """

    name: str
    """Which implementation it is: native, triton or reference."""
    grade: Grade = "fast"
    """What it draws; see `NOISE_DEFINITIONS`."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def fill(
        self,
        out: Tensor,
        latents: Tensor,
        plan: Tensor,
        *,
        latent_sigma: float,
        step: float = 0.0,
    ) -> Tensor:
        """Write ``latents[slot] + round(latent_sigma * normal(key, phase, draw))`` into every row.

        Noise is rounded to multiples of ``step``. Where the latents are multiples as well and no
        sum is beyond ``2**24`` steps, as `Lattice` sees to, the sum is exact in float32; it is then
        rounded once to the output's dtype.

        Args:
            out: ``(rows, m)``, contiguous float32, bfloat16 or float16.
            latents: ``(slots, m)``, contiguous float32.
            plan: ``(rows, 4)`` int64 on the filler's device or in main memory, columns slot, key,
                phase and draw. Slot -1 makes a row of zeros. A plan in an accelerator's memory is
                not read back: a row of it that cannot be drawn comes out as NaN.
            latent_sigma: standard deviation of each coordinate.
            step: of the lattice, a power of two; 0 leaves noise of grade fast as it is.

        Returns:
            ``out``.

        Raises:
            ShapeError: where the tensors do not fit one another.
            ConfigurationError: for a slot, phase or draw out of range, or a bad ``latent_sigma``
                or ``step``.

        Example:
            >>> from latentsmooth.smoothing.noise import Phase, noise_filler, noise_key
            >>> filler = noise_filler(torch.device("cpu"), implementation="reference")
            >>> key = noise_key(seed=0, index=7)
            >>> plan = torch.tensor([[0, key, Phase.SELECT, draw] for draw in (3, 4, 3)])
            >>> noisy = filler.fill(torch.empty(3, 5), torch.zeros(1, 5), plan, latent_sigma=0.5)
            >>> bool((noisy[0] == noisy[2]).all()), bool((noisy[0] == noisy[1]).any())
            (True, False)
        """
        self._check(out, latents, plan)
        if not (math.isfinite(latent_sigma) and latent_sigma >= 0):
            raise ConfigurationError(f"wanted latent_sigma >= 0 and finite, got {latent_sigma}")
        self._check_step(latent_sigma, step)
        if out.numel():
            self._fill(out, latents, plan, latent_sigma, step)
        return out

    @abstractmethod
    def _fill(
        self, out: Tensor, latents: Tensor, plan: Tensor, latent_sigma: float, step: float
    ) -> None:
        """Write the rows; the tensors fit one another and there is something to write."""

    def _check_step(self, latent_sigma: float, step: float) -> None:
        if step == 0.0:
            return
        if not (math.isfinite(step) and step > 0 and math.frexp(step)[0] == 0.5):
            raise ConfigurationError(f"wanted a step that is a power of two, got {step}")
        if latent_sigma * LARGEST_NORMAL > 2.0**22 * step:
            raise ConfigurationError(
                f"wanted a step of at least {latent_sigma * LARGEST_NORMAL / 2**22:.3g} for noise "
                f"of {latent_sigma}, got {step}"
            )

    def _check(self, out: Tensor, latents: Tensor, plan: Tensor) -> None:
        if out.ndim != 2 or out.dtype not in DTYPES or not out.is_contiguous():
            raise ShapeError(
                "expected out of shape (rows, m), contiguous, in float32, bfloat16 or float16, "
                f"got {_describe(out)}"
            )
        rows, size = out.shape
        if latents.shape[1:] != (size,) or not _plain(latents, torch.float32):
            raise ShapeError(
                f"expected contiguous float32 latents of shape (slots, {size}), "
                f"got {_describe(latents)}"
            )
        if plan.shape != (rows, 4) or not _plain(plan, torch.int64):
            raise ShapeError(
                f"expected a contiguous int64 plan of shape ({rows}, 4), got {_describe(plan)}"
            )
        if size > LARGEST_SIZE:
            raise ShapeError(f"expected at most {LARGEST_SIZE} elements a row, got {size}")
        devices = {out.device.type, latents.device.type, plan.device.type}
        if devices - {"cpu"} - {self.device.type} or out.device != latents.device:
            raise ShapeError(
                f"expected out and latents on {self.device}, and the plan there or on cpu, got "
                f"{out.device}, {latents.device} and {plan.device}"
            )


class ExactFiller(NoiseFiller):
    """Writes latents with normal noise rounded to the lattice, by inversion."""

    grade: Grade = "exact"

    def _check_step(self, latent_sigma: float, step: float) -> None:
        if step == 0.0:
            raise ConfigurationError("noise of grade exact wants the step of a lattice, got 0")
        super()._check_step(latent_sigma, step)
        inverse_table(latent_sigma / step)  # refuses what it is not made for


def rounding_magnet(step: float) -> float:
    """What rounds a float32 to a multiple of ``step`` when it is added and taken away again.

    Example:
        >>> magnet = torch.tensor(rounding_magnet(0.25))
        >>> ((torch.tensor([0.3, -0.4, 1.126]) + magnet) - magnet).tolist()
        [0.25, -0.5, 1.25]
    """
    return 1.5 * 2.0**23 * step


def _plain(tensor: Tensor, dtype: torch.dtype) -> bool:
    return tensor.dtype == dtype and tensor.is_contiguous()


def _describe(tensor: Tensor) -> str:
    how = "" if tensor.is_contiguous() else ", not contiguous"
    return f"{tuple(tensor.shape)} {tensor.dtype}{how}"


def refuse_bad_rows(plan: Tensor, *, slots: int) -> None:
    """Look for rows of a plan that cannot be drawn.

    Raises:
        ConfigurationError: for the first such row.
    """
    slot, phase, draw = plan[:, 0], plan[:, 2], plan[:, 3]
    bad = (slot < -1) | (slot >= slots) | ((slot >= 0) & (((draw | phase) >> 32) != 0))
    if bool(bad.any()):
        refuse_row(plan, row=int(bad.nonzero()[0]), slots=slots)


def refuse_row(plan: Tensor, *, row: int, slots: int) -> None:
    """Raise for a row of a plan that cannot be drawn.

    Raises:
        ConfigurationError: always; it says what the row asks for.
    """
    slot, _, phase, draw = plan[row].tolist()
    raise ConfigurationError(
        f"row {row} of the plan has slot {slot}, phase {phase} and draw {draw}: wanted a slot "
        f"from -1 to {slots - 1}, and a phase and a draw from 0 to 2**32 - 1"
    )
