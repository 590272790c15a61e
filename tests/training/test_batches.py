from __future__ import annotations

import pytest
import torch

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.training import TrainingSettings
from latentsmooth.training.batches import Batches, BatchPlan
from latentsmooth.training.keys import derive_seed
from tests.training.fakes import BrightQuadrants

CPU = torch.device("cpu")


def test_an_epoch_shows_each_image_once() -> None:
    plan = BatchPlan.make(10, TrainingSettings(batch_size=4))
    assert plan.steps_per_epoch == 2
    order = plan.order(0)
    seen = torch.cat([plan.positions(step, order) for step in range(2)])
    assert len(set(seen.tolist())) == 8
    assert not torch.equal(plan.order(0), plan.order(1))


def test_processes_share_the_batch() -> None:
    settings = TrainingSettings(batch_size=8)
    whole = BatchPlan.make(40, settings)
    parts = [BatchPlan.make(40, settings, rank=rank, processes=2) for rank in (0, 1)]
    order = whole.order(0)
    shared = torch.cat([plan.positions(7, order) for plan in parts])
    assert set(shared.tolist()) == set(whole.positions(7, order).tolist())
    assert len(shared) == 8


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="multiple of the 3 processes, got 8"):
        BatchPlan.make(40, TrainingSettings(batch_size=8), processes=3)
    with pytest.raises(DataError, match="at least 2 images, got 1"):
        BatchPlan.make(1, TrainingSettings(batch_size=8), processes=2)


def test_a_small_set_is_one_batch() -> None:
    plan = BatchPlan.make(7, TrainingSettings(batch_size=128), processes=2)
    assert (plan.batch_size, plan.steps_per_epoch) == (6, 1)


def test_batches_depend_on_the_step_alone() -> None:
    images = BrightQuadrants(40)
    settings = TrainingSettings(batch_size=8)
    plan = BatchPlan.make(len(images), settings)
    straight = list(Batches(images, plan, settings, CPU).stream(0, 12))
    resumed = list(Batches(images, plan, settings, CPU).stream(7, 12))
    for (left, left_labels), (right, right_labels) in zip(straight[7:], resumed, strict=True):
        assert torch.equal(left, right)
        assert torch.equal(left_labels, right_labels)
    assert straight[0][0].is_contiguous(memory_format=torch.channels_last)


def test_batches_prepared_ahead_are_the_same() -> None:
    images = BrightQuadrants(40)
    settings = TrainingSettings(batch_size=8, augment=False)
    plan = BatchPlan.make(len(images), settings)
    plain = Batches(images, plan, settings, CPU)
    ahead = Batches(images, plan, settings, torch.device("meta"))
    labels = [plain.load(step)[1].shape for step in range(12)]
    assert [batch[1].shape for batch in ahead.stream(0, 12)] == labels


def test_a_wild_label_is_named() -> None:
    images = BrightQuadrants(8)
    images.labels[5] = -1
    settings = TrainingSettings(batch_size=8)
    batches = Batches(images, BatchPlan.make(8, settings), settings, CPU)
    with pytest.raises(DataError, match=r"quadrants: image 5 has the label -1.*from 0 to 3"):
        batches.load(0)


def test_seeds_are_the_same_everywhere() -> None:
    assert derive_seed(0, "noise", 7) == 3541993843066589761
    assert derive_seed(1, "1") != derive_seed(11, "")
