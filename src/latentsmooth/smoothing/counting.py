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
            torch.zeros(5 * executor.batch_size, dtype=torch.int64, pin_memory=self._pins)
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
        size = self._executor.batch_size
        rows, groups = plan[: 4 * size].view(size, 4).numpy(), plan[4 * size :].numpy()
        start = 0
        counted = 0
        for number, (slot, key, phase, first, draws) in enumerate([*pieces, *ahead]):
            end = start + draws
            rows[start:end] = (slot, key, phase, first)
            rows[start:end, 3] += np.arange(draws)
            groups[start:end] = min(number, len(pieces))  # what is not counted comes last
            start = end
            counted = end if number < len(pieces) else counted
        rows[start:] = (-1, 0, 0, 0)
        groups[start:] = len(pieces)
        self._ahead = slice(counted, start)
        self._pieces = len(pieces)
        there = plan.to(self._device, non_blocking=True)
        self._groups = there[4 * size :]
        return there[: 4 * size].view(size, 4)

    def count(self, classes: Tensor) -> PendingCounts:
        """Count the answers to the batch laid out last.

        Args:
            classes: ``(batch,)`` int64 on the device.
        """
        each = self._executor.num_classes + 1  # the last: no class at all
        # One group more than there are pieces takes the answers that are not counted.
        if self._device.type == "cpu":
            cells = self._groups.numpy() * each + classes.numpy()
            found = np.bincount(cells, minlength=(self._pieces + 1) * each)
            votes = torch.from_numpy(found[: self._pieces * each].reshape(-1, each))
            return PendingCounts(votes, classes[self._ahead].clone())
        counts = torch.zeros((self._pieces + 1) * each, dtype=torch.int64, device=self._device)
        counts.scatter_add_(0, self._groups * each + classes, torch.ones_like(classes))
        counts = counts[: self._pieces * each].view(self._pieces, each)
        answers = classes[self._ahead]
        if not self._pins:
            return PendingCounts(counts.cpu(), answers.cpu())
        ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
        votes, ahead = self._brought_back(counts), self._brought_back(answers)
        ready.record(torch.cuda.current_stream(self._device))
        return PendingCounts(votes, ahead, ready)

    @staticmethod
    def _brought_back(there: Tensor) -> Tensor:
        here = torch.empty(there.shape, dtype=torch.int64, pin_memory=True)
        return here.copy_(there, non_blocking=True)
