"""Matrices and kernels back to parameters, starting points, batches, fusing."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.orthogonal import (
    Center,
    ChannelNormalize,
    Initialisation,
    InvertibleDownsample,
    MaxMin,
    OrthogonalConv1d,
    OrthogonalConv2d,
    OrthogonalConv3d,
    OrthogonalConvTranspose2d,
    OrthogonalLinear,
    Parametrization,
    batched_weights,
    circular_convolution,
    circular_fold,
    circular_pad,
    draw_orthonormal,
    freeze,
    fuse,
    narrow_paraunitary_kernel,
    orthogonal_columns,
    paraunitary_kernel_1d,
    recover_parameter,
    separable_kernel,
)
from tests.closeness import assert_near
from tests.seeds import shifted

METHODS: tuple[Parametrization, ...] = get_args(Parametrization)
STARTS: tuple[Initialisation, ...] = get_args(Initialisation)


@settings(max_examples=80, deadline=None)
@given(
    rows=st.integers(1, 9),
    columns=st.integers(0, 9),
    method=st.sampled_from(METHODS),
    start=st.sampled_from(STARTS),
    flip=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_orthonormal_matrix_is_recovered(
    rows: int,
    columns: int,
    method: Parametrization,
    start: Initialisation,
    flip: bool,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    matrix = draw_orthonormal(rows, min(rows, columns), start)
    matrix = -matrix if flip else matrix
    parameter, signs = recover_parameter(matrix, method=method)
    built = orthogonal_columns(parameter, columns=matrix.shape[1], method=method) * signs
    assert torch.allclose(built, matrix, atol=1e-12)


def test_what_is_not_orthonormal_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"2x2 matrix whose Gram matrix is 3\.0e\+00 from"):
        recover_parameter(2 * torch.eye(2))
    with pytest.raises(ShapeError, match="Gram matrix is nan"):
        recover_parameter(torch.full((2, 2), float("nan")))
    with pytest.raises(
        ConfigurationError, match="unknown initialisation 'normal': use one of 'haar'"
    ):
        OrthogonalLinear(2, 2, init="normal")  # type: ignore[arg-type]


@pytest.mark.parametrize("start", STARTS)
def test_starting_points_are_orthonormal_and_what_they_say(start: Initialisation) -> None:
    torch.manual_seed(shifted(0))
    matrix = draw_orthonormal(7, 4, start)
    assert torch.allclose(matrix.mT @ matrix, torch.eye(4, dtype=torch.float64), atol=1e-12)
    if start == "permutation":
        assert matrix.abs().sum() == 4
    if start == "identity":
        assert torch.equal(matrix, torch.eye(7, 4, dtype=torch.float64))
    if start == "torus":
        assert int((matrix != 0).sum(dim=0).max()) <= 2


def test_haar_has_the_moments_of_the_uniform_measure() -> None:
    torch.manual_seed(shifted(0))
    draws = torch.stack([draw_orthonormal(3, 2) for _ in range(4000)])
    # E q = 0 and E q^2 = 1/n, within four standard errors.
    assert float(draws.mean(dim=0).abs().max()) < 4 * 0.58 / 4000**0.5
    assert float((draws.square().mean(dim=0) - 1 / 3).abs().max()) < 4 * 0.3 / 4000**0.5


def test_identity_start_is_the_identity() -> None:
    images = torch.rand(2, 4, 5, 6)
    for size in (1, 3, 5):
        layer = OrthogonalConv2d(4, 4, size, init="identity").eval()
        with torch.no_grad():
            assert_near(layer(images), images)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("start", STARTS)
def test_assigned_kernels_are_recovered(method: Parametrization, start: Initialisation) -> None:
    torch.manual_seed(shifted(0))
    kinds: list[Any] = [
        OrthogonalConv1d,
        OrthogonalConv2d,
        OrthogonalConv3d,
        OrthogonalConvTranspose2d,
    ]
    channels = [(4, 4, 1), (4, 8, 1), (8, 4, 2), (16, 4, 1)]
    cells = itertools.product(kinds, [1, 2, 3], [1, 2], channels)
    # What a kernel started from changes its numbers only: the others take every fifth of the cells.
    step = 1 if start == "haar" else 5
    for kind, taps, stride, (inputs, outputs, groups) in itertools.islice(cells, 0, None, step):
        sizes = (inputs, outputs, taps * stride, stride)
        source = kind(*sizes, groups=groups, parametrization=method, init=start).eval()
        target = kind(*sizes, groups=groups, parametrization=method).eval()
        with torch.no_grad():
            wanted = source.weight.clone()
            target.weight = wanted
            # A kernel taken to its factors and put together again in float32: a dozen products
            # of matrices of up to 64 rows.
            assert_near(target.weight, wanted, steps=1024, about=sizes)


def test_assigned_matrices_are_recovered() -> None:
    torch.manual_seed(shifted(0))
    for inputs, outputs in [(4, 4), (3, 6), (6, 3)]:
        layer = OrthogonalLinear(inputs, outputs)
        wanted = OrthogonalLinear(inputs, outputs, parametrization="matrix_exp").weight.detach()
        layer.weight = wanted
        assert_near(layer.weight, wanted, steps=256)


def test_kernels_of_another_kind_are_refused() -> None:
    layer = OrthogonalConv2d(4, 4, 3)
    before = layer.weight.detach().clone()
    with pytest.raises(ShapeError, match=r"shape \(4, 4, 3, 3\), got \(4, 4, 5, 5\)"):
        layer.weight = torch.zeros(4, 4, 5, 5)
    with pytest.raises(ShapeError, match="no separable product of paraunitary factors"):
        layer.weight = torch.randn(4, 4, 3, 3)
    with pytest.raises(ShapeError, match=r"shape \(3, 2\), got \(2, 3\)"):
        OrthogonalLinear(2, 3).weight = torch.zeros(2, 3)
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("degrees", [(0,), (2,), (1, 2), (0, 3), (2, 1, 1)])
def test_narrow_kernels_are_rows_or_columns_of_the_whole(degrees: tuple[int, ...]) -> None:
    torch.manual_seed(shifted(0))
    mixing = torch.linalg.qr(torch.randn(2, 6, 4, dtype=torch.float64)).Q
    bases = [torch.linalg.qr(torch.randn(2, d, 6, 3, dtype=torch.float64)).Q for d in degrees]
    factors = [paraunitary_kernel_1d(basis) for basis in bases]
    growing = [*factors[:-1], factors[-1] @ mixing.unsqueeze(1)]
    narrowing = [mixing.mT.unsqueeze(1) @ factors[0], *factors[1:]]
    for whole, flag in [(growing, True), (narrowing, False)]:
        built = narrow_paraunitary_kernel(mixing, bases, growing=flag)
        assert torch.allclose(built, separable_kernel(*whole))


def test_separable_kernels_have_one_to_three_axes() -> None:
    with pytest.raises(ShapeError, match="one to three axes, got 0"):
        separable_kernel()


@settings(max_examples=40, deadline=None)
@given(
    sides=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    margins=st.tuples(*[st.tuples(st.integers(0, 6), st.integers(0, 6))] * 2),
    channels_last=st.booleans(),
)
def test_folding_is_the_adjoint_of_padding(
    sides: tuple[int, int],
    margins: tuple[tuple[int, int], tuple[int, int]],
    channels_last: bool,
) -> None:
    torch.manual_seed(shifted(0))
    images = torch.randn(2, 3, *sides, dtype=torch.float64)
    if channels_last:
        images = images.to(memory_format=torch.channels_last)
    padded = circular_pad(images, margins)
    rows = torch.arange(-margins[0][0], sides[0] + margins[0][1]) % sides[0]
    columns = torch.arange(-margins[1][0], sides[1] + margins[1][1]) % sides[1]
    assert torch.equal(padded, images[:, :, rows][..., columns])
    other = torch.randn_like(padded)
    folded = circular_fold(other, margins)
    assert torch.allclose((padded * other).sum(), (images * folded).sum())


def network() -> nn.Sequential:
    blocks = [nn.Sequential(OrthogonalConv2d(8, 8, 3), MaxMin()) for _ in range(3)]
    return nn.Sequential(
        *blocks,
        OrthogonalConv2d(8, 16, 4, 2, groups=2),
        *[OrthogonalConv2d(16, 16, 3, groups=2) for _ in range(2)],
        OrthogonalConv2d(16, 16, 1, parametrization="polar"),
        nn.Flatten(),
        OrthogonalLinear(256, 10),
        OrthogonalLinear(10, 10),
    )


def gradients(model: nn.Module, images: Tensor, *, batched: bool) -> list[Tensor]:
    model.zero_grad()
    if batched:
        with batched_weights(model):
            loss = model(images).square().sum()
    else:
        loss = model(images).square().sum()
    loss.backward()
    found = [parameter.grad for parameter in model.parameters()]
    return [gradient.clone() for gradient in found if gradient is not None]


def test_batched_weights_are_the_layers_own() -> None:
    torch.manual_seed(shifted(0))
    model = network().double()
    images = torch.rand(2, 8, 8, 8, dtype=torch.float64)
    alone = gradients(model, images, batched=False)
    together = gradients(model, images, batched=True)
    again = gradients(model, images, batched=True)
    for first, second, third in zip(alone, together, again, strict=True):
        assert torch.allclose(first, second)
        assert torch.allclose(first, third)
    assert all(getattr(part, "_lent", None) is None for part in model.modules())


def test_batched_weights_make_one_call_for_each_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    from latentsmooth.orthogonal import batched, cached

    calls: list[torch.Size] = []

    def counted(parameter: Tensor, **settings: Any) -> Tensor:
        calls.append(parameter.shape)
        return orthogonal_columns(parameter, **settings)

    monkeypatch.setattr(batched, "orthogonal_columns", counted)
    monkeypatch.setattr(cached, "orthogonal_columns", counted)
    deep = nn.Sequential(*[OrthogonalConv2d(8, 8, 3) for _ in range(10)])
    with batched_weights(deep):
        deep(torch.rand(1, 8, 4, 4))
    assert sorted(calls) == [(10, 8, 8), (40, 8, 4)]


def test_batched_weights_stand_aside_where_nothing_is_trained() -> None:
    layer = OrthogonalConv2d(2, 2, 3)
    for context in (torch.no_grad(), torch.inference_mode()):
        with context, batched_weights(layer):
            assert layer._lent is None
    with batched_weights(layer.eval()):
        assert layer._lent is None
    with pytest.raises(ShapeError), batched_weights(layer.train()):
        layer(torch.zeros(1, 3, 4, 4))
    assert layer._lent is None


@pytest.mark.parametrize(
    ("chain", "length"),
    [
        ([OrthogonalLinear(6, 6), OrthogonalLinear(6, 4), nn.Identity()], 1),
        ([OrthogonalLinear(6, 2), OrthogonalLinear(2, 6)], 2),
        ([OrthogonalConv2d(6, 6, 3), OrthogonalConv2d(6, 6, 1)], 1),
        ([OrthogonalConv2d(6, 6, 1), OrthogonalConv2d(6, 8, 4, 2)], 1),
        ([OrthogonalConv2d(6, 6, 1), OrthogonalConv2d(6, 6, 3, padding_mode="zeros")], 2),
        (
            [
                OrthogonalConv2d(6, 6, 1, bias=False),
                OrthogonalConv2d(6, 6, 3, padding_mode="zeros"),
            ],
            1,
        ),
        ([OrthogonalConv2d(6, 6, 3), OrthogonalConv2d(6, 6, 3)], 2),
        ([OrthogonalConv2d(6, 6, 3, groups=2), OrthogonalConv2d(6, 6, 1)], 2),
        ([Center([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), OrthogonalConv2d(6, 6, 3, groups=3)], 1),
        ([Center(0.5), OrthogonalConv2d(6, 6, 3, padding_mode="zeros")], 2),
        ([ChannelNormalize(0.5, [0.2, 0.3, 0.4, 0.5, 0.6, 0.7]), OrthogonalConv2d(6, 6, 3)], 1),
        ([ChannelNormalize(0.5, [0.2] * 6), OrthogonalConv2d(6, 9, 3, groups=3)], 1),
        ([InvertibleDownsample(2), OrthogonalConv2d(24, 8, 3)], 1),
        ([nn.PixelUnshuffle(2), OrthogonalConv2d(24, 8, 3, padding_mode="zeros")], 1),
        ([InvertibleDownsample(2), OrthogonalConv2d(24, 24, 2, 2)], 2),
        ([OrthogonalConv2d(6, 6, 3), MaxMin(), OrthogonalConv2d(6, 6, 1)], 3),
    ],
)
def test_fused_chains_compute_the_same(chain: list[nn.Module], length: int) -> None:
    torch.manual_seed(shifted(0))
    model = nn.Sequential(nn.Sequential(*chain)).double()
    for part in model.modules():
        if isinstance(getattr(part, "bias", None), nn.Parameter):
            nn.init.normal_(part.bias)  # type: ignore[arg-type]
    inputs = torch.rand(2, 6, 8, 8, dtype=torch.float64)
    if isinstance(chain[0], OrthogonalLinear):
        inputs = inputs.flatten(1)[:, :6]
    fused = fuse(model)
    with torch.no_grad():
        assert torch.allclose(fused(inputs), model.eval()(inputs), atol=1e-12)
    inner = next(fused.children())
    assert len(list(inner.children())) == length


def test_freezing_keeps_shared_layers_shared_and_the_original_as_it_was() -> None:
    layer = OrthogonalConv2d(4, 4, 3)
    model = nn.Sequential(layer, MaxMin(), layer).train()
    frozen = freeze(model)
    assert frozen[0] is frozen[2]  # type: ignore[index]
    assert model[0] is layer
    assert model.training
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert {type(part) for part in frozen.modules()} == {nn.Sequential, nn.Conv2d, MaxMin}


def test_freezing_is_bit_equal() -> None:
    torch.manual_seed(shifted(0))
    images = torch.rand(2, 6, 16, 16)
    layers: list[nn.Module] = [
        OrthogonalConv2d(6, 8, size, stride, padding_mode=mode, groups=groups)
        for size, stride in [(1, 1), (3, 1), (4, 1), (4, 2), (6, 2), (2, 2)]
        for mode in ("circular", "zeros", "full")
        for groups in (1, 2)
    ]
    layers += [
        OrthogonalConvTranspose2d(6, 8, size, stride, padding_mode=mode)
        for size, stride in [(3, 1), (4, 1), (4, 2), (3, 3)]
        for mode in ("circular", "zeros", "full")
    ]
    for layer in layers:
        nn.init.normal_(layer.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            assert torch.equal(freeze(layer)(images), layer.eval()(images)), layer


def test_other_paddings_are_left_alone() -> None:
    images = torch.rand(1, 3, 8, 8)
    for mode in ("reflect", "replicate"):
        chain = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, 4, 3, padding=1, padding_mode=mode),
        )
        with torch.no_grad():
            assert torch.equal(fuse(chain)(images), chain(images))


def test_a_kept_weight_is_not_to_be_changed_from_outside() -> None:
    layer = OrthogonalLinear(4, 4).eval()
    with torch.no_grad():
        before = layer.weight.clone()
        layer.weight.data.mul_(2)
        assert torch.equal(layer.weight, before)
        layer.parametrization = "polar"
        assert not torch.allclose(layer.weight, before)


def test_lent_weights_serve_the_parameters_they_were_made_of() -> None:
    layer, other = OrthogonalConv2d(3, 3, 3), OrthogonalConv2d(3, 3, 3)
    images = torch.rand(1, 3, 4, 4)
    with batched_weights(layer):
        state = {**dict(other.named_parameters()), **dict(other.named_buffers())}
        swapped = torch.func.functional_call(layer, state, images)
        assert_near(swapped, other(images))
        lent = layer.weight
        assert layer.weight is lent
        assert layer.eval().weight is not lent
        layer.train()
        with torch.no_grad():
            layer.mixing.add_(torch.randn_like(layer.mixing))
        assert not torch.allclose(layer.weight, lent)


def test_margins_that_change_the_size_have_gradients_too() -> None:
    torch.manual_seed(shifted(0))
    images = torch.rand(1, 4, 5, 6, dtype=torch.float64, requires_grad=True)
    kernel = torch.rand(3, 4, 3, 3, dtype=torch.float64, requires_grad=True)

    def run(pixels: Tensor, weight: Tensor) -> Tensor:
        return circular_convolution(
            pixels,
            weight,
            None,
            stride=(1, 1),
            dilation=(1, 1),
            groups=1,
            margins=((0, 1), (2, 2)),
        )

    assert run(images, kernel).shape == (1, 3, 4, 8)
    assert torch.autograd.gradcheck(run, (images, kernel))
