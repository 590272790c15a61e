"""What a trace or a rule could overlook: refused, or bounded from above."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentsmooth.errors import ConfigurationError, UnverifiedModule
from latentsmooth.lipschitz import declare_lipschitz, lipschitz_bound
from latentsmooth.lipschitz.kernels import convolution_bound
from latentsmooth.lipschitz.rules.dense import dense_bound
from latentsmooth.lipschitz.spectral import frequency_bound
from latentsmooth.orthogonal import HouseholderActivation
from tests.seeds import shifted


class Does(nn.Module):
    """A module of one function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(inputs)


class Calls(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs

    def __call__(self, inputs: Tensor) -> Any:
        return 10 * super().__call__(inputs)


class CallsLinear(nn.Linear):
    def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
        return 10 * super()._call_impl(*args, **kwargs)  # type: ignore[no-untyped-call]


class CallsChain(nn.Sequential):
    def __call__(self, inputs: Tensor) -> Any:
        return 10 * super().__call__(inputs)


@pytest.mark.parametrize(
    "module",
    [Calls(), CallsLinear(4, 4), CallsChain(nn.Identity())],
    ids=lambda m: type(m).__name__,
)
def test_work_outside_of_forward_is_refused(module: nn.Module) -> None:
    for each in (module, nn.Sequential(module), Does(nn.Sequential(module))):
        with pytest.raises(UnverifiedModule, match=r"replaces '_+call"):
            lipschitz_bound(each, input_shape=(4,))


def test_the_inplace_argument_is_seen() -> None:
    def keyword(inputs: Tensor) -> Tensor:
        copied = inputs * 1.0
        F.leaky_relu(copied, 5.0, inplace=True)
        return copied

    def positional(inputs: Tensor) -> Tensor:
        copied = inputs * 1.0
        F.elu(copied, 9.0, True)
        return copied

    def source(inputs: Tensor) -> Tensor:
        F.leaky_relu(inputs, 5.0, True)
        return inputs

    assert lipschitz_bound(Does(keyword), input_shape=(4,)) == 5
    assert lipschitz_bound(Does(positional), input_shape=(4,)) == 9
    with pytest.raises(UnverifiedModule, match="overwrites the module's input"):
        lipschitz_bound(Does(source), input_shape=(4,))


def in_place(name: str, *settings: int) -> Callable[[Tensor], Tensor]:
    def run(inputs: Tensor) -> Tensor:
        copied = inputs.clone()
        getattr(copied, name)(*settings)
        return copied.sum(1)

    return run


def expanded(inputs: Tensor) -> Tensor:
    copied = inputs.clone()
    wide = copied.unsqueeze(1).expand(-1, 25, *copied.shape[1:])
    copied.mul_(10.0)
    return wide


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (in_place("transpose_", 1, 2), (3, 12)),
        (in_place("swapaxes_", 1, 2), (3, 12)),
        (in_place("unsqueeze_", 1), (3, 12)),
        (in_place("squeeze_", 1), (1, 12)),
        (expanded, (4,)),
        (lambda x: torch._C._nn.elu(x, 1.0, 10.0), (4,)),
        (lambda x: F.elu_(x.clone(), 1.0, 10.0), (4,)),  # type: ignore[call-arg]
        (lambda x: F.adaptive_avg_pool2d(x, (2, 4)), (3, 4)),
        (lambda x: F.adaptive_avg_pool1d(x, 2), (3,)),
        (lambda x: F.conv1d(x, torch.ones(2, 2, 1)), (4,)),
        (lambda x: x.view(torch.float32), (4,)),
        (lambda x: (x * 1e10).view(torch.float64), (4,)),
        (lambda x: x.half().to(torch.bfloat16).float(), (4,)),
        (lambda x: 10 * x if type(x) is Tensor else x, (4,)),
        (lambda x: 10 * x if torch.is_grad_enabled() else x, (4,)),
        (lambda x: 10 * x if len(x) > 2 else x, (4,)),
    ],
)
def test_operations_that_look_harmless_are_refused(
    function: Callable[[Tensor], Tensor], shape: tuple[int, ...]
) -> None:
    with pytest.raises(UnverifiedModule):
        lipschitz_bound(Does(function), input_shape=shape)


def test_casts_must_widen() -> None:
    half = Does(lambda x: x.to(torch.bfloat16))
    half.weight = nn.Parameter(torch.ones(4, dtype=torch.float16))
    with pytest.raises(UnverifiedModule, match=r"rounds its input to torch\.bfloat16"):
        lipschitz_bound(half, input_shape=(4,))
    half.function = Tensor.double
    assert lipschitz_bound(half, input_shape=(4,)) == 1


def test_state_that_outlives_a_run_is_refused() -> None:
    class Saves(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            self.saved = [inputs]
            return inputs

    with pytest.raises(UnverifiedModule, match=r"0 \(Saves\) keeps what depends"):
        lipschitz_bound(nn.Sequential(Saves(), nn.ReLU()), input_shape=(4,))


@pytest.mark.parametrize("exponent", [-320, -300, -160, -82, -78, 60, 153, 200, 300])
def test_weights_of_every_size_have_a_bound_above_their_norm(exponent: int) -> None:
    generator = torch.Generator().manual_seed(shifted(0))
    kernel = torch.randn(6, 6, 3, 3, generator=generator, dtype=torch.float64)
    small = kernel * 10.0**exponent
    # What is left of the numbers, scaled back without loss.
    again = small / float(small.abs().max())
    truth = float(torch.linalg.matrix_norm(again[:, :, 0, 0], 2)) * float(small.abs().max())
    assert truth * (1 - 1e-9) <= dense_bound(small[:, :, 0, 0]) <= truth * 1.01 + 1e-320
    response = torch.fft.fft2(again, (16, 16)).permute(2, 3, 0, 1)
    truth = float(torch.linalg.svdvals(response).max()) * float(small.abs().max())
    for bound in (convolution_bound(small), frequency_bound(small[None])):
        assert truth * (1 - 1e-9) <= bound <= truth * 1.1 + 1e-320


def test_numbers_that_are_not_finite_are_named() -> None:
    turned = HouseholderActivation(4)
    turned.angle.data.fill_(math.nan)
    shifted = nn.Linear(2, 2)
    shifted.bias.data.fill_(math.nan)
    huge = nn.Conv2d(2, 2, 3).double()
    huge.weight.data.fill_(9e307)
    for module in (turned, shifted, huge):
        with pytest.raises(ConfigurationError, match="finite"):
            lipschitz_bound(module)


class NoGradient(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            return 100 * inputs


@pytest.mark.parametrize(
    "module",
    [
        NoGradient(),
        Does(lambda x: 100 * x.detach() + 0.001 * x),
        Does(lambda x: torch.round(100 * x)),
        Does(lambda x: torch.sin(1e6 * x) / 1e5),
    ],
)
def test_statements_are_tested_where_gradients_say_nothing(module: nn.Module) -> None:
    with pytest.raises(UnverifiedModule, match="is said to have"):
        lipschitz_bound(declare_lipschitz(module, 0.002, input_shape=(4,)))
