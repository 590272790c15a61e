"""What the table cannot say of the convolution."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.orthogonal import (
    OrthogonalConv2d,
    OrthogonalConvTranspose2d,
    OrthogonalLinear,
    paraunitary_kernel_1d,
    strided_from_polyphase,
)
from tests.closeness import assert_near


@settings(max_examples=40, deadline=None)
@given(
    in_channels=st.integers(1, 6),
    out_channels=st.integers(1, 6),
    taps=st.integers(1, 3),
    stride=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_never_lengthens_and_keeps_what_it_can(
    in_channels: int, out_channels: int, taps: int, stride: int, seed: int
) -> None:
    torch.manual_seed(seed)
    layer = OrthogonalConv2d(in_channels, out_channels, taps * stride, stride, bias=False).double()
    images = torch.randn(2, in_channels, 3 * stride, 4 * stride, dtype=torch.float64)
    with torch.no_grad():
        result = layer(images)
    assert result.shape == (2, out_channels, 3, 4)
    assert float(result.norm()) <= float(images.norm()) * (1 + 1e-12)
    if out_channels >= in_channels * stride**2:
        assert torch.allclose(result.norm(), images.norm(), rtol=1e-12)


def test_stride_equals_unshuffle_and_stride_one() -> None:
    kernel = torch.randn(5, 3 * 2 * 2, 3, 3, dtype=torch.float64)
    images = torch.randn(2, 3, 12, 12, dtype=torch.float64)
    strided = F.conv2d(images, strided_from_polyphase(kernel, (2, 2)), stride=2)
    unshuffled = F.conv2d(F.pixel_unshuffle(images, 2), kernel)
    assert torch.allclose(strided, unshuffled)


def test_takes_the_arguments_of_a_convolution_in_their_order() -> None:
    layer = OrthogonalConv2d(4, 8, 3, 1, 1, 1, 2, False, "zeros")
    plain = torch.nn.Conv2d(4, 8, 3, 1, 1, 1, 2, False, "zeros")
    with torch.no_grad():
        plain.weight.copy_(layer.weight)
        images = torch.rand(2, 4, 6, 6)
        assert torch.equal(layer(images), plain(images))


def test_taps_are_centred() -> None:
    bases = torch.zeros(4, 4, 2)
    taps = paraunitary_kernel_1d(bases)
    assert torch.equal(taps[2], torch.eye(4))
    assert float(taps[[0, 1, 3, 4]].abs().max()) == 0


def test_works_at_another_resolution_and_non_square() -> None:
    layer = OrthogonalConv2d(3, 6, 4, 2).eval()
    with torch.no_grad():
        for height, width in [(8, 8), (4, 10), (16, 2)]:
            assert layer(torch.rand(1, 3, height, width)).shape[2:] == (height // 2, width // 2)


def test_deepcopy_after_training_steps_is_independent() -> None:
    layer = OrthogonalConv2d(2, 2, 3)
    layer(torch.rand(1, 2, 4, 4)).sum().backward()
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        twin.mixing.add_(torch.randn_like(twin.mixing))
        images = torch.rand(1, 2, 4, 4)
        assert not torch.equal(layer.eval()(images), twin.eval()(images))


def test_half_precision_parameters_still_give_a_kernel_built_wide() -> None:
    layer = OrthogonalConv2d(3, 8, 3).half().eval()
    with torch.no_grad():
        kernel = layer.weight
    assert kernel.dtype == torch.float16
    gram = torch.einsum("oiab,ojab->ij", kernel.double(), kernel.double())
    # A column of unit length, each of its entries rounded once to half precision.
    assert_near(gram, torch.eye(3), steps=2, dtype=torch.float16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, 8, 5, 2), "use 4 or 6"),
        ((3, 8, 1, 2), "use 2"),
        ((3, 8, 0), "kernel, stride and dilation >= 1"),
        ((3, 8, 3, 1, 2), "padding 2 does not keep the size of .* use 1 or 'same'"),
        ((3, 8, 4, 1, 1), "use 'same'"),
        ((3, 8, 4, 2, "same", 2), "dilation 2 shares a factor with stride 2, .*: use 1 or 3"),
        ((3, 8, 6, 3, "same", 9), "use 8 or 10"),
        ((3, 8, (3, 3, 3)), r"kernel_size as one number or 2, got \(3, 3, 3\)"),
        ((3, 8, 3, 1, "same", 1, 2), "groups=2 does not divide the channels, 3 -> 8"),
        ((0, 8, 3), "at least one channel, got 0 -> 8"),
    ],
)
def test_impossible_sizes_name_the_legal_ones(
    arguments: tuple[int | str, ...], message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        OrthogonalConv2d(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_padding_that_repeats_pixels_is_refused(mode: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{mode}' is not 1-Lipschitz"):
        OrthogonalConv2d(3, 8, 3, padding_mode=mode)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="wanted padding 'same' or a number"):
        OrthogonalConv2d(3, 8, 3, padding="valid")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 4, 8, 8), r"\(batch, 3, height, width\), got \(1, 4, 8, 8\)"),
        ((3, 8, 8), r"got \(3, 8, 8\)"),
        ((1, 3, 7, 8), "image side 7 is not a multiple of stride 2"),
    ],
)
def test_wrong_images_are_named(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        OrthogonalConv2d(3, 8, 6, 2)(torch.zeros(shape))


def test_padding_wraps_as_often_as_it_must() -> None:
    layer = OrthogonalConv2d(3, 8, 9, bias=False).double()
    images = torch.rand(1, 3, 2, 3, dtype=torch.float64)
    assert torch.allclose(layer(images).norm(), images.norm())


def test_only_isometries_have_an_inverse() -> None:
    for layer in (OrthogonalConv2d(3, 8, 3, padding_mode="zeros"), OrthogonalConv2d(8, 3, 3)):
        with pytest.raises(ConfigurationError, match="only an isometry has an inverse, got"):
            layer.inverse(torch.zeros(1, layer.out_channels, 4, 4))
    with pytest.raises(ConfigurationError, match="got 4 -> 3 features"):
        OrthogonalLinear(4, 3).inverse(torch.zeros(1, 3))
    linear = OrthogonalLinear(3, 4)
    inputs = torch.rand(2, 3)
    assert_near(linear.inverse(linear(inputs)), inputs)


def test_transposed_is_the_adjoint() -> None:
    down = OrthogonalConv2d(3, 8, 4, 2, bias=False).double()
    up = OrthogonalConvTranspose2d(8, 3, 4, 2, bias=False).double()
    up.load_state_dict(down.state_dict())
    first = torch.rand(2, 3, 6, 8, dtype=torch.float64)
    second = torch.rand(2, 8, 3, 4, dtype=torch.float64)
    assert torch.allclose((down(first) * second).sum(), (first * up(second)).sum())
    with pytest.raises(ConfigurationError, match="wanted output_padding 0"):
        OrthogonalConvTranspose2d(8, 3, 4, 2, output_padding=1)
    with pytest.raises(ShapeError, match=r"\(batch, 8, height, width\), got \(2, 3, 6, 8\)"):
        up(first)


def test_meta_device_builds_nothing() -> None:
    with torch.device("meta"):
        layers = [OrthogonalConv2d(3, 8, 3), OrthogonalLinear(3, 8)]
    assert all(parameter.is_meta for layer in layers for parameter in layer.parameters())


def test_prints_like_a_convolution() -> None:
    assert "3, 8, kernel_size=(3, 3), stride=(1, 1)" in repr(OrthogonalConv2d(3, 8, 3))
