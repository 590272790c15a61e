"""Modules that change their input, their mode or their arithmetic behind a rule's back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from latentsmooth.certification.preparation import prepare_classifier
from latentsmooth.errors import ConfigurationError, UnverifiedModule
from latentsmooth.lipschitz import (
    declare_lipschitz,
    lipschitz_bound,
    register_rule,
    rounding_bound,
)
from latentsmooth.lipschitz.registry import inherits
from latentsmooth.models import build
from latentsmooth.orthogonal import ConcatenativeResidual, ConvexResidual, Parallel

SHAPE = (2, 4, 4)


class Does(nn.Module):
    """Any function, with a child to call."""

    def __init__(self, function: Callable[[Tensor, Any], Tensor], child: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.child = child

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(inputs, self.child)


class Overwrites(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.tanh_()


class Unseen(nn.Module):
    """Torch does not count this way of writing."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.data.mul_(0.5)


class Scales(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.mul_(1000.0)


class Ruled(Scales):
    pass


@register_rule(Ruled, Unseen)
def _ruled(module: nn.Module) -> float:
    return 1000.0


class Frozen(nn.Sequential):
    def train(self, mode: bool = True) -> Frozen:
        return self


def switched(branch: Any) -> nn.Module:
    """A residual whose branch works in place only afterwards."""
    block = ConvexResidual(nn.Sequential(branch))
    branch.inplace = True
    return block


def reads_on(inputs: Tensor, child: nn.Module) -> Tensor:
    kept = -inputs
    return torch.cat([child(kept), kept], dim=1)


def autocast(inputs: Tensor, child: nn.Module) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result: Tensor = child(inputs)
    return result.to(inputs.dtype)


def trains(inputs: Tensor, child: nn.Module) -> Tensor:
    return child.train()(inputs)  # type: ignore[no-any-return]


def louder(inputs: Tensor, child: Any) -> Tensor:
    child.weight.data.mul_(1000.0)
    result: Tensor = child(inputs)
    child.weight.data.div_(1000.0)
    return result


def louder_next_time(inputs: Tensor, child: Any) -> Tensor:
    result: Tensor = child(inputs)
    child.negative_slope = 1000.0
    return result


def swallows(inputs: Tensor, child: nn.Module) -> Tensor:
    try:
        return trains(inputs, child)
    except TypeError:
        return inputs


declared = declare_lipschitz(Scales(), 1000.0, input_shape=SHAPE)
CASES: dict[str, tuple[nn.Module, str]] = {
    "parallel": (Parallel(Overwrites(), nn.Conv2d(2, 2, 1)), "branches.0.*writes into"),
    "switched later": (switched(nn.ELU()), "branch.*writes into"),
    "residual": (ConvexResidual(nn.Sequential(nn.Identity(), Overwrites())), "writes into"),
    "concatenative": (ConcatenativeResidual(Unseen()), "writes into"),
    "declared": (Does(reads_on, declared), "writes into"),
    "ruled": (nn.Sequential(nn.ReLU(), Ruled()), "writes into"),
    "block": (Does(reads_on, nn.Sequential(nn.ELU(inplace=True), nn.ReLU())), "writes into"),
    "unseen": (Does(reads_on, Unseen()), "writes into"),
    "frozen": (Frozen(nn.BatchNorm2d(2)), "training mode"),
    "frozen inside": (nn.Sequential(nn.ReLU(), Frozen(nn.Dropout(0.5))), "training mode"),
    "switching": (Does(trains, nn.BatchNorm2d(2)), "training mode"),
    "swallowing": (Does(swallows, nn.BatchNorm2d(2)), "training mode"),
    "changing a child": (Does(louder, nn.Conv2d(2, 2, 1)), "changed"),
    "changing it after": (Does(louder_next_time, nn.LeakyReLU()), "changed"),
    "autocast": (Does(autocast, nn.Conv2d(2, 2, 1)), "autocast"),
    "negative variance": (nn.BatchNorm2d(2, eps=0.3), "negative"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("inference", [False, True])
def test_refused(name: str, inference: bool) -> None:
    module, reason = CASES[name]
    if name == "negative variance":
        nn.init.constant_(module.get_buffer("running_var"), -0.25)
    with torch.inference_mode(inference):
        with pytest.raises(UnverifiedModule, match=reason):
            lipschitz_bound(module, input_shape=SHAPE)
        with pytest.raises(UnverifiedModule, match=reason):
            rounding_bound(module, input_shape=SHAPE, dtype=torch.float32)


@pytest.mark.parametrize("name", ["switched later", "frozen", "frozen inside"])
def test_refused_without_a_shape(name: str) -> None:
    module, reason = CASES[name]
    with pytest.raises(UnverifiedModule, match=reason):
        lipschitz_bound(module)
    with pytest.raises(UnverifiedModule, match="writes into"):
        lipschitz_bound(Parallel(declared, nn.Identity()))


def test_what_harms_nobody_is_let_pass() -> None:
    chain = nn.Sequential(Overwrites(), nn.Conv2d(2, 2, 1), nn.ReLU(inplace=True))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        bound = lipschitz_bound(chain, input_shape=SHAPE)
    assert bound == lipschitz_bound(chain[1])
    twice = Does(reads_on, nn.ReLU(inplace=True))
    assert lipschitz_bound(twice, input_shape=SHAPE) == pytest.approx(2**0.5)
    assert rounding_bound(twice, input_shape=SHAPE).error == 0.0
    inner = Does(reads_on, nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU(inplace=True)))
    assert lipschitz_bound(inner, input_shape=SHAPE) < 2.5


def test_a_switch_of_its_own_is_a_method_that_counts() -> None:
    assert inherits(type("Chain", (nn.Sequential,), {}), nn.Sequential)
    assert not inherits(Frozen, nn.Sequential)


def test_heads_in_training_mode_are_not_run() -> None:
    model = build("lsrs-lenet", num_classes=3, image_shape=(1, 28, 28), latent_sigma=0.5)
    model.head = Frozen(nn.Flatten(), nn.LazyLinear(3), nn.Dropout(0.5))
    model.head(torch.zeros(1, *prepared_shape(model)))
    with pytest.raises(ConfigurationError, match=r"head.*training mode"):
        prepare_classifier(model, folds=False)


def prepared_shape(model: Any) -> tuple[int, ...]:
    with torch.no_grad():
        return tuple(model.encoder(torch.zeros(1, *model.image_shape)).shape[1:])
