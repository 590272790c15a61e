"""What takes part in a comparison: one interface for our engine, the textbook loop and peers."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Contender", "Outcome", "Unavailable", "Votes", "best_rate", "finish"]

SWEEP_SECONDS = 0.5

Votes = tuple[tuple[int, int], ...]
"""``(class, count)`` of one image's estimation samples, most votes first, at most five classes."""


class Unavailable(Exception):
    """A contender cannot take part here; the text says why in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One turn of a contender.

    Attributes:
        seconds: wall time of the turn.
        samples: noisy inputs classified, selection included.
        images: certified, or those whose samples it stands for.
        votes: of each image; empty where the contender certifies no images.
    """

    seconds: float
    samples: int
    images: int
    votes: tuple[Votes, ...] = ()


class Contender(ABC):
    """A way to certify images by a number of noisy samples each.

    Attributes:
        name: unique within a comparison.
        description: one sentence.
        kind: ``textbook``, ``art``, ``isrs``, ``lsrs`` or ``ceiling``.
        model: label of the network it runs.
        settings: what was chosen or measured, once `prepare` has run.
        macs: multiply-accumulates of one sample, once `prepare` has run.
        ceiling: name of the contender that it cannot be faster than, where one takes part.
        wants_many: whether few images would not fill its batches.
    """

    kind: str
    description: str

    def __init__(self, name: str, *, model: str) -> None:
        self.name = name
        self.model = model
        self.settings: dict[str, object] = {}
        self.macs = 0
        self.ceiling: str | None = None
        self.wants_many = False

    @abstractmethod
    def prepare(self, images: Tensor) -> None:
        """Do untimed, once, what a long run does once: compile, choose a batch size, warm up.

        Args:
            images: ``(batch, channels, height, width)`` float, pixels in [0, 1].

        Raises:
            Unavailable: where the contender cannot run here.
        """

    @abstractmethod
    def run(self, images: Tensor, n: int) -> Outcome:
        """Certify images.

        Args:
            images: ``(batch, channels, height, width)`` float, pixels in [0, 1].
            n: estimation samples an image.
        """


def finish(device: torch.device) -> None:
    """Wait until a device that works on its own has nothing left to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def best_rate(
    sizes: Sequence[int],
    make: Callable[[int], Callable[[], object]],
    device: torch.device,
    *,
    seconds: float | None = None,
) -> dict[int, float]:
    """Measure samples a second at several batch sizes.

    Args:
        sizes: batch sizes to try.
        make: from a batch size to the call that classifies one batch of it.
        device: where it runs.
        seconds: spent on each size, after one call that is not counted; two calls at least.
            Half a second by default.

    Returns:
        Samples a second by batch size, of the median call.
    """
    enough = SWEEP_SECONDS if seconds is None else seconds
    rates = {}
    for size in sizes:
        call = make(size)
        call()
        finish(device)
        times: list[float] = []
        while sum(times) < enough or len(times) < 2:
            start = time.perf_counter()
            call()
            finish(device)
            times.append(time.perf_counter() - start)
        rates[size] = size / sorted(times)[len(times) // 2]
    return rates
