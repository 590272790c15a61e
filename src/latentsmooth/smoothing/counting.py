"""Votes of a batch that mixes images, counted where the head runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentsmooth.smoothing.executor import HeadExecutor

__all__ = ["BatchCounter", "PendingCounts", "Piece"]

Piece = tuple[int, int, int, int, int]
"""Slot of the latent, key, phase, first draw, and rows of one piece of a batch."""


class PendingCounts:
    """Votes on their way from the device."""

    def __init__(
        self, counts: Tensor, answers: Tensor, ready: torch.cuda.Event | None = None
    ) -> None:
        self._counts = counts
        self._answers = answers
        self._ready = ready

    def wait(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return, once they are there, the votes and the answers drawn ahead.

        Returns:
            ``(pieces, classes + 1)`` votes, the last column for answers that are not finite, and
            ``(rows,)`` classes of the rows drawn ahead.
        """
        if self._ready is not None:
            self._ready.synchronize()
        return self._counts.numpy(), self._answers.numpy()


class BatchCounter:
    """The plan of a batch, sent to the device in one piece, and its votes, brought back in one.

    Args:
        executor: whose batches are planned and counted.
        buffers: batches that may be on their way at a time.
    """

    def __init__(self, executor: HeadExecutor, *, buffers: int) -> None:
        self._executor = executor
        self._device = executor.device
        self._pins = executor.device.type == "cuda"
        self._plans = [
            torch.zeros(executor.batch_size, 5, dtype=torch.int64, pin_memory=self._pins)
            for _ in range(buffers)
        ]
        self._turn = 0
        self._pieces = 0
        self._ahead = slice(0, 0)
        self._groups = torch.zeros(0, dtype=torch.int64)

    def load(self, pieces: Sequence[Piece], ahead: Sequence[Piece] = ()) -> Tensor:
        """Lay out a batch.

        Args:
            pieces: whose votes are counted.
            ahead: whose answers are wanted one by one, since it is open how many will count.

        Returns:
            ``(batch, 4)`` int64 on the device: slot, key, phase and draw of every row, as
            `NoiseFiller` wants them; slot -1 in rows that no piece fills.
        """
        plan = self._plans[self._turn]
        self._turn = (self._turn + 1) % len(self._plans)
        cells = plan.numpy()
        start = 0
        counted = 0
        for number, (slot, key, phase, first, rows) in enumerate([*pieces, *ahead]):
            piece = cells[start : start + rows]
            group = min(number, len(pieces))  # the group after the last is not looked at
            piece[:, 0], piece[:, 1], piece[:, 2], piece[:, 4] = slot, key, phase, group
            piece[:, 3] = np.arange(first, first + rows)
            start += rows
            counted = start if number < len(pieces) else counted
        cells[start:] = (-1, 0, 0, 0, len(pieces))
        self._ahead = slice(counted, start)
        there = plan.to(self._device, non_blocking=True)
        self._pieces = len(pieces)
        self._groups = there[:, 4]
        return there[:, :4].contiguous()

    def count(self, classes: Tensor) -> PendingCounts:
        """Count the answers to the batch laid out last.

        Args:
            classes: ``(batch,)`` int64 on the device.
        """
        each = self._executor.num_classes + 1  # the last: no class at all
        cells = self._groups * each + classes
        # One group more than there are pieces takes the answers to empty rows.
        counts = torch.zeros((self._pieces + 1) * each, dtype=torch.int64, device=self._device)
        counts.scatter_add_(0, cells, torch.ones_like(cells))
        counts = counts[: self._pieces * each].view(self._pieces, each)
        answers = classes[self._ahead]
        if not self._pins:
            return PendingCounts(counts.cpu(), answers.cpu().clone())
        ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
        votes, ahead = self._brought_back(counts), self._brought_back(answers)
        ready.record(torch.cuda.current_stream(self._device))
        return PendingCounts(votes, ahead, ready)

    @staticmethod
    def _brought_back(there: Tensor) -> Tensor:
        here = torch.empty(there.shape, dtype=torch.int64, pin_memory=True)
        return here.copy_(there, non_blocking=True)
