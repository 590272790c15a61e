"""Classifiers small enough to be timed in a test, of which one has a known answer."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from latentsmooth.bench import Subject
from latentsmooth.bench.macs import matmul_rates
from latentsmooth.models import LatentSmoothedClassifier, build
from latentsmooth.orthogonal import Center
from tests.certification.half_space import HalfSpace
from tests.seeds import shifted

SHAPE = (1, 8, 8)


@pytest.fixture(scope="session", autouse=True)
def small_products() -> Iterator[None]:
    """A large product in bfloat16 takes minutes where the processor has no such arithmetic."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "latentsmooth.bench.comparison.matmul_rates",
            functools.partial(matmul_rates, side=64, seconds=0.0),
        )
        yield


@pytest.fixture(autouse=True)
def short_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latentsmooth.bench.contender.SWEEP_SECONDS", 0.0)


@pytest.fixture
def half_space() -> Subject:
    """An image of constant pixels p is of class 1 with probability Phi(8 (p - 0.5) / 0.5)."""
    model = LatentSmoothedClassifier(
        nn.Sequential(Center()),
        HalfSpace(64, 0.0),
        latent_sigma=0.5,
        class_names=("below", "above"),
        image_shape=SHAPE,
    )
    return Subject(label="half-space", model=model.eval(), trained=True)


@pytest.fixture
def haar() -> Subject:
    torch.manual_seed(shifted(0))
    model = build("lsrs-haar", num_classes=3, image_shape=SHAPE, width=0.05, latent_sigma=0.5)
    return Subject(label="lsrs-haar@0.05", model=model.eval(), trained=False)
