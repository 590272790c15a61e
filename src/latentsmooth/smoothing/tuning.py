"""Choose how the head runs by a short measurement, and remember it for the next time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from latentsmooth.files import write_whole
from latentsmooth.machine import ResolvedPrecision, cache_folder, processor_name
from latentsmooth.smoothing.executor import Executor, HeadExecutor, ResolvedExecutor
from latentsmooth.version import __version__

__all__ = ["HeadChoice", "choose_head"]

_SIZES = {"cpu": (32, 64, 128, 256, 512), "other": (128, 256, 512, 1024, 2048, 4096)}
_MOST_ELEMENTS = {"cpu": 1 << 26, "other": 1 << 30}
_SECONDS_A_SIZE = 0.4
_MOST_SECONDS_A_SIZE = 2.0
_WORTH_COMPILING = 120.0
"""Seconds of eager work from which trying compilation, some tens of seconds, may pay."""
_CLEARLY = 1.02
_BESIDE_THE_HEAD = 2e-4
"""Seconds that planning, counting and deciding take a batch, whatever its size."""
_HOPELESS = 0.9
"""Share of the best speed below which larger batches are not tried."""


@dataclass(frozen=True, slots=True)
class HeadChoice:
    """How to run a head: the way, latents a batch, and the latents a second that were seen."""

    executor: ResolvedExecutor
    batch_size: int
    rate: float


def choose_head(
    head: nn.Module,
    *,
    latent_shape: Sequence[int],
    num_classes: int,
    precision: ResolvedPrecision,
    device: torch.device,
    executor: Executor = "auto",
    workload: int | None = None,
    memory: Path | None = None,
) -> HeadChoice:
    """Measure a head at several batch sizes, eagerly and compiled, and take the fastest.

    What was found is remembered by the head's architecture (weights don't change the speed), the
    machine, the threads and the versions, so that a second run starts at once.

    Args:
        head: the trained head.
        latent_shape: shape of one latent.
        num_classes: its outputs.
        precision: of the head.
        device: where it runs.
        executor: the only way to try, or ``auto`` for both; ``auto`` tries compilation only where
            the eager head would need minutes for the workload.
        workload: latents to be classified; unknown, it is taken to be small.
        memory: the file that remembers (default in `cache_folder`).

    Returns:
        The choice.

    Raises:
        RuntimeError: where the head runs at no batch size.
    """
    kind = "cpu" if device.type == "cpu" else "other"
    most = max(1, _MOST_ELEMENTS[kind] // max(1, math.prod(latent_shape)))
    sizes = [size for size in _SIZES[kind] if size <= most] or [min(most, _SIZES[kind][0])]
    failed: list[Exception] = []

    def rate(way: ResolvedExecutor, size: int) -> float:
        try:
            made = HeadExecutor(
                head,
                latent_shape=latent_shape,
                num_classes=num_classes,
                batch_size=size,
                precision=precision,
                executor=way,
                device=device,
            )
            return _rate(made) if made.executor == way else 0.0
        except (RuntimeError, MemoryError) as error:
            failed.append(error)  # a batch too large for the memory is only one not to choose
            return 0.0

    folder = cache_folder()
    kept = _Memory(memory or (folder and folder / "head-speeds.json"))
    key = _key(head, latent_shape, precision, device)
    found: list[HeadChoice] = []
    if executor != "compiled":
        found.append(kept.recall(f"{key}:eager", lambda: _best("eager", sizes, rate)))
        if not found[0].rate and failed:
            raise failed[0]
    if executor == "eager":
        return found[0]
    known = kept.look_up(f"{key}:compiled")
    if known is None and found and (workload or 0) / max(found[0].rate, 1e-9) < _WORTH_COMPILING:
        known = found[0]
    if known is None:
        start = found[0].batch_size if found else sizes[len(sizes) // 2]
        known = kept.recall(f"{key}:compiled", lambda: _climb("compiled", start, sizes, rate))
    return max([*found, known], key=lambda choice: choice.rate)


def _best(
    way: ResolvedExecutor, sizes: Sequence[int], rate: Callable[[ResolvedExecutor, int], float]
) -> HeadChoice:
    """Try every size; of nearly equal ones the smaller, which wastes less at the end of a run."""
    best = HeadChoice(way, sizes[0], 0.0)
    for size in sizes:
        seen = rate(way, size)
        if seen < best.rate * _HOPELESS:
            break
        if seen > best.rate * _CLEARLY:
            best = HeadChoice(way, size, seen)
    return best


def _climb(
    way: ResolvedExecutor,
    start: int,
    sizes: Sequence[int],
    rate: Callable[[ResolvedExecutor, int], float],
) -> HeadChoice:
    """Go up or down from a size while that pays: every size tried costs a compilation."""
    best = HeadChoice(way, start, rate(way, start))
    for direction in (
        [size for size in sizes if size > start],
        [size for size in reversed(sizes) if size < start],
    ):
        for size in direction:
            seen = rate(way, size)
            if seen <= best.rate * _CLEARLY:
                break
            best = HeadChoice(way, size, seen)
        if best.batch_size != start:
            break
    return best


def _rate(executor: HeadExecutor) -> float:
    """Latents a second, after a first call that allocates and builds kernels."""

    def call() -> None:
        executor.classify()
        if executor.device.type == "cuda":
            torch.cuda.synchronize(executor.device)

    executor.rows.normal_()
    call()
    times: list[float] = []
    while sum(times) < _SECONDS_A_SIZE or (len(times) < 3 and sum(times) < _MOST_SECONDS_A_SIZE):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    # The best of them: whatever else the machine does only ever makes a call slower.
    return executor.batch_size / (min(times) + _BESIDE_THE_HEAD)


def _key(
    head: nn.Module,
    latent_shape: Sequence[int],
    precision: ResolvedPrecision,
    device: torch.device,
) -> str:
    machine = processor_name()
    if device.type == "cuda":
        machine = torch.cuda.get_device_name(device)
    parts = (
        f"{__version__} {torch.__version__}",
        f"{machine} {device.type} {torch.get_num_threads()}",
        f"{precision} {tuple(latent_shape)} {head}",
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


class _Memory:
    """A small JSON file of choices; one that cannot be read or written is done without."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def look_up(self, key: str) -> HeadChoice | None:
        entry = self._read().get(key)
        if not isinstance(entry, list) or len(entry) != 3:
            return None
        way, size, rate = entry
        if way not in ("eager", "compiled") or type(size) is not int or size < 1:
            return None
        return HeadChoice(way, size, rate) if isinstance(rate, float) and rate >= 0 else None

    def recall(self, key: str, measure: Callable[[], HeadChoice]) -> HeadChoice:
        known = self.look_up(key)
        if known is not None:
            return known
        found = measure()
        if self._path is None or not found.rate:
            return found  # what failed once, for want of memory or a compiler, may work next time
        content = self._read() | {key: [found.executor, found.batch_size, found.rate]}
        with contextlib.suppress(OSError):
            write_whole(self._path, json.dumps(content))
        return found

    def _read(self) -> dict[str, object]:
        if self._path is None:
            return {}
        try:
            content = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}
