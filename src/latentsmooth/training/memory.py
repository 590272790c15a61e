"""Keeping freed memory in the process while it trains on a CPU."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of ``mallopt``, from glibc's malloc.h."""
_NEVER = 2**31 - 1
"""Bytes: no allocation of a training step is as large."""
_LARGEST_OF_OLD = 32 * 2**20
"""Bytes: the most that glibc before 2.35 takes for the mmap threshold."""
_SETTLED = {_MMAP_THRESHOLD: _LARGEST_OF_OLD, _TRIM_THRESHOLD: 2 * _LARGEST_OF_OLD}
"""Where glibc's own adaptation to large allocations ends."""
_USERS_OWN = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_")

_lock = threading.Lock()
_inside = 0


@contextmanager
def keep_freed_memory(device: torch.device) -> Iterator[bool]:
    """Keep what tensors free for the next ones, rather than giving it back to the system.

    The activations and gradients of a step are large, and glibc returns large memory as soon as
    it is freed: every step then takes the same pages anew, zeroed by the kernel, one page fault
    for each 4 KiB. Inside the context glibc keeps them. Sizes repeat from step to step, so the
    process grows no larger than at its peak. At the end unused memory is given back, and the
    thresholds stay where glibc's own adaptation would have left them.

    It acts on CPUs, on Linux with glibc, and unless the user has set the thresholds in the
    environment (``MALLOC_*``, ``GLIBC_TUNABLES``); everywhere else nothing happens. It is never
    an error. The thresholds are the process's: contexts may be nested or shared by threads.

    Args:
        device: where the tensors are.

    Yields:
        Whether freed memory is kept.

    Example:
        >>> with keep_freed_memory(torch.device("meta")) as kept:
        ...     kept
        False
    """
    mallopt = _mallopt() if device.type == "cpu" and not _set_by_user() else None
    if mallopt is None:
        yield False
        return
    kept = _enter(mallopt)
    try:
        yield kept
    finally:
        _leave(mallopt)


def _enter(mallopt: Callable[[int, int], int]) -> bool:
    global _inside
    with _lock:
        _inside += 1
        if _inside == 1 and not mallopt(_MMAP_THRESHOLD, _NEVER):
            mallopt(_MMAP_THRESHOLD, _LARGEST_OF_OLD)
        return bool(mallopt(_TRIM_THRESHOLD, _NEVER))


def _leave(mallopt: Callable[[int, int], int]) -> None:
    global _inside
    with _lock:
        _inside -= 1
        if _inside == 0:
            for parameter, value in _SETTLED.items():
                mallopt(parameter, value)
            ctypes.CDLL(None).malloc_trim(0)


def _set_by_user() -> bool:
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    return "glibc.malloc." in tunables or any(name in os.environ for name in _USERS_OWN)


def _mallopt() -> Callable[[int, int], int] | None:
    """The ``mallopt`` of glibc; ``None`` where the C library is another one."""
    try:
        library = ctypes.CDLL(None)
        _ = library.gnu_get_libc_version, library.malloc_trim
        found = library.mallopt
    except (OSError, AttributeError, TypeError):  # TypeError: Windows has no CDLL(None)
        return None
    found.argtypes, found.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    return found
