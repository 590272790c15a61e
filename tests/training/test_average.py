from __future__ import annotations

import torch
from torch import nn

from latentsmooth.training.average import MovingAverage, state_tensors


def fill(model: nn.Module, value: float) -> None:
    for tensor in state_tensors(model).values():
        tensor.fill_(value)


def test_the_average_follows_the_recursion() -> None:
    model = nn.BatchNorm1d(3)
    fill(model, 0.0)
    average = MovingAverage(model, decay=0.25)
    expected = 0.0
    for step, value in enumerate((1.0, 5.0, 9.0)):
        fill(model, value)
        average.update(step)
        decay = min(0.25, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    for name in ("weight", "bias", "running_mean", "running_var"):
        torch.testing.assert_close(average.tensors[name], torch.full((3,), expected))
    assert int(average.tensors["num_batches_tracked"]) == 9


def test_constants_are_kept_exactly() -> None:
    model = nn.Linear(50, 50)
    before = model.weight.detach().clone()
    average = MovingAverage(model, decay=0.999)
    for step in range(20):
        average.update(step)
    assert torch.equal(average.tensors["weight"], before)


def test_the_average_is_lent_and_taken_back() -> None:
    model = nn.Linear(2, 2)
    average = MovingAverage(model, decay=0.9)
    fill(model, 7.0)
    with average.applied():
        assert torch.equal(model.weight, average.tensors["weight"])
        assert not torch.equal(model.weight, torch.full((2, 2), 7.0))
    assert torch.equal(model.weight, torch.full((2, 2), 7.0))
    average.store()
    assert torch.equal(model.weight, average.tensors["weight"])
