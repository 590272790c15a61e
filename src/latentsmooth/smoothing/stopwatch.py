"""Where the time of a run goes, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

__all__ = ["Lap", "Stopwatch"]


@dataclass(slots=True)
class Lap:
    """One stage's time; ``seconds`` stands once the stage is over."""

    seconds: float = 0.0


class Stopwatch:
    """Adds up seconds by stage.

    Args:
        device: where the work runs.
        waits: whether to wait for a device that works on its own at the end of every stage. On a
            CPU there is nothing to wait for.

    Attributes:
        stages: seconds by the stage's name.
    """

    def __init__(self, device: torch.device, *, waits: bool = False) -> None:
        self.stages: dict[str, float] = {}
        self._device = device
        self._waits = waits and device.type == "cuda"

    @contextmanager
    def __call__(self, stage: str) -> Iterator[Lap]:
        """Time what happens inside, as a part of ``stage``."""
        lap = Lap()
        start = time.perf_counter()
        try:
            yield lap
        finally:
            if self._waits:
                torch.cuda.synchronize(self._device)
            lap.seconds = time.perf_counter() - start
            self.stages[stage] = self.stages.get(stage, 0.0) + lap.seconds
