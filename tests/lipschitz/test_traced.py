"""Modules of no known type: followed where that is sound, refused where it is not."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentsmooth.errors import UnverifiedModule
from latentsmooth.lipschitz import lipschitz_bound, module_bounds
from latentsmooth.orthogonal import ConvexResidual, MaxMin, OrthogonalConv2d
from tests.oracles import singular_values
from tests.seeds import shifted

SHAPE = (3, 6, 5)


class Residual(nn.Module):
    """A block of a ResNet, its shortcut added in place."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, inputs: Tensor) -> Tensor:
        result = self.second(self.act(self.norm(self.first(inputs))))
        result += inputs
        return self.act(result)  # type: ignore[no-any-return]


class DenseBlock(nn.Module):
    """Every layer reads all results before it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3 + 2 * i, 2, 3, padding=1) for i in range(3))

    def forward(self, inputs: Tensor) -> Tensor:
        found = [inputs]
        for layer in self.layers:
            found.append(torch.tanh(layer(torch.cat(found, dim=1))))
        return torch.cat(found, dim=1)


class UNet(nn.Module):
    """Down, across and up again, with a shortcut and sizes that do not divide."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(
            {
                "down": nn.Conv2d(3, 6, 2, stride=2),
                "across": Residual(6),
                "up": nn.ConvTranspose2d(6, 3, 2, stride=2),
                "out": nn.Conv2d(6, 2, 1),
            }
        )

    def forward(self, inputs: Tensor) -> Tensor:
        low = self.parts["across"](self.parts["down"](inputs))
        high = self.parts["up"](low)
        missing = [a - b for a, b in zip(inputs.shape[2:], high.shape[2:], strict=True)]
        if any(missing):
            high = F.pad(high, (0, missing[1], 0, missing[0]))
        return self.parts["out"](torch.cat([high, inputs], 1))  # type: ignore[no-any-return]


