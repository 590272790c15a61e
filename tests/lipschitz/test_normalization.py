"""Batch normalization in evaluation, and the normalizations that have no bound."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from latentsmooth.errors import UnverifiedModule
from latentsmooth.lipschitz import lipschitz_bound
from tests.oracles import singular_values
from tests.seeds import shifted

BATCH_NORMS: list[tuple[Any, tuple[int, ...]]] = [
    (nn.BatchNorm1d, (4, 5)),
    (nn.BatchNorm2d, (4, 3, 2)),
    (nn.BatchNorm3d, (4, 2, 2, 2)),
]


def spread(layer: Any) -> None:
    """Statistics and scales as training leaves them, signs included."""
    torch.manual_seed(shifted(0))
    with torch.no_grad():
        layer.running_var.uniform_(0.01, 3)
        layer.running_mean.normal_()
        if layer.weight is not None:
            layer.weight.normal_()


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("kind", "shape"), BATCH_NORMS)
def test_the_steepest_channel_counts(kind: Any, shape: tuple[int, ...], affine: bool) -> None:
    layer = kind(4, affine=affine)
    spread(layer)
    layer.double().eval()
    truth = float(singular_values(layer, shape).max())
    assert truth * (1 - 1e-12) <= lipschitz_bound(layer) <= truth * (1 + 1e-12)


def test_the_bound_is_about_evaluation() -> None:
    layer = nn.BatchNorm2d(3).train()
    assert lipschitz_bound(layer) == pytest.approx(1 / (1 + 1e-5) ** 0.5)
    assert layer.training
    chain = nn.Sequential(nn.Conv2d(3, 3, 3), layer)
    assert lipschitz_bound(chain) <= lipschitz_bound(chain[0])


def test_statistics_of_the_batch_have_no_bound() -> None:
    with pytest.raises(UnverifiedModule, match=r"0 \(BatchNorm2d\): .*track_running_stats=True"):
        lipschitz_bound(nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)))
    with pytest.raises(UnverifiedModule, match="track_running_stats=True"):
        lipschitz_bound(nn.InstanceNorm2d(3))
    layer = nn.InstanceNorm2d(4, affine=True, track_running_stats=True)
    spread(layer)
    layer.double().eval()
    truth = float(singular_values(layer, (4, 3, 2)).max())
    assert truth <= lipschitz_bound(layer) * (1 + 1e-12)


def test_a_negative_variance_is_refused() -> None:
    layer = nn.BatchNorm1d(2)
    assert layer.running_var is not None
    layer.running_var.fill_(-1.0)
    with pytest.raises(UnverifiedModule, match="negative"):
        lipschitz_bound(layer)


class OwnNorm(nn.LayerNorm):
    pass


@pytest.mark.parametrize(
    "layer",
    [nn.LayerNorm(3), nn.GroupNorm(1, 3), nn.RMSNorm(3), OwnNorm(3)],
    ids=lambda layer: type(layer).__name__,
)
def test_others_are_refused_with_the_reason(layer: nn.Module) -> None:
    with pytest.raises(
        UnverifiedModule, match=r"has no useful Lipschitz bound: .*from the input itself"
    ):
        lipschitz_bound(layer, input_shape=(3,) if not isinstance(layer, nn.GroupNorm) else (3, 2))
    with pytest.raises(UnverifiedModule, match="multiplies the two"):
        lipschitz_bound(nn.MultiheadAttention(4, 1))
