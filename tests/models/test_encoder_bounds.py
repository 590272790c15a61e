"""The verified bound of every build's encoder, from above and below."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from latentsmooth.lipschitz import lipschitz_bound, lipschitz_lower_bound
from latentsmooth.models import build, list_builds
from tests.seeds import shifted

LSRS = [name for name in list_builds() if name.startswith("lsrs-")]
SHAPES = [(1, 28, 28), (3, 32, 32), (3, 224, 224)]


def stirred(name: str, shape: tuple[int, int, int], width: float) -> nn.Module:
    """An encoder whose parameters are away from where they start: for some, the identity."""
    torch.manual_seed(shifted(0))
    encoder = build(
        name, num_classes=4, image_shape=shape, width=width, latent_sigma=0.25
    ).encoder.eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return encoder


@pytest.mark.parametrize("name", list_builds())
def test_float32_encoders_at_full_width_are_within_a_hundred_thousandth(name: str) -> None:
    if name == "resnet110":
        pytest.skip("its encoder is resnet20's")
    assert 1 <= lipschitz_bound(stirred(name, (3, 32, 32), 1.0)) <= 1 + 1e-5


@pytest.mark.parametrize("name", LSRS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bounds_lie_above_what_power_iteration_reaches(
    name: str, shape: tuple[int, int, int]
) -> None:
    encoder = stirred(name, shape, 0.0625)
    lower = lipschitz_lower_bound(encoder, shape, points=1, iterations=4)
    bound = lipschitz_bound(encoder)
    assert bound <= 1 + 1e-5
    # The lower one is computed in float64, and may round upwards.
    assert 0.1 < lower <= bound * (1 + 1e-12)


@pytest.mark.parametrize("name", LSRS)
@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[-1]], ids=str)
def test_rounding_to_bfloat16_is_reported(name: str, shape: tuple[int, int, int]) -> None:
    rounded = stirred(name, shape, 0.0625).bfloat16()
    bound = lipschitz_bound(rounded)
    # Haar's weights are powers of two and survive the rounding; everything else lengthens.
    assert bound > 1 + 1e-4 if list(rounded.parameters()) else bound == 1.0
