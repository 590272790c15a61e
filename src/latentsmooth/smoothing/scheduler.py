"""Continuous batching: chunks of many images' samples, packed into full head batches."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic

import numpy as np
import torch
from torch import Tensor

from latentsmooth.errors import ConfigurationError, DataError, ShapeError
from latentsmooth.smoothing.counting import BatchCounter
from latentsmooth.smoothing.executor import HeadExecutor
from latentsmooth.smoothing.flight import Active, Batch, JobType, Segment
from latentsmooth.smoothing.lattice import Lattice
from latentsmooth.smoothing.noise import NoiseFiller, Phase
from latentsmooth.smoothing.stopwatch import Stopwatch

__all__ = ["Scheduler"]

_AHEAD = 4
"""Images finished but waiting for an earlier one, at most, in multiples of those in flight."""


class Scheduler:
    """Run images through the head in full batches, several images in flight.

    Work comes in chunks of (image, phase, draws). A batch is filled from the oldest images first;
    an image that is decided frees its place at once and the next one is taken in. Since the noise
    is keyed by draw and an image's questions depend on its own votes alone, the votes are those
    of any other order. Where no image is left to fill a batch, those that have asked repeatedly
    get their next draws ahead of being asked for; they count only if they are.

    Args:
        executor: the head and its batch.
        filler: of the noise.
        lattice: what the latents lie on and the noise is rounded to; holds its ``latent_sigma``.
        in_flight: images whose latents are held at a time.
        profile: wait for the device after every stage, so that `stopwatch` tells where the time
            goes on a GPU as well.

    Attributes:
        stopwatch: seconds by stage: encode, noise, head, count, statistics.
        batches: batches run so far.
        rows_filled: rows of the batches that were asked for.
        rows_ahead: rows drawn ahead.
        rows_padded: rows left empty in the last batches.
    """

    def __init__(
        self,
        executor: HeadExecutor,
        filler: NoiseFiller,
        *,
        lattice: Lattice,
        in_flight: int = 64,
        profile: bool = False,
    ) -> None:
        if in_flight < 1:
            raise ConfigurationError(f"wanted at least 1 image in flight, got {in_flight}")
        self.executor = executor
        self.lattice = lattice
        self.stopwatch = Stopwatch(executor.device, waits=profile)
        self.batches = 0
        self.rows_filled = 0
        self.rows_ahead = 0
        self.rows_padded = 0
        self._filler = filler
        self._in_flight = in_flight
        # A GPU works on one batch while the one before is counted; a CPU has nothing to overlap.
        self._depth = 0 if executor.device.type == "cpu" else 1
        # Runs may take turns, or come from several threads: all they share is the head's buffer.
        self._lock = threading.Lock()

    def run(self, jobs: Iterable[JobType]) -> Iterator[JobType]:
        """Yield the jobs, each done, in the order given.

        Args:
            jobs: taken one by one, shortly before they are needed; making a job is the place to
                encode its image.

        Raises:
            ShapeError: for a latent of another size than the head's.
            DataError: where the head's answers are not finite.
            Exception: whatever making a job raises, once those made before are done and yielded.
        """
        yield from _Run(self, jobs)


class _Run(Generic[JobType]):
    """One pass over jobs."""

    def __init__(self, owner: Scheduler, jobs: Iterable[JobType]) -> None:
        self._owner = owner
        self._jobs = iter(jobs)
        self._more = True
        self._failure: Exception | None = None
        self._free = list(range(owner._in_flight))[::-1]
        self._counter = BatchCounter(owner.executor, buffers=owner._depth + 2)
        self._latents = self._zeros(0)
        self._queue: deque[Active[JobType]] = deque()
        self._wanted_rows = 0
        self._launched: deque[Batch[JobType]] = deque()
        self._done: dict[int, JobType] = {}
        self._admitted = 0
        self._emitted = 0
        self._spent = 0.0

    def __iter__(self) -> Iterator[JobType]:
        owner = self._owner
        size = owner.executor.batch_size
        while True:
            self._admit(size * (owner._depth + 1))
            if self._queue and (self._wanted_rows >= size or not self._launched):
                self._launch()
            if len(self._launched) > owner._depth or (self._launched and self._wanted_rows < size):
                self._collect()
            while self._emitted in self._done:
                self._emitted += 1
                yield self._done.pop(self._emitted - 1)
            if not (self._queue or self._launched or self._more):
                break
        if self._failure is not None:
            raise self._failure

    def _admit(self, rows: int) -> None:
        window = _AHEAD * self._owner._in_flight
        while (
            self._more
            and self._free
            and self._wanted_rows < rows
            and self._admitted - self._emitted < window
        ):
            watch = self._owner.stopwatch
            try:
                with watch("encode") as encoding:
                    job = next(self._jobs, None)
                    if job is not None:
                        slot = self._take_in(job.latent)
            except Exception as error:
                # Images before this one are finished first: nothing of theirs is lost.
                self._failure, self._more = error, False
                return
            if job is None:
                self._more = False
                return
            job.seconds += encoding.seconds
            # One column more for answers that are no class.
            shape = (len(Phase), self._owner.executor.num_classes + 1)
            active = Active(job, self._admitted, slot, np.zeros(shape, np.int64), [0] * len(Phase))
            self._admitted += 1
            self._ask(active)

    def _take_in(self, latent: Tensor) -> int:
        owner = self._owner
        width = owner.executor.rows.shape[1]
        if tuple(latent.shape) != (width,):
            raise ShapeError(f"expected a latent of {width} elements, got {tuple(latent.shape)}")
        slot = self._free[-1]
        # Whoever takes the next certificate may do so in another inference mode.
        with torch.inference_mode(False), torch.no_grad():
            if slot >= len(self._latents):
                grown = min(owner._in_flight, max(4, 2 * (slot + 1)))
                added = self._zeros(grown - len(self._latents))
                self._latents = torch.cat([self._latents, added])
            self._latents[slot].copy_(latent)
        return self._free.pop()

    def _zeros(self, slots: int) -> Tensor:
        executor = self._owner.executor
        width = executor.rows.shape[1]
        return torch.zeros(slots, width, dtype=torch.float32, device=executor.device)

    def _ask(self, active: Active[JobType]) -> None:
        with self._owner.stopwatch("statistics") as asking:
            wanted = self._missing(active)
        active.job.seconds += asking.seconds
        if not wanted:
            self._free.append(active.slot)
            self._done[active.place] = active.job
            return
        active.wanted = wanted
        active.awaited = sum(wanted.values())
        self._wanted_rows += active.awaited
        self._queue.append(active)

    def _missing(self, active: Active[JobType]) -> dict[Phase, int]:
        """What the image asks for and was not drawn ahead; nothing where it is done."""
        while True:
            active.rounds += 1
            votes, lost = active.votes[:, :-1], int(active.votes[:, -1].sum())
            if lost:
                raise DataError(
                    f"{lost} of the head's answers to {active.votes.sum()} noisy latents of an "
                    f"image are not finite in {self._owner.executor.precision}: they have no class"
                )
            asked = {phase: n for phase, n in active.job.step(votes).items() if n > 0}
            wanted = {phase: n - active.take(phase, n) for phase, n in asked.items()}
            wanted = {phase: n for phase, n in wanted.items() if n > 0}
            if wanted or not asked:
                return wanted

    def _launch(self) -> None:
        owner = self._owner
        size = owner.executor.batch_size
        asked = self._pack(size)
        filled = sum(segment.rows for segment in asked)
        ahead = self._draw_ahead(asked, size - filled)
        with owner.stopwatch("count") as loading:
            pieces = [[segment.piece for segment in segments] for segments in (asked, ahead)]
            plan = self._counter.load(*pieces)
        with owner._lock:
            with owner.stopwatch("noise") as drawing:
                owner._filler.fill(
                    owner.executor.rows,
                    self._latents,
                    plan,
                    latent_sigma=owner.lattice.latent_sigma,
                    step=owner.lattice.step,
                )
            with owner.stopwatch("head") as classifying:
                classes = owner.executor.classify()
            with owner.stopwatch("count") as counting:
                counts = self._counter.count(classes)
        self._spent += sum(lap.seconds for lap in (loading, drawing, classifying, counting))
        self._launched.append(Batch(asked, ahead, counts))
        owner.batches += 1
        owner.rows_filled += filled
        owner.rows_ahead += sum(segment.rows for segment in ahead)
        owner.rows_padded += size - filled - sum(segment.rows for segment in ahead)

    def _pack(self, room: int) -> list[Segment[JobType]]:
        segments = []
        while room and self._queue:
            active = self._queue[0]
            phase, count = next(iter(active.wanted.items()))
            rows = min(room, count)
            segments.append(self._segment(active, phase, rows))
            room -= rows
            self._wanted_rows -= rows
            if rows < count:
                active.wanted[phase] = count - rows
            else:
                del active.wanted[phase]
            if not active.wanted:
                self._queue.popleft()
        return segments

    def _draw_ahead(self, asked: Sequence[Segment[JobType]], room: int) -> list[Segment[JobType]]:
        """Fill the room that is left with draws that images of this batch may ask for next.

        Only images whose question this batch completes: what is drawn ahead is then there when
        they ask again, and counts from where they stand.
        """
        last = {s.active.place: s for s in asked if not s.active.wanted and s.active.rounds > 1}
        segments = []
        for left, segment in zip(range(len(last), 0, -1), last.values(), strict=True):
            rows = room // left
            if rows:
                segments.append(self._segment(segment.active, segment.phase, rows))
                room -= rows
        return segments

    def _segment(self, active: Active[JobType], phase: Phase, rows: int) -> Segment[JobType]:
        segment = Segment(active, phase, active.drawn[phase], rows)
        active.drawn[phase] += rows
        return segment

    def _collect(self) -> None:
        batch = self._launched.popleft()
        with self._owner.stopwatch("count") as waiting:
            votes, answers = batch.counts.wait()
        segments = [*batch.asked, *batch.ahead]
        share = (self._spent + waiting.seconds) / sum(segment.rows for segment in segments)
        self._spent = 0.0
        for segment in segments:
            segment.active.job.seconds += share * segment.rows
        start = 0
        for segment in batch.ahead:
            segment.active.ahead[segment.phase] = answers[start : start + segment.rows]
            start += segment.rows
        for segment, found in zip(batch.asked, votes, strict=True):
            active = segment.active
            active.votes[segment.phase] += found
            active.awaited -= segment.rows
            if active.awaited == 0:
                self._ask(active)
