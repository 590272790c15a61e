"""What the machine is, and which arithmetic it is good at."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any, Literal

import torch

from latentsmooth.errors import ConfigurationError

__all__ = [
    "Precision",
    "ResolvedPrecision",
    "cache_folder",
    "computes_bfloat16",
    "describe_machine",
    "dtype_of",
    "processor_name",
    "resolve_precision",
]

Precision = Literal["auto", "bfloat16", "float16", "float32"]
ResolvedPrecision = Literal["bfloat16", "float16", "float32"]


def computes_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies in bfloat16 in hardware, rather than emulating it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not torch._C._has_mkldnn:
        return False
    capabilities = _cpu_capabilities()
    if capabilities.get("architecture", "x86_64") == "x86_64":
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def resolve_precision(precision: Precision, device: torch.device) -> ResolvedPrecision:
    """Return the choice itself, or for "auto" what the device is good at.

    Raises:
        ConfigurationError: for an unknown name.

    >>> resolve_precision("float32", torch.device("cpu"))
    'float32'
    """
    if precision == "auto":
        return "bfloat16" if computes_bfloat16(device) else "float32"
    if precision in ("float32", "bfloat16", "float16"):
        return precision
    raise ConfigurationError(
        f"unknown precision {precision!r}: use float32, bfloat16, float16 or auto"
    )


def dtype_of(precision: ResolvedPrecision) -> torch.dtype:
    """Return the torch dtype of a precision.

    >>> dtype_of("bfloat16")
    torch.bfloat16
    """
    dtypes = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
    return dtypes[precision]


def cache_folder() -> Path | None:
    """Return the folder for what can be made again: built kernels, measured batch sizes.

    It is ``latentsmooth`` under ``$XDG_CACHE_HOME``, or under the home folder's ``.cache``;
    ``None`` for a user without a home.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "latentsmooth"
    except RuntimeError:
        return None


def describe_machine(device: torch.device) -> dict[str, str | int]:
    """Return what a reader needs to judge a speed: device, processor, cores, threads, system."""
    facts: dict[str, str | int] = {
        "device": device.type,
        "processor": processor_name(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
    }
    if device.type == "cuda":
        facts["accelerator"] = torch.cuda.get_device_name(device)
    return facts


def processor_name() -> str:
    """Return the processor's marketing name, or its architecture where that is not told."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cpu_capabilities() -> dict[str, Any]:
    """Return the processor's features; torch before 2.10 tells only some, by private names."""
    tell = getattr(torch.cpu, "get_capabilities", None)
    if tell is not None:
        return dict(tell())
    amx = getattr(torch.cpu, "_is_amx_tile_supported", None)
    avx = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return {
        "architecture": platform.machine().lower().replace("amd64", "x86_64"),
        "amx_bf16": bool(amx and amx()),
        "avx512_bf16": bool(avx and avx()),
    }
