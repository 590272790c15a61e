"""Which implementation of the noise a device gets."""

from __future__ import annotations

import warnings
from functools import lru_cache
from itertools import product
from typing import Literal

import torch

from latentsmooth.errors import ConfigurationError
from latentsmooth.smoothing.noise.definition import GRADES, Grade
from latentsmooth.smoothing.noise.exact import ExactReferenceFiller
from latentsmooth.smoothing.noise.filler import NoiseFiller
from latentsmooth.smoothing.noise.native import BuildError, NativeExactFiller, NativeFiller
from latentsmooth.smoothing.noise.reference import ReferenceFiller

__all__ = ["Implementation", "noise_filler"]

Implementation = Literal["auto", "native", "triton", "reference"]


def noise_filler(
    device: torch.device, *, implementation: Implementation = "auto", grade: Grade = "fast"
) -> NoiseFiller:
    """Choose what writes the noise on a device.

    All implementations of a grade write the same bits; before one is used in a process, a sample of
    it is compared with the reference.

    Args:
        device: where the latents and the output live.
        implementation: "auto" is native on processors and, of grade fast, Triton on CUDA devices.
            Where that does not work, a warning says why and the reference takes its place.
        grade: fast or exact; see `NOISE_DEFINITIONS`.

    Raises:
        ConfigurationError: for an implementation that is unknown, not for this device, or, asked
            for by name, does not work here.

    >>> noise_filler(torch.device("cpu"), implementation="reference").name
    'reference'
    """
    device = torch.device(device)
    if implementation not in ("auto", "native", "triton", "reference"):
        raise ConfigurationError(
            f"unknown implementation {implementation!r}: use auto, native, triton or reference"
        )
    if grade not in GRADES:
        raise ConfigurationError(f"unknown grade of noise {grade!r}: use {' or '.join(GRADES)}")
    if implementation == "auto":
        kernels = "triton" if grade == "fast" else "reference"
        fast = {"cpu": "native", "cuda": kernels}.get(device.type, "reference")
        return _fast_or_reference(device, fast, grade)
    if implementation == "reference":
        return _reference(device, grade)
    if implementation == "native" and device.type != "cpu":
        raise ConfigurationError(f"native noise is made in main memory, not on {device}")
    if implementation == "triton" and grade != "fast":
        raise ConfigurationError(f"there is no triton noise of grade {grade}: use reference")
    try:
        return _checked(device, implementation, grade)
    except BuildError as error:
        raise ConfigurationError(f"no {implementation} noise on {device}: {error}") from error


def _reference(device: torch.device, grade: Grade) -> NoiseFiller:
    return ReferenceFiller(device) if grade == "fast" else ExactReferenceFiller(device)


def _fast_or_reference(device: torch.device, name: str, grade: Grade) -> NoiseFiller:
    if name != "reference":
        try:
            return _checked(device, name, grade)
        except BuildError as error:
            _warn_once(f"noise is drawn by slow, plain torch operations: no {name} noise: {error}")
    return _reference(device, grade)


@lru_cache
def _warn_once(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=4)


def _checked(device: torch.device, name: str, grade: Grade) -> NoiseFiller:
    if name == "native":
        native = NativeFiller(device) if grade == "fast" else NativeExactFiller(device)
        _compare(native)
        return native
    # Imported late: Triton takes a second to import, and few machines need it.
    from latentsmooth.smoothing.noise.triton import TritonFiller

    triton = TritonFiller(device)
    try:
        _compare(triton)
    except BuildError:
        raise
    except Exception as error:  # no driver, no compiler, an old device: each has its own
        raise BuildError(f"{type(error).__name__}: {error}") from error
    return triton


_agreed: set[tuple[str, Grade, torch.device]] = set()


def _compare(filler: NoiseFiller) -> None:
    """Refuse an implementation whose bits are not the reference's, as a miscompiled one's."""
    if (filler.name, filler.grade, filler.device) in _agreed:
        return
    plan = torch.tensor([[0, -3, 1, 0], [1, 2**62 + 5, 2, 2**32 - 1], [-1, 0, 0, 0]])
    sigma, step = 0.3, 2.0**-14
    latents = torch.linspace(-2, 2, 2 * 1001).view(2, 1001).div(step).round() * step
    reference = _reference(torch.device("cpu"), filler.grade)
    # Unrounded, normals of grade fast show their last bits.
    steps = (step, 0.0) if filler.grade == "fast" else (step,)
    for dtype, step in product((torch.float32, torch.bfloat16, torch.float16), steps):
        wanted = torch.empty(3, 1001, dtype=dtype)
        reference.fill(wanted, latents, plan, latent_sigma=sigma, step=step)
        found = torch.empty(3, 1001, dtype=dtype, device=filler.device)
        filler.fill(found, latents.to(filler.device), plan, latent_sigma=sigma, step=step)
        if not torch.equal(found.cpu(), wanted):
            raise BuildError(f"its {dtype} noise is not bit for bit what it should be")
    _agreed.add((filler.name, filler.grade, filler.device))
