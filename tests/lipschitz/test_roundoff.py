"""Bounds of rounding: above what is measured for every kind of layer, and not far above."""

from __future__ import annotations

import copy
import math
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError, ShapeError, UnverifiedModule
from latentsmooth.lipschitz import (
    Step,
    declare_lipschitz,
    register_rounding_rule,
    register_rule,
    registry,
    rounding_bound,
)
from latentsmooth.lipschitz.operations import operation_rules
from latentsmooth.lipschitz.roundoff.performed import rounding_rules
from latentsmooth.lipschitz.roundoff.rules.dense import linear
from latentsmooth.lipschitz.roundoff.table import rounded_types
from latentsmooth.models import build, list_builds
from latentsmooth.orthogonal import (
    Center,
    MaxMin,
    OrthogonalConv2d,
)
from tests.lipschitz.roundings import check, distance, exact_dense, images, measured
from tests.lipschitz.torch_layers import TORCH, Make
from tests.orthogonal.convolutions import CONVOLUTIONS
from tests.orthogonal.layers import LAYERS, POINTWISE, RESIDUALS, Row
from tests.seeds import shifted

# What is measured is how this processor happens to round, which another may do several times better
# (wider sums, fused products): seen were up to 600 for a layer and 46,000 for a deep encoder.
LOOSE = 5000.0
DEEP = 2e5
EXACT = {"absolute", "downsample", "fullsort", "pad", "shuffle", "swap-some", "upsample"}


@pytest.mark.parametrize(
    "row", [*LAYERS, *POINTWISE, *RESIDUALS, *CONVOLUTIONS], ids=lambda row: row.name
)
def test_our_layers(row: Row) -> None:
    torch.manual_seed(shifted(0))
    found, bound = check(row.make(), row.shape)
    assert not bound.assumed
    if row.name in EXACT or "sort" in row.name or "maxmin" in row.name:
        assert bound.error == 0.0
    elif found:
        assert bound.error <= LOOSE * found
    check(row.make(), row.shape, low=-3.0, high=5.0)


@pytest.mark.parametrize(("make", "shape"), TORCH, ids=[repr(make()) for make, _ in TORCH])
def test_torch_layers(make: Make, shape: tuple[int, ...]) -> None:
    torch.manual_seed(shifted(0))
    found, bound = check(make(), shape, low=-4.0, high=4.0)
    if found:
        assert bound.error <= LOOSE * found


def test_every_type_with_a_lipschitz_rule_has_a_rounding_rule_that_is_tested() -> None:
    others = ("deel.", "orthogonium.")
    ours = {kind for kind in rounded_types() if not kind.__module__.startswith(others)}
    built_in = {kind for kind, entry in registry._ENTRIES.items() if not entry.users}
    assert {kind for kind in built_in if not kind.__module__.startswith(others)} <= ours
    rows = [row.make() for row in (*LAYERS, *POINTWISE, *RESIDUALS)]
    tried = {
        type(part) for top in (*rows, *(make() for make, _ in TORCH)) for part in top.modules()
    }
    untried = {kind.__name__ for kind in ours - tried if kind.__module__.startswith("torch")}
    assert not untried
    assert operation_rules() == rounding_rules()


@pytest.mark.parametrize("name", [name for name in list_builds() if name.startswith("lsrs")])
def test_builds(name: str) -> None:
    torch.manual_seed(shifted(0))
    classifier = build(name, num_classes=4, image_shape=(3, 32, 32), latent_sigma=0.5, width=0.125)
    encoder = classifier.encoder
    for parameter in encoder.parameters():
        nn.init.normal_(parameter)
    found, bound = check(encoder, (3, 32, 32))
    assert bound.error <= DEEP * found
    wide = rounding_bound(encoder, input_shape=(3, 32, 32))
    assert wide.error == pytest.approx(bound.error * 2**-29, rel=1e-2)
    assert wide.norm == pytest.approx(bound.norm, rel=1e-2)


@pytest.mark.parametrize("scale", [2.0**-70, 1.0, 1e5])
def test_cancelling_and_badly_scaled_weights(scale: float) -> None:
    torch.manual_seed(shifted(0))
    dense, kernel = nn.Linear(24, 8), nn.Conv2d(3, 8, 3, padding=1)
    for layer, shape in ((dense, (24,)), (kernel, (3, 5, 5))):
        with torch.no_grad():
            signs = 1e4 * (1 - 2 * (torch.arange(layer.weight.numel()) % 2))
            layer.weight += signs.reshape(layer.weight.shape)
            layer.weight *= torch.logspace(-6, 6, 8).reshape(8, *[1] * (layer.weight.ndim - 1))
            layer.weight *= scale
            nn.init.constant_(layer.get_parameter("bias"), 0.3 * scale)
        found, bound = check(layer, shape)
        assert bound.error <= LOOSE * found


