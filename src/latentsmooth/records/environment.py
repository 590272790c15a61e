"""The software's versions for a manifest."""

from __future__ import annotations

import platform

from latentsmooth.version import __version__

__all__ = ["package_versions"]


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
