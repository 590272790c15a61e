"""Paddings that repeat pixels lengthen, and by how much depends on the size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from latentsmooth.errors import UnverifiedModule
from latentsmooth.lipschitz import lipschitz_bound
from tests.oracles import singular_values
from tests.seeds import shifted


@pytest.mark.parametrize(
    "layer",
    [
        nn.CircularPad1d((2, 1)),
        nn.CircularPad2d((1, 1, 3, 3)),
        nn.CircularPad3d(1),
        nn.ReflectionPad1d((0, 2)),
        nn.ReflectionPad2d(2),
        nn.ReplicationPad2d((3, 0, 1, 1)),
        nn.ReplicationPad3d((0, 0, 0, 0, 2, 0)),
    ],
    ids=lambda layer: f"{type(layer).__name__} {layer.padding}",
)
def test_the_most_repeated_pixel_counts(layer: nn.Module) -> None:
    axes = int(type(layer).__name__[-2])
    shape = (2, *(4, 3, 3)[:axes])
    truth = float(singular_values(layer, shape).max())
    bound = lipschitz_bound(layer, input_shape=shape)
    assert truth * (1 - 1e-12) <= bound <= truth * (1 + 1e-12)
    with pytest.raises(UnverifiedModule, match="give input_shape"):
        lipschitz_bound(layer)


def test_in_a_chain() -> None:
    torch.manual_seed(shifted(0))
    chain = nn.Sequential(nn.CircularPad2d(1), nn.Conv2d(2, 3, 3)).double()
    truth = float(singular_values(chain, (2, 5, 5)).max())
    assert truth <= lipschitz_bound(chain, input_shape=(2, 5, 5)) <= 2 * truth * 1.2
