"""Merging batch norms: the same head, to rounding, with fewer layers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentsmooth.errors import ShapeError
from latentsmooth.models import build, list_builds
from latentsmooth.orthogonal import OrthogonalConv2d
from latentsmooth.smoothing.simplify import merge_batch_norm
from tests.closeness import rounding
from tests.seeds import shifted
from tests.smoothing.test_folding import randomise


def norms(head: nn.Module) -> int:
    return sum(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in head.modules())


# Of the largest answer: the deepest head has a hundred layers.
CLOSE = rounding(torch.float32, steps=256)


def relative_error(got: Tensor, wanted: Tensor) -> float:
    return float((got - wanted).abs().max() / wanted.abs().max())


def small_head(name: str, **options: Any) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(shifted(0))
    model = build(
        name, num_classes=5, image_shape=(3, 16, 16), width=0.125, latent_sigma=0.25, **options
    )
    randomise(model.head)
    return model.head.eval(), torch.randn(4, *model.latent_shape)


@pytest.mark.parametrize("name", [*list_builds(), "lsrs-partial, folded"])
@torch.no_grad()
def test_every_builds_head_keeps_its_answers(name: str) -> None:
    name, _, folded = name.partition(", ")
    head, latents = small_head(name, **({"folded": 1} if folded else {}))
    merged = merge_batch_norm(head)
    assert norms(merged) == 0
    wanted = copy.deepcopy(head).double()(latents.double())
    assert relative_error(merged(latents), wanted) < CLOSE
    assert relative_error(merged.to(memory_format=torch.channels_last)(latents), wanted) < CLOSE  # type: ignore[call-overload]
    assert not any(part.training for part in merged.modules())


@torch.no_grad()
def test_a_merged_residual_head_goes_on_as_heads_do() -> None:
    head, latents = small_head("lsrs-partial")
    before = {name: value.clone() for name, value in head.state_dict().items()}
    merged = merge_batch_norm(head)
    assert norms(head) > 0
    assert all(torch.equal(before[name], value) for name, value in head.state_dict().items())
    wanted = head(latents)
    assert relative_error(copy.deepcopy(merged)(latents), wanted) < CLOSE
    assert relative_error(torch.compile(merged, backend="aot_eager")(latents), wanted) < CLOSE
    narrow = copy.deepcopy(merged).to(torch.bfloat16)
    assert relative_error(narrow(latents.bfloat16()).float(), wanted) < rounding(
        torch.bfloat16, steps=16
    )


LAYERS: dict[str, tuple[Callable[[], nn.Sequential], tuple[int, ...]]] = {
    "1d": (lambda: nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4)), (2, 9)),
    "3d": (
        lambda: nn.Sequential(nn.Conv3d(2, 4, 2, groups=2, bias=False), nn.BatchNorm3d(4)),
        (2, 4, 4, 4),
    ),
    "dense": (lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4, affine=False)), (5,)),
    "transposed": (
        lambda: nn.Sequential(nn.ConvTranspose2d(4, 6, 2, 2, groups=2), nn.BatchNorm2d(6)),
        (4, 3, 3),
    ),
    "orthogonal": (
        lambda: nn.Sequential(OrthogonalConv2d(4, 6, 4, 2), nn.BatchNorm2d(6)),
        (4, 6, 6),
    ),
    "one conv inside another chain": (
        lambda: nn.Sequential(nn.Sequential(nn.Conv2d(4, 6, 1)), nn.BatchNorm2d(6)),
        (4, 6, 6),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
@torch.no_grad()
def test_every_kind_of_layer_takes_a_batch_norm(name: str) -> None:
    torch.manual_seed(shifted(0))
    make, shape = LAYERS[name]
    head = make().double().eval()
    randomise(head)
    merged = merge_batch_norm(head)
    inputs = torch.randn(3, *shape, dtype=torch.float64)
    assert norms(merged) == 0
    torch.testing.assert_close(merged(inputs), head(inputs), rtol=1e-12, atol=1e-12)


class ReadTwice(nn.Module):
    """The convolution's own result is needed as well."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.conv(inputs)
        out: Tensor = self.norm(hidden) + hidden
        return out


class CalledTwice(ReadTwice):
    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.conv(self.norm(self.conv(inputs)))
        return out


class NormCalledTwice(ReadTwice):
    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.norm(torch.relu(self.norm(self.conv(inputs))))
        return out


class TiedWeight(ReadTwice):
    def forward(self, inputs: Tensor) -> Tensor:
        return F.conv2d(self.norm(self.conv(inputs)), self.conv.weight)


class LooksInto(ReadTwice):
    """Reads a number of the batch norm that no stand-in has."""

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(inputs)) + self.norm.eps
        return out


class TwoNames(ReadTwice):
    def __init__(self) -> None:
        super().__init__()
        self.also = self.norm

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.also(self.conv(inputs))
        return out


class Untraceable(ReadTwice):
    def forward(self, inputs: Tensor) -> Tensor:
        hidden: Tensor = self.norm(self.conv(inputs))
        return hidden if float(hidden.sum()) > 0 else 2 * hidden


def hooked() -> nn.Module:
    head = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    head[0].register_forward_hook(lambda module, inputs, output: 2 * output)
    return head


UNMERGED: list[Callable[[], nn.Module]] = [
    ReadTwice,
    CalledTwice,
    NormCalledTwice,
    TiedWeight,
    LooksInto,
    TwoNames,
    Untraceable,
    hooked,
    lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3)),
    lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm2d(3)),
    lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)),
    lambda: nn.BatchNorm2d(3),
]


@pytest.mark.parametrize("make", UNMERGED)
@torch.no_grad()
def test_what_cannot_be_merged_stays(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(shifted(0))
    head = make().eval()
    randomise(head)
    merged = merge_batch_norm(head)
    inputs = torch.randn(2, 3, 4, 4)
    assert norms(merged) == 1
    assert merged is not head
    assert torch.equal(merged(inputs), head(inputs))


def test_a_dense_layer_with_its_norm_merged_refuses_sequences() -> None:
    head = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).eval()
    with pytest.raises(ShapeError, match=r"\(batch, features\) only, got \(2, 4, 4\)"):
        merge_batch_norm(head)(torch.zeros(2, 4, 4))