class Weighted(nn.Module):
    """Constants computed from parameters and buffers, in several ways."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(0.3))
        self.log_scale = nn.Parameter(torch.tensor([0.1, -0.4, 0.2]).reshape(1, 3, 1, 1))
        self.register_buffer("mean", torch.full((3, 1, 1), 0.5))

    def forward(self, inputs: Tensor) -> Tensor:
        share = torch.sigmoid(self.share)
        strong = 2.0 if float(self.share.detach()) > 0 else 1.0
        centred = (inputs - self.mean) * self.log_scale.exp()
        return share * inputs + (1 - share) * centred * strong + self.share.item() * inputs


class Join(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(0.25))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.share * first + (1 - self.share) * second


class UsesJoin(nn.Module):
    """A child with two inputs has no constant of its own; its operations are followed."""

    def __init__(self) -> None:
        super().__init__()
        self.join = Join()
        self.branch = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.join(inputs, second=self.branch(input=inputs))  # type: ignore[no-any-return]


class Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        return 7 * inputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return 7 * grads[0]


class OwnFunction(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        result: Tensor = Scale.apply(inputs)  # type: ignore[no-untyped-call]
        return result


class Scaled(nn.Conv2d):
    """A convolution with a forward of its own."""

    def forward(self, inputs: Tensor) -> Tensor:
        return 2 * super().forward(inputs)


class KnowsTensors(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return 5 * inputs if isinstance(inputs, Tensor) else inputs


def trained(make: Callable[[], nn.Module]) -> nn.Module:
    """With weights and statistics that are not those of the start."""
    torch.manual_seed(shifted(0))
    module = make()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_var is not None
            part.running_var.uniform_(0.3, 2)
    return module.eval()


@pytest.mark.parametrize(
    ("make", "looseness"),
    [
        (Residual, 3.0),
        (DenseBlock, 3.0),
        (UNet, 6.0),
        (Weighted, 1 + 1e-6),
        (UsesJoin, 1.5),
        (OwnFunction, 1 + 1e-9),
        (lambda: Scaled(3, 4, 3), 1.5),
        (KnowsTensors, 1 + 1e-9),
        (lambda: nn.Sequential(Residual(), nn.AvgPool2d(1), DenseBlock()), 10.0),
        (lambda: ConvexResidual(nn.Sequential(OrthogonalConv2d(3, 3, 3), Scaled(3, 3, 1))), 1.5),
    ],
)
def test_bounds_hold_against_dense_jacobians(
    make: Callable[[], nn.Module], looseness: float
) -> None:
    module = trained(make)
    bound = lipschitz_bound(module, input_shape=SHAPE)
    module.double()
    truth = max(float(singular_values(module, SHAPE).max()) for _ in range(3))
    assert truth * (1 - 1e-9) <= bound <= truth * looseness
    assert truth <= lipschitz_bound(module, input_shape=SHAPE) * (1 + 1e-12)


def test_children_are_bounded_by_their_own_rules_and_named() -> None:
    block = trained(lambda: nn.Sequential(nn.Flatten(0, 0), UNet()))
    [_, part] = module_bounds(block, input_shape=SHAPE)
    assert (part.path, part.kind) == ("1", "UNet")
    names = ["parts.down", "parts.across", "parts.up", "parts.out"]
    assert [child.path for child in part.children] == [f"1.{name}" for name in names]
    across = part.children[1]
    assert [child.path.rpartition(".")[2] for child in across.children] == [
        "first",
        "norm",
        "act",
        "second",
    ]
    product = 1.0
    for child in across.children:
        product *= child.bound
    assert across.bound == pytest.approx(1 + product, rel=1e-9)


def test_a_shape_is_needed() -> None:
    with pytest.raises(UnverifiedModule, match=r"1 \(Residual\); give input_shape"):
        lipschitz_bound(nn.Sequential(nn.ReLU(), Residual()))


def test_broadcasting_counts_its_copies() -> None:
    class Gate(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs + inputs.mean(dim=(1, 2, 3), keepdim=True)

    bound = lipschitz_bound(Gate(), input_shape=SHAPE)
    assert bound == pytest.approx(2.0, rel=1e-9)
    assert float(singular_values(Gate(), SHAPE).max()) == pytest.approx(2.0)


def test_a_module_used_twice_counts_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.LeakyReLU(3.0)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.inner(self.inner(inputs))  # type: ignore[no-any-return]

    [part] = module_bounds(Twice(), input_shape=SHAPE)
    assert part.bound == 9.0
    assert len(part.children) == 1


def test_every_size_that_a_shared_block_sees_counts() -> None:
    class Sum(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs.sum(dim=(2, 3), keepdim=True)

    shared = Sum()
    chain = nn.Sequential(shared, nn.Upsample(scale_factor=(2, 2)), shared)
    parts = module_bounds(chain, input_shape=(1, 4, 4))
    # Over 16 pixels the first time, over 4 the second: the larger counts both times.
    assert [part.bound for part in parts] == pytest.approx([4.0, 2.0, 4.0])


def test_memory_that_is_shared_is_watched() -> None:
    class Alias(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            first = inputs * 1.0
            second, rows = first, first[:, :, :2]
            first += 3 * inputs
            return torch.cat([second, rows], dim=2)

    bound = lipschitz_bound(Alias(), input_shape=(1, 4, 4))
    truth = float(singular_values(Alias(), (1, 4, 4)).max())
    assert truth == pytest.approx(4 * 2**0.5)
    assert truth <= bound * (1 + 1e-12)

    class Overwrites(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            inputs[:, :1].mul_(3)
            return inputs

    with pytest.raises(UnverifiedModule, match="overwrites the module's input"):
        lipschitz_bound(nn.Sequential(nn.Identity(), Overwrites()), input_shape=SHAPE)


class Random(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * torch.rand(1)


class PythonRandom(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * random.random()


class Counts(nn.Module):
    calls = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls += 1
        return inputs * self.calls


class BatchSize(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs / len(inputs)


class Smuggles(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return inputs + 100 * torch.tensor(inputs)


class Swallows(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        try:
            return inputs * inputs
        except Exception:
            return inputs


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Random(), "does not do the same"),
        (PythonRandom(), "does not do the same"),
        (Counts(), "does not do the same"),
        (BatchSize(), "does not do the same"),
        (Smuggles(), "does not do the same"),
        (Swallows(), "multiplies two values"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_depends_on_more_than_the_input_is_refused(module: nn.Module, reason: str) -> None:
    with pytest.raises(UnverifiedModule, match=rf"0 \({type(module).__name__}\).*{reason}"):
        lipschitz_bound(nn.Sequential(module), input_shape=SHAPE)


def test_errors_in_children_keep_their_path() -> None:
    class Holds(nn.Module):
        def __init__(self, child: nn.Module) -> None:
            super().__init__()
            self.child = child

        def forward(self, inputs: Tensor) -> Tensor:
            return self.child(inputs) + inputs  # type: ignore[no-any-return]

    deep = nn.Sequential(Holds(nn.Sequential(Holds(nn.Softplus()))))
    with pytest.raises(UnverifiedModule, match=r"of 0\.child\.0\.child \(Softplus\)"):
        lipschitz_bound(deep, input_shape=SHAPE)
    hooked = Holds(MaxMin())
    hooked.child.register_forward_hook(lambda *parts: None)
    with pytest.raises(UnverifiedModule, match=r"child \(MaxMin\) has a forward hook"):
        lipschitz_bound(hooked, input_shape=(4, 2, 2))

    class Picks(Holds):
        def forward(self, inputs: Tensor) -> Tensor:
            return self.child(inputs)[0]  # type: ignore[no-any-return]

    with pytest.raises(UnverifiedModule, match="gives a tuple; wanted one tensor"):
        lipschitz_bound(Picks(nn.MaxPool2d(2, return_indices=True)), input_shape=SHAPE)


def test_blocks_that_are_never_called_alone_are_refused() -> None:
    class Pair(nn.Module):
        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            return first + second

    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branch = Pair()

        def forward(self, inputs: Tensor) -> Tensor:
            return self.branch(inputs, inputs)  # type: ignore[no-any-return]

    assert lipschitz_bound(Idle(), input_shape=SHAPE) == 2.0
    unused = ConvexResidual(nn.Identity(), learnable=False)
    unused.branch = nn.Sequential(nn.Identity())
    unused.forward = lambda inputs: inputs  # type: ignore[method-assign]
    with pytest.raises(UnverifiedModule, match="replaced method"):
        lipschitz_bound(unused, input_shape=SHAPE)


def test_compiled_modules_are_refused() -> None:
    compiled = torch.compile(KnowsTensors())
    assert isinstance(compiled, nn.Module)
    with pytest.raises(UnverifiedModule, match="compiled"):
        lipschitz_bound(compiled, input_shape=SHAPE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.script(nn.Sequential(nn.ReLU()))
    with pytest.raises(UnverifiedModule, match="compiled"):
        lipschitz_bound(script, input_shape=SHAPE)


def test_modules_that_cannot_be_copied_are_refused() -> None:
    layer = nn.Linear(2, 2)
    layer.doubled = 2 * layer.weight
    with pytest.raises(UnverifiedModule, match="cannot be copied"):
        lipschitz_bound(layer, input_shape=(2,))


def test_the_module_is_left_as_it_was() -> None:
    torch.manual_seed(shifted(0))
    block = Residual().train()
    before = {name: value.clone() for name, value in block.state_dict().items()}
    state = torch.get_rng_state()
    lipschitz_bound(block, input_shape=SHAPE)
    assert block.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in block.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in block.modules())
