"""The verified bound of every build's encoder, from above and below."""

from __future__ import annotations

import copy

import pytest
import torch

from latentsmooth.lipschitz import lipschitz_bound, lipschitz_lower_bound
from latentsmooth.models import build, list_builds

LSRS = [name for name in list_builds() if name.startswith("lsrs-")]


@pytest.mark.parametrize("name", list_builds())
def test_float32_encoders_at_full_width_are_within_a_hundred_thousandth(name: str) -> None:
    torch.manual_seed(0)
    if name == "resnet110":
        pytest.skip("its encoder is resnet20's")
    model = build(name, num_classes=10, image_shape=(3, 32, 32), latent_sigma=0.25)
    assert 1 <= model.lipschitz_bound <= 1 + 1e-5


@pytest.mark.parametrize("name", LSRS)
def test_bounds_lie_above_what_power_iteration_reaches(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, num_classes=4, image_shape=(3, 32, 32), width=0.125, latent_sigma=0.25)
    encoder = model.encoder.eval()
    lower = lipschitz_lower_bound(encoder, (3, 32, 32), points=1, iterations=5)
    assert 0.5 < lower <= model.lipschitz_bound


@pytest.mark.parametrize("name", LSRS)
def test_rounding_to_bfloat16_is_reported(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, num_classes=4, image_shape=(3, 32, 32), width=0.25, latent_sigma=0.25)
    rounded = copy.deepcopy(model.encoder).bfloat16().eval()
    bound = lipschitz_bound(rounded, input_shape=(3, 32, 32))
    # Haar's weights are powers of two and survive the rounding; everything else lengthens.
    assert bound > 1 + 1e-4 if list(rounded.parameters()) else bound == 1.0
