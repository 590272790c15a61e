"""Continuous batching: the same votes whatever the batches, and nothing lost."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError, DataError, ShapeError
from latentsmooth.smoothing import (
    HeadExecutor,
    Phase,
    Scheduler,
    Votes,
    as_rows,
    choose_lattice,
    noise_filler,
    noise_key,
    rows_as_latents,
)
from tests.seeds import shifted

CPU = torch.device("cpu")
SHAPE = (2, 3, 5)
LATTICE = choose_lattice(latent_sigma=0.7, size=30, largest=8.0)
CLASSES = 4


class Head(nn.Module):
    """The class is told by the signs of two coordinates, so that rounding decides nothing."""

    def forward(self, latents: Tensor) -> Tensor:
        first, second = latents[:, 0, 1, 2] > 0, latents[:, 1, 2, 4] > 0.5
        return nn.functional.one_hot(2 * first.long() + second.long(), CLASSES).float()


class Counting:
    """A job that asks for draws in several rounds, the last ones as its votes say."""

    def __init__(self, number: int, rounds: list[dict[Phase, int]]) -> None:
        generator = torch.Generator().manual_seed(shifted(number))
        self.shaped = torch.randn(*SHAPE, generator=generator)
        self.latent = as_rows(self.shaped.unsqueeze(0))[0]
        self.key = noise_key(seed=3, index=number)
        self.seconds = 0.0
        self.number = number
        self.votes: Votes = np.zeros(0, np.int64)
        self._rounds = list(rounds)

    def step(self, votes: Votes) -> Mapping[Phase, int]:
        self.votes = votes.copy()
        if self._rounds:
            return self._rounds.pop(0)
        # Whoever's votes are odd goes on a little: the length depends on the votes.
        odd = int(votes[Phase.ESTIMATE][0]) % 2
        return {Phase.ESTIMATE: 13} if odd and votes.sum() < 400 else {}


def jobs(count: int = 9) -> list[Counting]:
    both = {Phase.SELECT: 10, Phase.ESTIMATE: 37}
    return [
        Counting(number, [both] + [{Phase.ESTIMATE: 21}] * (number % 3)) for number in range(count)
    ]


def scheduler(
    *, batch_size: int = 32, in_flight: int = 64, head: nn.Module | None = None
) -> Scheduler:
    executor = HeadExecutor(
        head or Head(),
        latent_shape=SHAPE,
        num_classes=CLASSES,
        batch_size=batch_size,
        precision="float32",
        executor="eager",
        device=CPU,
    )
    return Scheduler(executor, noise_filler(CPU), lattice=LATTICE, in_flight=in_flight)


def counted(job: Counting) -> Votes:
    """The votes that a job should have, drawn all at once by the reference."""
    totals = np.zeros((len(Phase), CLASSES), np.int64)
    for phase in Phase:
        draws = int(job.votes[phase].sum())
        plan = torch.tensor([[0, job.key, int(phase), draw] for draw in range(draws)])
        rows = torch.empty(draws, job.latent.numel())
        if draws:
            noise_filler(CPU, implementation="reference").fill(
                rows,
                job.latent.unsqueeze(0),
                plan,
                latent_sigma=LATTICE.latent_sigma,
                step=LATTICE.step,
            )
            answers = Head()(rows_as_latents(rows, SHAPE)).argmax(1)
            totals[phase] = np.bincount(answers.numpy(), minlength=CLASSES)
    return totals


@pytest.mark.parametrize("batch_size", [1, 7, 32, 1000])
@pytest.mark.parametrize("in_flight", [1, 3, 64])
def test_votes_are_those_of_each_image_alone(batch_size: int, in_flight: int) -> None:
    engine = scheduler(batch_size=batch_size, in_flight=in_flight)
    done = list(engine.run(jobs()))
    assert [job.number for job in done] == list(range(9))
    for job in done:
        assert np.array_equal(job.votes, counted(job))
    assert len({int(job.votes.sum()) for job in done}) > 3


def test_batches_are_full_but_for_the_last_ones() -> None:
    engine = scheduler(batch_size=64)
    done = list(engine.run([Counting(n, [{Phase.ESTIMATE: 1000}]) for n in range(6)]))
    drawn = sum(int(job.votes.sum()) for job in done)
    assert engine.rows_filled == drawn
    # Each image may ask for a last few draws when all others are done.
    assert engine.rows_padded <= 64 * 7
    assert engine.rows_padded < 0.05 * drawn


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_last_images_are_drawn_ahead_of_their_questions(count: int) -> None:
    engine = scheduler(batch_size=100)
    rounds = [{Phase.SELECT: 5, Phase.ESTIMATE: 7}] + [{Phase.ESTIMATE: 11}] * 40
    done = list(engine.run([Counting(number, rounds) for number in range(count)]))
    for job in done:
        assert np.array_equal(job.votes, counted(job))
        assert job.votes.sum() >= 12 + 40 * 11
    batches = (engine.rows_filled + engine.rows_ahead + engine.rows_padded) / 100
    assert batches <= 2 + sum(int(job.votes.sum()) for job in done) / 100 * 1.5
    assert engine.rows_padded < 100


def test_padding_and_phases_are_never_counted() -> None:
    engine = scheduler(batch_size=1000)
    [job] = engine.run([Counting(1, [{Phase.PREDICT: 3}])])
    assert job.votes.sum(axis=1).tolist() == [0, 0, 3]
    assert engine.rows_padded == 997


def test_images_are_taken_in_only_when_needed() -> None:
    taken: list[int] = []

    def making() -> Iterator[Counting]:
        for job in jobs(20):
            taken.append(job.number)
            yield job

    run = scheduler(batch_size=47, in_flight=2).run(making())
    next(run)
    assert len(taken) <= 3
    assert len(list(run)) == 19


def test_a_failing_image_does_not_lose_those_before_it() -> None:
    def making() -> Iterator[Counting]:
        yield from jobs(3)
        raise ValueError("the fourth image is damaged")

    run = scheduler().run(making())
    for number in range(3):
        job = next(run)
        assert job.number == number
        assert np.array_equal(job.votes, counted(job))
    with pytest.raises(ValueError, match="fourth"):
        next(run)


def test_the_time_of_a_run_is_shared_out_among_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    # A clock that moves at each look: no second is lost to what else the machine does.
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))
    engine = scheduler(batch_size=20)
    done = list(engine.run(jobs(12)))
    stages = engine.stopwatch.stages
    assert set(stages) == {"encode", "noise", "head", "count", "statistics"}
    assert sum(job.seconds for job in done) == pytest.approx(sum(stages.values()), rel=0.05)
    assert all(job.seconds > 0 for job in done)


def test_a_scheduler_runs_again() -> None:
    engine = scheduler(in_flight=2)
    first = [job.votes.tolist() for job in engine.run(jobs())]
    second = [job.votes.tolist() for job in engine.run(jobs())]
    assert first == second


def test_runs_take_turns_and_may_come_from_threads() -> None:
    engine = scheduler(batch_size=16, in_flight=2)
    first, second = engine.run(jobs()), engine.run(jobs()[::-1])
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.votes, counted(one))
        assert np.array_equal(other.votes, counted(other))
    found: list[Counting] = []
    threads = [threading.Thread(target=lambda: found.extend(engine.run(jobs()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 27
    assert all(np.array_equal(job.votes, counted(job)) for job in found)


def test_a_run_goes_on_in_another_inference_mode() -> None:
    with torch.inference_mode():
        engine = scheduler(in_flight=2)
        run = engine.run(jobs())
        next(run)
    rest = list(run)
    assert all(np.array_equal(job.votes, counted(job)) for job in rest)


def test_answers_that_are_no_class_end_the_run() -> None:
    class Broken(Head):
        def forward(self, latents: Tensor) -> Tensor:
            scores = super().forward(latents)
            return torch.where(latents[:, :1, 0, 0] > 0, scores, torch.nan)

    engine = scheduler(head=Broken())
    with pytest.raises(DataError, match=r"of 47 noisy latents|to 47 noisy latents"):
        list(engine.run(jobs(1)))


def test_no_images_are_no_error() -> None:
    assert list(scheduler().run([])) == []


def test_wrong_latents_and_settings_are_refused() -> None:
    odd = Counting(0, [])
    odd.latent = torch.zeros(29)
    with pytest.raises(ShapeError, match="30 elements"):
        list(scheduler().run([odd]))
    with pytest.raises(ConfigurationError, match="in flight"):
        scheduler(in_flight=0)
