"""Which arithmetic a processor is good at, and the machine's description."""

from __future__ import annotations

import platform
from typing import Any

import torch

from latentsmooth.training.settings import Precision

__all__ = ["computes_bfloat16", "describe_machine", "resolve_precision"]


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


def resolve_precision(precision: Precision, device: torch.device) -> str:
    """Return "bfloat16" or "float32": the choice itself, or for "auto" what the device is good at.

    >>> resolve_precision("float32", torch.device("cpu"))
    'float32'
    """
    if precision != "auto":
        return precision
    return "bfloat16" if computes_bfloat16(device) else "float32"


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return what a reader needs to judge a speed: device, cores, threads, versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor_name()
    return {
        "device": device.type,
        "name": name,
        "cpu_threads": torch.get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


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


def _processor_name() -> str:
    name = str(_cpu_capabilities().get("cpu_name", ""))
    return name or platform.processor() or platform.machine()
