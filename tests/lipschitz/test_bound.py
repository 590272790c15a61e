"""Chains and branches against dense Jacobians, and what must be refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from latentsmooth.errors import ConfigurationError, ShapeError, UnverifiedModule
from latentsmooth.lipschitz import (
    BoundOf,
    chain_bound,
    evaluating,
    lipschitz_bound,
    module_bounds,
    register_composite_rule,
    register_rule,
    verified_types,
)
from latentsmooth.lipschitz.rules.dense import dense_bound
from latentsmooth.orthogonal import (
    ChannelNormalize,
    ConcatenativeResidual,
    ConvexResidual,
    MaxMin,
    OrthogonalConv2d,
    Parallel,
)
from tests.oracles import singular_values
from tests.seeds import shifted


def stretch(layer: nn.Module, shape: tuple[int, ...]) -> float:
    return float(singular_values(layer, shape).max())


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (5, 5), (1, 1), (40, 90)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_dense_layers_are_bounded_tightly(shape: tuple[int, int], scale: float) -> None:
    torch.manual_seed(shifted(0))
    layer = nn.Linear(*shape).double()
    with torch.no_grad():
        layer.weight.mul_(scale)
    largest = float(torch.linalg.matrix_norm(layer.weight.detach(), 2))
    assert largest * (1 - 1e-12) <= lipschitz_bound(layer) <= largest * (1 + 1e-6)


def test_multiples_of_orthogonal_matrices_need_no_search() -> None:
    torch.manual_seed(shifted(0))
    matrix = torch.linalg.qr(torch.randn(30, 20, dtype=torch.float64)).Q
    for scale in (0.5, 1.0, 3.0):
        assert scale * (1 - 1e-14) <= dense_bound(scale * matrix) <= scale * (1 + 1e-12)
    assert math.isnan(dense_bound(torch.full((2, 2), math.inf)))
    with pytest.raises(UnverifiedModule, match="complex64"):
        dense_bound(torch.zeros(2, 2, dtype=torch.complex64))


@pytest.mark.parametrize(
    ("layer", "bound"),
    [
        (nn.AvgPool2d(2), 0.5),
        (nn.MaxPool2d(2), 1.0),
        (nn.MaxPool2d(2, 3), 1.0),
        (nn.LeakyReLU(3.0), 3.0),
        (nn.ReLU(), 1.0),
        (nn.Sigmoid(), 0.25),
        (nn.PixelUnshuffle(2), 1.0),
        (ChannelNormalize(0.5, [0.25, 0.5, 1.0]), 4.0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_known_factors_bound_the_jacobian(layer: nn.Module, bound: float) -> None:
    assert lipschitz_bound(layer) == pytest.approx(bound, rel=1e-12)
    assert stretch(layer.double(), (3, 6, 6)) <= lipschitz_bound(layer) * (1 + 1e-12)


def test_scaling_the_input_raises_the_bound() -> None:
    torch.manual_seed(shifted(0))
    convolution = OrthogonalConv2d(3, 8, 3).eval()
    plain = lipschitz_bound(nn.Sequential(convolution, MaxMin()))
    std = (0.2470, 0.2435, 0.2616)
    scaled = nn.Sequential(ChannelNormalize((0.49, 0.48, 0.45), std), convolution, MaxMin())
    assert lipschitz_bound(scaled) == pytest.approx(plain / min(std), rel=1e-6)
    assert 1 < stretch(scaled.double(), (3, 6, 6)) <= lipschitz_bound(scaled) * (1 + 1e-9)


def test_chains_multiply_and_name_their_parts() -> None:
    chain = nn.Sequential(nn.AvgPool2d(2), nn.Sequential(nn.Flatten(), nn.LeakyReLU(3.0)))
    parts = module_bounds(chain)
    assert [part.path for part in parts] == ["0", "1.0", "1.1"]
    assert lipschitz_bound(chain) == pytest.approx(math.prod(part.bound for part in parts))
    assert chain_bound(parts) == lipschitz_bound(chain)
    assert lipschitz_bound(nn.Sequential()) == 1.0


def test_products_round_up() -> None:
    chain = nn.Sequential(*(nn.LeakyReLU(slope) for slope in (1.1, 1.3, 1.7)))
    assert lipschitz_bound(chain) >= 1.1 * 1.3 * 1.7


def scaling(factor: float) -> nn.Linear:
    layer = nn.Linear(4, 4, bias=False)
    with torch.no_grad():
        layer.weight.copy_(factor * torch.eye(4))
    return layer


@pytest.mark.parametrize("learnable", [False, True])
@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_convex_residuals(factor: float, learnable: bool) -> None:
    block = ConvexResidual(scaling(factor), alpha=0.25, learnable=learnable)
    bound = lipschitz_bound(block)
    assert bound == pytest.approx(0.75 + 0.25 * factor, rel=1e-6)
    with torch.no_grad():
        share = float(block.alpha)
    assert bound >= (1 - share) + share * factor


def test_a_concatenative_residual_takes_the_larger_side() -> None:
    for factor, bound in ((0.5, 1.0), (3.0, 3.0)):
        block = ConcatenativeResidual(scaling(factor)).double()
        assert lipschitz_bound(block) == pytest.approx(bound, rel=1e-9)
        assert stretch(block, (8,)) <= lipschitz_bound(block) * (1 + 1e-12)


def test_parallel_branches_add_in_squares() -> None:
    block = Parallel(scaling(3.0), nn.Sequential(scaling(2.0), scaling(2.0))).double()
    assert lipschitz_bound(block) == pytest.approx(5.0, rel=1e-9)
    assert stretch(block, (4,)) == pytest.approx(5.0, rel=1e-12)


def test_branches_show_what_they_are_made_of() -> None:
    block = ConvexResidual(nn.Sequential(nn.LeakyReLU(3.0), nn.LeakyReLU(2.0)), learnable=False)
    first, second = module_bounds(nn.Sequential(nn.ReLU(), block))
    assert (first.path, first.children) == ("0", ())
    assert (second.path, second.kind, second.is_chain) == ("1", "ConvexResidual", False)
    [branch] = second.children
    assert (branch.path, branch.bound, branch.is_chain) == ("1.branch", 6.0, True)
    assert [part.path for part in branch.children] == ["1.branch.0", "1.branch.1"]
    assert second.bound == pytest.approx(3.5)


class Unknown(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.square()


class Subclass(nn.Conv2d):
    def forward(self, inputs: Tensor) -> Tensor:
        return 2 * super().forward(inputs)


class Renamed(nn.Conv2d):
    def extra_repr(self) -> str:
        return "renamed"


class Chain(nn.Sequential):
    def describe(self) -> str:
        return "a chain"


@pytest.mark.parametrize(
    "layer",
    [
        Unknown(),
        Subclass(3, 3, 1),
        nn.LayerNorm(3),
        nn.GroupNorm(1, 3),
        nn.Softplus(),
        nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(3, 3, 2, padding=1, padding_mode="circular"),
        nn.MaxPool2d(3, 2),
        nn.MaxPool2d(2, dilation=2),
        nn.AvgPool2d(2, 1),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.AvgPool2d(2, padding=1, count_include_pad=False),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_what_no_rule_knows_is_an_error(layer: nn.Module) -> None:
    with pytest.raises(UnverifiedModule, match=rf"1 \({type(layer).__name__}\)"):
        lipschitz_bound(nn.Sequential(nn.Flatten(), layer))


def test_the_error_names_the_path_also_below_branches() -> None:
    inner = nn.Sequential()
    inner.add_module("tail", Unknown())
    block = ConvexResidual(inner, learnable=False)
    with pytest.raises(UnverifiedModule, match=r"1\.0\.branch\.tail \(Unknown\)"):
        lipschitz_bound(nn.Sequential(nn.ReLU(), nn.Sequential(block)))


def test_subclasses_that_change_no_method_keep_the_rule() -> None:
    torch.manual_seed(shifted(0))
    layer = Renamed(2, 3, 3)
    assert lipschitz_bound(layer) == lipschitz_bound(nn.Sequential(layer))
    chain = Chain(nn.LeakyReLU(2.0), nn.LeakyReLU(3.0))
    assert [part.path for part in module_bounds(chain)] == ["0", "1"]
    assert lipschitz_bound(chain) == 6.0
    with pytest.raises(UnverifiedModule):
        lipschitz_bound(Subclass(3, 3, 1))


def test_parametrized_layers_are_bounded_by_the_weight_in_force() -> None:
    torch.manual_seed(shifted(0))
    layer = parametrizations.orthogonal(nn.Linear(4, 4))
    assert 1 <= lipschitz_bound(layer) < 1 + 1e-6
    normed = parametrizations.spectral_norm(nn.Linear(4, 4), n_power_iterations=30).train()
    bound = lipschitz_bound(normed)
    with torch.no_grad():
        weight = normed.eval().weight
        largest = float(torch.linalg.matrix_norm(weight.double(), 2))
        assert largest * (1 - 1e-12) <= bound < 1.1
    weighted = parametrizations.weight_norm(nn.Conv2d(2, 2, 3, padding=1)).double()
    assert stretch(weighted, (2, 5, 5)) <= lipschitz_bound(weighted) * (1 + 1e-12)


def test_weights_that_change_on_reading_are_refused() -> None:
    class Restless(nn.Module):
        readings: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("readings", torch.zeros(()))

        def forward(self, weight: Tensor) -> Tensor:
            self.readings = self.readings + 1
            return weight

    layer = nn.Linear(2, 2)
    parametrize.register_parametrization(layer, "weight", Restless())
    with pytest.raises(UnverifiedModule, match=r"whenever the weight is read.*bake"):
        lipschitz_bound(nn.Sequential(layer))


def test_old_style_normalization_is_a_hook_and_refused() -> None:
    layer = torch.nn.utils.spectral_norm(nn.Linear(2, 2))
    with pytest.raises(UnverifiedModule, match="forward hook"):
        lipschitz_bound(layer)


def test_hooks_and_replaced_forwards_are_refused() -> None:
    hooked = nn.ReLU()
    hooked.register_forward_hook(lambda module, inputs, output: 100 * output)
    with pytest.raises(UnverifiedModule, match="forward hook"):
        lipschitz_bound(nn.Sequential(hooked))
    chain = nn.Sequential(nn.ReLU())
    chain.forward = lambda inputs: 100 * inputs  # type: ignore[method-assign]
    with pytest.raises(UnverifiedModule, match="replaced"):
        lipschitz_bound(chain)


def test_a_module_that_acts_twice_counts_twice() -> None:
    leaky = nn.LeakyReLU(3.0)
    assert lipschitz_bound(nn.Sequential(leaky, leaky)) == pytest.approx(9.0)
    inner = nn.Sequential(leaky)
    assert lipschitz_bound(nn.Sequential(inner, nn.ReLU(), inner)) == pytest.approx(9.0)
    scale = ChannelNormalize(0.0, 0.25)
    chain = nn.Sequential(scale, scale)
    largest = stretch(chain.double(), (1, 2, 2))
    assert largest == pytest.approx(16.0)
    assert largest <= lipschitz_bound(chain) * (1 + 1e-12)


def test_hooks_on_all_modules_and_replaced_internals_are_refused() -> None:
    handle = nn.modules.module.register_module_forward_hook(lambda *parts: 100 * parts[2])
    try:
        with pytest.raises(UnverifiedModule, match="forward hook"):
            lipschitz_bound(nn.ReLU())
    finally:
        handle.remove()
    convolution = nn.Conv2d(1, 1, 1)
    convolution._conv_forward = lambda *parts: 100 * parts[0]  # type: ignore[method-assign]
    with pytest.raises(UnverifiedModule, match="replaced method '_conv_forward'"):
        lipschitz_bound(convolution)
    late = nn.Conv2d(1, 1, 2, padding=1, padding_mode="circular")
    late.padding = (0, 0)
    with pytest.raises(UnverifiedModule, match="repeats outputs"):
        lipschitz_bound(late)


def test_lengthening_in_place_is_refused() -> None:
    assert lipschitz_bound(nn.Sequential(nn.ReLU(inplace=True))) == 1.0
    with pytest.raises(UnverifiedModule, match=r"0 \(LeakyReLU\) lengthens its input in place"):
        lipschitz_bound(nn.Sequential(nn.LeakyReLU(3.0, inplace=True)))


def test_constants_that_make_no_sense_are_refused() -> None:
    spread = ChannelNormalize(0.5, 0.5)
    spread.std.zero_()
    for layer in (nn.LeakyReLU(float("nan")), spread):
        with pytest.raises(ConfigurationError, match="wanted a finite bound"):
            lipschitz_bound(layer)


def test_parts_frozen_before_stay_frozen() -> None:
    chain = nn.Sequential(nn.Dropout(0.5), nn.Flatten()).train()
    chain[0].eval()
    lipschitz_bound(chain, input_shape=(1, 2, 2))
    with evaluating(chain):
        assert not any(part.training for part in chain.modules())
    assert [part.training for part in chain] == [False, True]


class Half(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs / 2


def test_users_register_rules() -> None:
    register_rule(Half)(lambda module: 0.5)
    assert lipschitz_bound(nn.Sequential(Half(), Half())) == pytest.approx(0.25)
    assert lipschitz_bound(nn.Sequential(Half(), Half()), input_shape=(3,)) == 0.25
    assert "Half" in verified_types()
    register_rule(Half)(lambda module: float("nan"))
    with pytest.raises(ConfigurationError, match="gave nan"):
        lipschitz_bound(Half())


def test_a_registered_rule_that_a_power_iteration_refutes_is_an_error() -> None:
    register_rule(Half)(lambda module: 0.49)
    assert lipschitz_bound(Half()) == 0.49
    with pytest.raises(UnverifiedModule, match=r"1 \(Half\) .*at most 0\.49, .*by 0\.5"):
        lipschitz_bound(nn.Sequential(nn.Flatten(), Half()), input_shape=(2, 2))


def test_users_register_composite_rules() -> None:
    class Twice(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, inputs: Tensor) -> Tensor:
            return torch.as_tensor(self.inner(self.inner(inputs)))

    @register_composite_rule(Twice)
    def twice(module: Twice, bound_of: BoundOf) -> float:
        return bound_of("inner") * bound_of("inner")

    [part] = module_bounds(Twice(nn.LeakyReLU(3.0)), input_shape=(2,))
    assert (part.bound, [child.path for child in part.children]) == (9.0, ["inner"])


def test_input_shape_finds_size_errors() -> None:
    layer = OrthogonalConv2d(3, 8, 4, 2)
    assert lipschitz_bound(layer, input_shape=(3, 8, 8)) == lipschitz_bound(layer)
    assert layer.training
    with pytest.raises(ShapeError, match="multiple of stride"):
        lipschitz_bound(layer, input_shape=(3, 7, 7))
    with pytest.raises(ShapeError, match="does not fit"):
        lipschitz_bound(nn.Linear(3, 2), input_shape=(4,))


def test_weights_that_are_not_finite_are_refused() -> None:
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.fill_(float("nan"))
    with pytest.raises(ConfigurationError, match="are the weights finite"):
        lipschitz_bound(layer)
