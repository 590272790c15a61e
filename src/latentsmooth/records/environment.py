"""Facts about the machine and the software for a manifest."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from latentsmooth.version import __version__

__all__ = ["machine_facts", "package_versions"]


def package_versions() -> dict[str, str]:
    """Return the versions of latentsmooth, torch and python that are running.

    >>> sorted(package_versions())
    ['latentsmooth', 'python', 'torch']
    """
    import torch

    return {
        "latentsmooth": __version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def machine_facts() -> dict[str, str | int]:
    """Return the platform, the processor's name, its cores, and the accelerator if there is one.

    >>> machine_facts()["cores"] >= 1
    True
    """
    import torch

    facts: dict[str, str | int] = {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
    }
    if torch.cuda.is_available():
        facts["accelerator"] = torch.cuda.get_device_name()
    return facts


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
