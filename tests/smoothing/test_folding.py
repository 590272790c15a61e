"""Folding: the same classifier with less noise, exactly; and nothing where nothing is gained."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy.stats import chi2_contingency
from torch import Tensor, nn

from latentsmooth.lipschitz import lipschitz_bound
from latentsmooth.models import build, list_builds
from latentsmooth.orthogonal import (
    Center,
    ChannelNormalize,
    HaarLowPass,
    HaarWavelet,
    InvertibleDownsample,
    OrthogonalConv2d,
    OrthogonalLinear,
    ZeroPadToMultiple,
    freeze,
)
from latentsmooth.smoothing.folding import Folded, fold
from tests.closeness import assert_near
from tests.oracles import dense_jacobian
from tests.seeds import shifted

Shape = tuple[int, ...]


def chain(*modules: nn.Module) -> nn.Sequential:
    """A head in evaluation mode and float64 whose batch norms and biases do something."""
    head = nn.Sequential(*modules).double().eval()
    randomise(head)
    return head


def randomise(head: nn.Module) -> None:
    for module in head.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor, low, high in (
                (module.running_mean, -1.0, 1.0),
                (module.running_var, 0.2, 3.0),
                (module.weight, -2.0, 2.0),
                (module.bias, -1.0, 1.0),
            ):
                if tensor is not None:
                    nn.init.uniform_(tensor, low, high)
        elif isinstance(bias := getattr(module, "bias", None), Tensor):
            nn.init.uniform_(bias, -1.0, 1.0)


def ends(features: int) -> tuple[nn.Module, ...]:
    return nn.Tanh(), nn.Linear(features, 3)


def tail() -> tuple[nn.Module, ...]:
    return nn.Tanh(), nn.Flatten()


# A head, the latent it takes and the latent after folding.
CASES: dict[str, tuple[Callable[[], nn.Module], Shape, Shape]] = {
    "dense": (lambda: chain(nn.Linear(12, 5), *ends(5)), (12,), (5,)),
    "dense alone": (lambda: nn.Linear(12, 5).double(), (12,), (5,)),
    "without bias": (lambda: chain(nn.Linear(12, 5, bias=False), *ends(5)), (12,), (5,)),
    "flattened": (lambda: chain(nn.Flatten(), nn.Linear(48, 7), *ends(7)), (3, 4, 4), (7,)),
    "nested, batch norms round it": (
        lambda: chain(
            nn.Sequential(nn.Flatten(), nn.BatchNorm1d(48), nn.Dropout()),
            nn.Sequential(nn.Sequential(nn.Linear(48, 7)), nn.BatchNorm1d(7), *ends(7)),
        ),
        (3, 4, 4),
        (7,),
    ),
    "affine, then flattened": (
        lambda: chain(
            nn.BatchNorm2d(3, affine=False),
            Center((0.1, 0.2, 0.3)),
            ChannelNormalize(0.5, (0.5, 0.25, 2.0)),
            nn.Identity(),
            nn.Flatten(),
            nn.Linear(48, 7),
            *ends(7),
        ),
        (3, 4, 4),
        (7,),
    ),
    "patches": (lambda: chain(nn.Conv2d(3, 5, 2, 2), *tail()), (3, 4, 6), (5, 2, 3)),
    "patches and a remainder": (
        lambda: chain(nn.BatchNorm2d(3), nn.Conv2d(3, 4, (2, 3), (2, 3)), *tail()),
        (3, 5, 7),
        (4, 2, 2),
    ),
    "pixels": (
        lambda: chain(nn.Conv2d(8, 3, 1, bias=False), nn.BatchNorm2d(3), *tail()),
        (8, 3, 3),
        (3, 3, 3),
    ),
    "orthogonal dense": (lambda: chain(OrthogonalLinear(12, 5), *ends(5)), (12,), (5,)),
    "orthogonal dense after scaling": (
        lambda: chain(nn.BatchNorm1d(12), OrthogonalLinear(12, 5), *ends(5)),
        (12,),
        (5,),
    ),
    "frozen orthogonal dense": (
        lambda: chain(freeze(OrthogonalLinear(12, 5).double()), *ends(5)),
        (12,),
        (5,),
    ),
    "orthogonal convolution": (
        lambda: chain(OrthogonalConv2d(4, 6, 4, 2), nn.BatchNorm2d(6), *tail()),
        (4, 6, 8),
        (6, 3, 4),
    ),
    "orthogonal convolution, grouped and dilated": (
        lambda: chain(OrthogonalConv2d(4, 6, 4, 2, dilation=3, groups=2), *tail()),
        (4, 6, 8),
        (6, 3, 4),
    ),
    "square orthogonal convolution": (
        lambda: chain(OrthogonalConv2d(4, 4, 3), *tail()),
        (4, 5, 5),
        (4, 5, 5),
    ),
    "orthogonal patches without a border": (
        lambda: chain(OrthogonalConv2d(3, 5, 2, 2, padding_mode="zeros"), *tail()),
        (3, 4, 4),
        (5, 2, 2),
    ),
    "orthogonal patches after scaling": (
        lambda: chain(ChannelNormalize(0.5, (0.5, 1, 2)), OrthogonalConv2d(3, 5, 2, 2), *tail()),
        (3, 4, 4),
        (5, 2, 2),
    ),
    "rearranged and shifted": (
        lambda: chain(
            ZeroPadToMultiple(2), Center(), HaarLowPass(), InvertibleDownsample(), *tail()
        ),
        (3, 8, 4),
        (12, 2, 1),
    ),
    "orthogonal, then dense": (
        lambda: chain(OrthogonalConv2d(4, 6, 2, 2), nn.Flatten(), nn.Linear(24, 9), *ends(9)),
        (4, 4, 4),
        (9,),
    ),
}


def folded_case(name: str) -> tuple[nn.Module, Shape, Folded]:
    torch.manual_seed(shifted(0))
    make, shape, after = CASES[name]
    head = make()
    made = fold(nn.Identity(), head, latent_shape=shape)
    assert made is not None
    assert made.latent_shape == after
    return head, shape, made


@pytest.mark.parametrize("name", CASES)
def test_the_folded_pair_is_the_same_function_and_its_noise_is_isotropic(name: str) -> None:
    head, shape, made = folded_case(name)
    latents = torch.randn(6, *shape, dtype=torch.float64)
    noise = torch.randn_like(latents)
    # What moved is affine: its linear part turns the old noise into the new.
    moved_noise = made.encoder(noise) - made.encoder(torch.zeros_like(noise))
    wanted = head(latents + noise)
    torch.testing.assert_close(
        made.head(made.encoder(latents) + moved_noise), wanted, rtol=1e-9, atol=1e-9
    )
    matrix = dense_jacobian(made.encoder, latents[:1])
    assert matrix.shape == (math.prod(made.latent_shape), math.prod(shape))
    torch.testing.assert_close(
        matrix @ matrix.T, torch.eye(len(matrix), dtype=torch.float64), rtol=0, atol=1e-9
    )
    assert lipschitz_bound(made.encoder, input_shape=shape) <= 1 + 1e-9


def test_an_orthonormal_layer_leaves_no_factor_behind() -> None:
    for name, kinds in {
        "orthogonal dense": [nn.Tanh, nn.Linear],
        "frozen orthogonal dense": [nn.Tanh, nn.Linear],
        "orthogonal convolution": [nn.BatchNorm2d, nn.Tanh, nn.Flatten],
        "dense": [nn.Linear, nn.Tanh, nn.Linear],
    }.items():
        _, _, made = folded_case(name)
        assert isinstance(made.head, nn.Sequential)
        assert [type(part) for part in made.head] == kinds


VOTING: dict[str, tuple[Callable[[], nn.Module], Shape, float]] = {
    "dense": (
        lambda: nn.Sequential(nn.Linear(40, 6), nn.ReLU(), nn.Linear(6, 4)),
        (40,),
        3.0,
    ),
    "convolution": (
        lambda: nn.Sequential(
            OrthogonalConv2d(4, 6, 4, 2),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Conv2d(6, 3, 2, 2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(12, 4),
        ),
        (4, 8, 8),
        3.0,
    ),
}


@pytest.mark.parametrize("name", VOTING)
def test_votes_before_and_after_folding_have_one_distribution(name: str) -> None:
    torch.manual_seed(3)  # an example that votes for three classes at least
    make, shape, sigma = VOTING[name]
    head = make().eval()
    randomise(head)
    made = fold(nn.Identity(), head, latent_shape=shape, dtype=torch.float32)
    assert made is not None
    latent = 2 * torch.randn(1, *shape)

    def votes(network: nn.Module, centre: Tensor) -> Tensor:
        noisy = centre + sigma * torch.randn(40_000, *centre.shape[1:])
        counted: Tensor = network(noisy).argmax(dim=1).bincount(minlength=4)
        return counted

    def p_value(*counts: Tensor) -> float:
        table = torch.stack(counts)
        return float(chi2_contingency(table[:, table.sum(dim=0) > 0].numpy()).pvalue)

    with torch.no_grad():
        before, after = votes(head, latent), votes(made.head, made.encoder(latent))
        elsewhere = votes(made.head, made.encoder(0 * latent))
    assert int((before > 400).sum()) >= 3
    assert p_value(before, after) > 1e-3
    assert p_value(before, elsewhere) < 1e-9


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_a_rank_deficient_layer_keeps_its_covariance(rank: int) -> None:
    torch.manual_seed(shifted(0))
    layer = nn.Linear(20, 6).double()
    with torch.no_grad():
        factors = torch.randn(6, rank).double(), torch.randn(rank, 20).double()
        layer.weight.copy_(factors[0] @ factors[1])
    made = fold(nn.Identity(), layer, latent_shape=(20,))
    assert made is not None
    outer, inner = (
        dense_jacobian(part, torch.zeros(1, size).double())
        for part, size in (
            (made.head, 6),
            (made.encoder, 20),
        )
    )
    torch.testing.assert_close(outer @ inner, layer.weight.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(outer @ outer.T, (layer.weight @ layer.weight.T).detach())
    torch.testing.assert_close(inner @ inner.T, torch.eye(6).double(), rtol=0, atol=1e-12)
    assert lipschitz_bound(made.encoder) <= 1 + 1e-9


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 5)

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.layer(inputs)
        return out


class Doubled(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return super().forward(2 * input)


def hooked(module: nn.Module) -> nn.Module:
    module.register_forward_hook(lambda *_: None)
    return module


def with_infinity() -> nn.Module:
    layer = nn.Linear(12, 5)
    nn.init.constant_(layer.weight, math.inf)
    return layer


NOTHING_TO_GAIN: dict[str, tuple[Callable[[], nn.Module], Shape]] = {
    "expanding": (lambda: nn.Linear(12, 13), (12,)),
    "square": (lambda: nn.Linear(12, 12), (12,)),
    "expanding patches": (lambda: nn.Conv2d(3, 12, 2, 2), (3, 4, 4)),
    "overlapping": (lambda: nn.Conv2d(3, 5, 3, 2), (3, 7, 7)),
    "gaps": (lambda: nn.Conv2d(3, 5, 2, 3), (3, 8, 8)),
    "padded": (lambda: nn.Conv2d(3, 5, 2, 2, padding=1), (3, 4, 4)),
    "padded circularly": (
        lambda: nn.Conv2d(3, 5, 2, 2, padding=1, padding_mode="circular"),
        (3, 4, 4),
    ),
    "grouped": (lambda: nn.Conv2d(4, 4, 2, 2, groups=2), (4, 4, 4)),
    "dilated": (lambda: nn.Conv2d(3, 5, 2, 2, dilation=2), (3, 6, 6)),
    "transposed": (lambda: nn.ConvTranspose2d(8, 1, 2, 2), (8, 2, 2)),
    "last axis": (lambda: nn.Linear(12, 5), (3, 12)),
    "orthogonal, expanding": (lambda: OrthogonalLinear(12, 20), (12,)),
    "orthogonal convolution, expanding": (lambda: OrthogonalConv2d(3, 16, 2, 2), (3, 4, 4)),
    "orthogonal at a zero border": (
        lambda: OrthogonalConv2d(4, 6, 4, 2, padding_mode="zeros"),
        (4, 8, 8),
    ),
    "padding before it": (
        lambda: nn.Sequential(ZeroPadToMultiple(4), OrthogonalConv2d(4, 6, 4, 2)),
        (4, 6, 8),
    ),
    "rearranging only": (lambda: nn.Sequential(HaarWavelet(), nn.Flatten(), nn.ReLU()), (3, 4, 4)),
    "non-linear first": (lambda: nn.Sequential(nn.ReLU(), nn.Linear(12, 5)), (12,)),
    "statistics of the batch": (
        lambda: nn.Sequential(nn.BatchNorm1d(12, track_running_stats=False), nn.Linear(12, 5)),
        (12,),
    ),
    "partly flattened": (
        lambda: nn.Sequential(nn.Flatten(2), nn.Linear(12, 5), nn.Flatten()),
        (3, 3, 4),
    ),
    "a module of one's own": (Own, (12,)),
    "a layer of one's own": (lambda: Doubled(12, 5), (12,)),
    "a hook": (lambda: nn.Sequential(hooked(nn.Linear(12, 5))), (12,)),
    "a hook on the chain": (
        lambda: nn.Sequential(hooked(nn.Sequential(nn.Linear(12, 5)))),
        (12,),
    ),
    "a hook before it": (
        lambda: nn.Sequential(hooked(nn.Identity()), nn.Linear(12, 5)),
        (12,),
    ),
    "not finite": (with_infinity, (12,)),
    "nothing": (nn.Sequential, (12,)),
}


@pytest.mark.parametrize("name", NOTHING_TO_GAIN)
def test_nothing_is_folded_where_nothing_is_gained(name: str) -> None:
    make, shape = NOTHING_TO_GAIN[name]
    assert fold(nn.Identity(), make(), latent_shape=shape) is None


def test_a_moved_part_whose_bound_is_too_large_is_not_folded() -> None:
    head = nn.Linear(64, 32)
    assert fold(nn.Identity(), head, latent_shape=(64,), dtype=torch.float64) is not None
    assert fold(nn.Identity(), head, latent_shape=(64,), dtype=torch.bfloat16) is None


def test_arguments_are_left_as_they_are_and_nothing_is_shared() -> None:
    encoder = nn.Sequential(OrthogonalConv2d(1, 4, 2, 2))
    head = nn.Sequential(OrthogonalConv2d(4, 5, 2, 2), nn.BatchNorm2d(5), nn.Flatten())
    before = {**encoder.state_dict(), **{f"head.{k}": v for k, v in head.state_dict().items()}}
    before = {name: value.clone() for name, value in before.items()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = fold(encoder.train(), head.train(), latent_shape=(4, 4, 4))
    assert made is not None
    assert all(part.training for part in (*encoder.modules(), *head.modules()))
    after = {**encoder.state_dict(), **{f"head.{k}": v for k, v in head.state_dict().items()}}
    assert all(torch.equal(before[name], after[name]) for name in before)
    own = {id(each) for part in (encoder, head) for each in (*part.parameters(), *part.buffers())}
    parts = (made.encoder, made.head)
    new = [each for part in parts for each in (*part.parameters(), *part.buffers())]
    assert not own & {id(each) for each in new}
    assert not any(each.requires_grad for each in new)
    assert not any(part.training for part in (*made.encoder.modules(), *made.head.modules()))
    assert {each.dtype for each in made.encoder.parameters()} == {torch.float64}
    # Autocast outside must not have touched the factors.
    images = torch.rand(1, 1, 8, 8, dtype=torch.float64)
    plain = fold(encoder, head, latent_shape=(4, 4, 4))
    assert plain is not None
    assert torch.equal(plain.encoder(images), made.encoder(images))


def test_the_head_keeps_its_dtype() -> None:
    head = nn.Sequential(nn.Linear(64, 10), nn.ReLU()).to(torch.bfloat16)
    made = fold(nn.Flatten(), head, latent_shape=(64,))
    assert made is not None
    assert {each.dtype for each in made.head.parameters()} == {torch.bfloat16}
    assert made.head(torch.zeros(2, 10, dtype=torch.bfloat16)).dtype == torch.bfloat16


FOLDING: dict[str, tuple[Shape, dict[str, int]]] = {
    "lsrs-partial": ((32, 8, 8), {"folded": 1}),
    "lsrs-latent": ((10,), {}),
    "lsrs-lenet": ((10,), {}),
    "lsrs-convnet": ((32,), {}),
    "lsrs-lipnet": ((32,), {}),
    "lsrs-convnext": ((12, 8, 8), {}),
    "lsrs-depthwise": ((12, 8, 8), {}),
    "lsrs-mixer": ((16, 4, 4), {}),
    "lsrs-resnet50": ((8, 8, 8), {"folded": 1}),
}


@pytest.mark.parametrize("name", list_builds())
def test_builds_fold_where_their_heads_narrow(name: str) -> None:
    torch.manual_seed(shifted(0))
    wanted, options = FOLDING.get(name, ((), {}))
    settings: dict[str, Any] = {"width": 0.125, "latent_sigma": 0.25, **options}
    model = build(name, num_classes=10, image_shape=(3, 32, 32), **settings).eval()
    randomise(model.head)
    made = fold(model.encoder, model.head, latent_shape=model.latent_shape)
    if name not in FOLDING:
        assert made is None
        return
    assert made is not None
    assert made.latent_shape == wanted
    images = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        logits = made.head(made.encoder(images.double()).float())
        # A head of up to fifty layers, whose latents are rounded on the way as well.
        assert_near(logits, model(images), steps=4096)
    bounds = [
        lipschitz_bound(each, input_shape=(3, 32, 32))
        for each in (made.encoder, model.encoder.double())
    ]
    assert bounds[0] <= bounds[1] * (1 + 1e-6)