@pytest.mark.parametrize("seed", range(3))
def test_float64_against_rational_numbers(seed: int) -> None:
    torch.manual_seed(seed)
    layer = nn.Linear(40, 6, bias=seed > 0).double()
    kernel = nn.Conv2d(2, 3, 3, bias=seed > 0).double()
    limit = rounding_bound(layer, input_shape=(40,)).error
    limit_kernel = rounding_bound(kernel, input_shape=(2, 5, 5)).error
    for vector in images((40,), dtype=torch.float64)[::6]:
        found = distance(layer(vector[None]), exact_dense(layer.weight, layer.bias, vector))
        assert found <= limit <= 1e4 * max(found, 1e-16)
    for image in images((2, 5, 5), dtype=torch.float64)[::6]:
        patches = nn.functional.unfold(image[None], 3)[0].T
        rows = [exact_dense(kernel.weight.flatten(1), kernel.bias, patch) for patch in patches]
        exact = [value for channel in zip(*rows, strict=True) for value in channel]
        assert distance(kernel(image[None]), exact) <= limit_kernel


def test_the_worst_order_of_summation_comes_close() -> None:
    layer = nn.Linear(3000, 1, bias=False)
    nn.init.constant_(layer.weight, 1 / 3)
    bound = rounding_bound(layer, input_shape=(3000,), dtype=torch.float32)
    weight, found = np.float32(1 / 3), 0.0
    for pixel in np.linspace(0.5, 1, 50, dtype=np.float32):
        one_by_one = np.cumsum(np.full(3000, weight * pixel), dtype=np.float32)[-1]
        exact = 3000 * Fraction(float(weight)) * Fraction(float(pixel))
        found = max(found, abs(float(Fraction(float(one_by_one)) - exact)))
    assert 0.1 * bound.error < found <= bound.error


def test_rounding_is_carried_on_by_what_follows() -> None:
    torch.manual_seed(0)  # an example whose signs let ReLU keep most of the norm
    first, louder = nn.Linear(60, 9), nn.Linear(9, 9, bias=False)
    with torch.no_grad():
        louder.weight.copy_(1024 * torch.eye(9))
    alone, bound = check(first, (60,))
    together, carried = check(nn.Sequential(first, nn.ReLU(), louder), (60,))
    # A product with a power of two is exact: all that is left is what came in.
    assert carried.error == pytest.approx(1024 * bound.error, rel=1e-4)
    assert together <= 1024 * alone
    assert carried.norm >= 1024 * 0.9 * bound.norm


def test_one_tap_that_moves_pixels_is_exact_and_one_that_scales_rounds_once() -> None:
    gather = nn.Conv2d(2, 2, 3, padding=1, bias=False)
    nn.init.zeros_(gather.weight)
    with torch.no_grad():
        gather.weight[0, 1, 0, 2], gather.weight[1, 0, 2, 1] = -4.0, 0.5
    assert rounding_bound(gather, input_shape=(2, 4, 4)).error < 1e-300
    with torch.no_grad():
        gather.weight[0, 1, 0, 2] = -3.0
    _, bound = check(gather, (2, 4, 4))
    assert bound.error == pytest.approx(2.0**-24 * 3 * math.sqrt(32), rel=0.01)


def test_the_norm_is_that_of_the_farthest_corner() -> None:
    bound = rounding_bound(nn.Identity(), input_shape=(3, 4, 4))
    assert bound.error == 0.0
    assert bound.norm == pytest.approx(math.sqrt(48))
    centred = rounding_bound(Center(), input_shape=(3, 4, 4))
    assert centred.norm == pytest.approx(math.sqrt(48) / 2)
    assert centred.error == pytest.approx(2.0**-53 * math.sqrt(48) / 2, rel=0.01)


