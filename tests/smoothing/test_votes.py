"""Votes and the head's copy."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.smoothing import (
    NoiseStream,
    Phase,
    count_votes,
    default_batch_size,
    prepare_head,
)

CPU = torch.device("cpu")


def noise() -> NoiseStream:
    return NoiseStream(
        seed=0,
        index=0,
        phase=Phase.ESTIMATE,
        latent_shape=(2,),
        latent_sigma=0.5,
        device=CPU,
    )


def first_coordinate(latents: Tensor) -> Tensor:
    return torch.stack([-latents[:, 0], latents[:, 0]], dim=1)


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_counts_do_not_depend_on_the_batch_size(batch_size: int) -> None:
    latent = torch.tensor([0.3, 0.0])
    votes = count_votes(
        first_coordinate, latent, noise(), samples=777, batch_size=batch_size, num_classes=2
    )
    sample = noise().fill(torch.empty(777, 2)) + latent
    assert votes.tolist() == [int((sample[:, 0] < 0).sum()), int((sample[:, 0] >= 0).sum())]
    assert votes.dtype == torch.int64


def test_the_heads_input_is_rounded_once_to_its_dtype() -> None:
    seen = []

    def head(latents: Tensor) -> Tensor:
        seen.append(latents)
        return first_coordinate(latents)

    latent = torch.tensor([0.3, 0.0])
    count_votes(
        head, latent, noise(), samples=10, batch_size=4, num_classes=2, dtype=torch.bfloat16
    )
    exact = noise().fill(torch.empty(10, 2)) + latent
    assert torch.equal(torch.cat(seen), exact.bfloat16())
    assert [len(batch) for batch in seen] == [4, 4, 2]


def test_impossible_requests_are_named() -> None:
    latent = torch.zeros(2)
    with pytest.raises(ConfigurationError, match="got 0 and 4"):
        count_votes(first_coordinate, latent, noise(), samples=0, batch_size=4, num_classes=2)
    with pytest.raises(ShapeError, match=r"expected logits of shape \(4, 3\), got \(4, 2\)"):
        count_votes(first_coordinate, latent, noise(), samples=4, batch_size=4, num_classes=3)


def test_the_prepared_head_is_a_copy_in_evaluation_mode() -> None:
    head = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5)).train()
    prepared = prepare_head(head, precision="bfloat16")
    assert head.training
    assert not prepared.training
    assert next(head.parameters()).dtype == torch.float32
    assert all(parameter.dtype == torch.bfloat16 for parameter in prepared.parameters())
    assert not any(parameter.requires_grad for parameter in prepared.parameters())


@pytest.mark.parametrize("shape", [(512,), (3, 16, 16), (64, 32, 32)])
def test_default_batches_are_bounded(shape: tuple[int, ...]) -> None:
    assert 128 <= default_batch_size(shape, CPU) <= 512
    assert default_batch_size(shape, torch.device("cuda")) == 1024
