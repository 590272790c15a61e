"""Images in flight: what a job is, its votes, and its pieces of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from latentsmooth.smoothing.counting import PendingCounts, Piece
from latentsmooth.smoothing.noise import Phase

__all__ = ["Active", "Batch", "Job", "JobType", "Segment", "Votes"]

Votes = NDArray[np.int64]
"""``(phases, classes)``: an image's votes so far, one row a `Phase`."""


class Job(Protocol):
    """An image that wants votes.

    Attributes:
        latent: ``(m,)`` float32, in the order of `as_rows`.
        key: of its noise, `noise_key`.
        seconds: the scheduler adds the image's share of the time to it.
    """

    latent: Tensor
    key: int
    seconds: float

    def step(self, votes: Votes) -> Mapping[Phase, int]:
        """Say how many more draws of each phase are wanted; nothing at all ends the image.

        Called once with zeros, then whenever all draws asked for are counted. What it answers may
        depend on the votes alone, so that neither batches nor neighbours change a certificate.
        """


JobType = TypeVar("JobType", bound=Job)


@dataclass(slots=True)
class Active(Generic[JobType]):
    """An image in flight: where its latent lies, its votes, and draws asked for."""

    job: JobType
    place: int
    slot: int
    votes: Votes
    drawn: list[int]
    wanted: dict[Phase, int] = field(default_factory=dict)
    awaited: int = 0
    rounds: int = 0
    ahead: dict[Phase, NDArray[np.int64]] = field(default_factory=dict)

    def take(self, phase: Phase, count: int) -> int:
        """Count answers drawn ahead, at most so many; return how many there were."""
        answers = self.ahead.get(phase)
        if answers is None:
            return 0
        self.votes[phase] += np.bincount(answers[:count], minlength=self.votes.shape[1])
        self.ahead[phase] = answers[count:]
        return min(count, len(answers))


@dataclass(frozen=True, slots=True)
class Segment(Generic[JobType]):
    """Neighbouring rows of a batch that belong to one image and one phase."""

    active: Active[JobType]
    phase: Phase
    first: int
    rows: int

    @property
    def piece(self) -> Piece:
        """The segment as `BatchCounter` wants it."""
        return (self.active.slot, self.active.job.key, self.phase, self.first, self.rows)


@dataclass(frozen=True, slots=True)
class Batch(Generic[JobType]):
    """A batch on its way: rows asked for, rows drawn ahead, and the votes to come."""

    asked: list[Segment[JobType]]
    ahead: list[Segment[JobType]]
    counts: PendingCounts