def test_an_implementation_that_rounds_more_than_it_says_is_found_out() -> None:
    class Sneaky(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            return super().forward(inputs).bfloat16().to(inputs.dtype)

    register_rule(Sneaky)(lambda module: 10.0)
    register_rounding_rule(Sneaky)(lambda module, step: linear(module, step))
    torch.manual_seed(0)  # an example whose sums the coarser type rounds
    sneaky, honest = Sneaky(50, 5), nn.Linear(50, 5)
    bound = rounding_bound(sneaky, input_shape=(50,), dtype=torch.float32)
    assert bound.assumed == ("",)
    wide = copy.deepcopy(honest).double()
    honest.load_state_dict(sneaky.state_dict())
    wide.load_state_dict(sneaky.state_dict())
    inputs = images((50,))
    with torch.no_grad():
        exact = wide(inputs.double())
        assert float((honest(inputs) - exact).norm(dim=1).max()) <= bound.error
        assert float((sneaky(inputs) - exact).norm(dim=1).max()) > 10 * bound.error


def test_what_is_stated_is_named_and_believed() -> None:
    class Third(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs / 3

    register_rule(Third)(lambda module: 1 / 3 + 1e-6)
    shape, entries = (2, 2, 2), math.sqrt(8)
    unknown = rounding_bound(nn.Sequential(MaxMin(), Third()), input_shape=shape)
    assert unknown.assumed == ("1",)
    assert unknown.error == pytest.approx(2.0**-43 * 2 * entries / 3, rel=1e-3)
    stated = declare_lipschitz(nn.Softplus(), 1.0, input_shape=shape, rounding=64.0)
    known = rounding_bound(
        nn.Sequential(nn.Flatten(), nn.Unflatten(1, shape), stated), input_shape=shape
    )
    assert known.assumed == ("2",)
    assert known.error < 2.0**-46 * 3 * entries
    assert "rounding=64" in repr(stated)

    @register_rounding_rule(Third)
    def third(module: Third, step: Step) -> float:
        return step.of_output(1)

    derived = rounding_bound(Third(), input_shape=shape)
    assert derived.assumed == ("",)
    assert derived.error == pytest.approx(2.0**-53 * entries / 3, rel=1e-3)


def test_a_statement_about_a_whole_chain_leaves_its_parts_to_be_followed() -> None:
    class Chain(nn.Sequential):
        pass

    register_rule(Chain)(lambda module: 2.0)
    torch.manual_seed(shifted(0))
    parts = [nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5)]
    whole = rounding_bound(nn.Sequential(Chain(*parts), parts[0]), input_shape=(5,))
    assert not whole.assumed
    plain = rounding_bound(nn.Sequential(*parts, parts[0]), input_shape=(5,))
    assert whole.error == pytest.approx(plain.error, rel=1e-3)


def test_the_examples_of_the_concept_page_run() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "concepts" / "rounding.md"
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    names: dict[str, Any] = {"__name__": "rounding_page"}
    for block in blocks:
        exec(block, names)


def test_what_has_no_bound_is_an_error() -> None:
    layer = nn.Linear(4, 4)
    with pytest.raises(ConfigurationError, match="float16"):
        rounding_bound(layer, input_shape=(4,), dtype=torch.float16)
    with pytest.raises(ConfigurationError, match="low <= high"):
        rounding_bound(layer, input_shape=(4,), low=1.0, high=0.0)
    with pytest.raises(ShapeError):
        rounding_bound(layer, input_shape=(5,))
    with pytest.raises(UnverifiedModule, match="LayerNorm"):
        rounding_bound(nn.Sequential(layer, nn.LayerNorm(4)), input_shape=(4,))
    with pytest.raises(ConfigurationError, match="rounding"):
        declare_lipschitz(layer, 1.0, input_shape=(4,), rounding=-1.0)
    nn.init.constant_(layer.weight, 1e18)
    assert rounding_bound(layer, input_shape=(4,), dtype=torch.float32).error > 1e11
    with pytest.raises(ConfigurationError, match=r"rounding of 1 \(Linear\) has no finite bound"):
        rounding_bound(nn.Sequential(layer, layer), input_shape=(4,), dtype=torch.float32)
    assert rounding_bound(nn.Sequential(layer, layer), input_shape=(4,)).error > 1e20


def test_the_module_stays_as_it_is() -> None:
    encoder = nn.Sequential(OrthogonalConv2d(3, 4, 3), nn.ReLU(inplace=True)).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    rounding_bound(encoder, input_shape=(3, 4, 4))
    assert all(part.training for part in encoder.modules())
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert measured(encoder, images((3, 4, 4))) > 0
