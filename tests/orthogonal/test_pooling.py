"""Poolings against naive implementations, at extreme sizes of number, and their errors."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from latentsmooth.errors import ShapeError
from latentsmooth.orthogonal import HaarLowPass, L2NormPool2d, ScaledAvgPool2d
from tests.closeness import assert_near
from tests.oracles import dense_jacobian


def test_average_of_a_power_of_two_is_the_low_pass() -> None:
    images = torch.randn(2, 3, 8, 4)
    assert torch.equal(ScaledAvgPool2d(4)(images), HaarLowPass(2)(images))


def test_average_is_the_mean_times_the_factor() -> None:
    images = torch.randn(2, 3, 6, 9, dtype=torch.float64)
    windows = images.unfold(2, 3, 3).unfold(3, 3, 3)
    assert torch.allclose(ScaledAvgPool2d(3)(images), windows.mean(dim=(4, 5)) * 3)


@pytest.mark.parametrize("size", [1, 2, (1, 3), (4, 2)])
def test_norm_of_every_window(size: int | tuple[int, int]) -> None:
    images = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    layer = L2NormPool2d(size)
    height, width = layer.kernel_size
    windows = images.unfold(2, height, height).unfold(3, width, width)
    expected = torch.linalg.vector_norm(windows, dim=(4, 5))
    assert torch.allclose(layer(images), expected, rtol=1e-14)


@pytest.mark.parametrize("scale", [1e-36, 1e-25, 1e25, 1e37])
def test_squares_neither_overflow_nor_vanish(scale: float) -> None:
    windows = scale * torch.tensor([[[[3.0, 0.0], [0.0, 4.0]]]], requires_grad=True)
    windows.retain_grad()
    norm = L2NormPool2d(2)(windows)
    norm.backward()
    assert_near(norm.detach(), 5 * scale, steps=16, dtype=torch.float32)
    assert windows.grad is not None
    assert_near(windows.grad.flatten(), torch.tensor([0.6, 0.0, 0.0, 0.8]), steps=16)


def test_half_precision_squares_are_taken_wide() -> None:
    images = 300 * torch.randn(1, 1, 4, 4)
    result = L2NormPool2d(2)(images.half())
    # The images and the result are rounded to half precision, and nothing in between.
    assert_near(result, L2NormPool2d(2)(images), steps=2)


def test_a_window_of_zeros_passes_no_gradient() -> None:
    images = torch.zeros(2, 1, 2, 4, dtype=torch.float64)
    images[1, 0, 0, 3] = -2.0
    images.requires_grad_()
    result = L2NormPool2d(2)(images)
    assert result.flatten().tolist() == [0.0, 0.0, 0.0, 2.0]
    result.sum().backward()
    expected = torch.zeros_like(images)
    expected[1, 0, 0, 3] = -1.0
    assert images.grad is not None
    assert torch.equal(images.grad, expected)


def test_gradients_have_norm_one_far_below_the_largest_pixel() -> None:
    images = torch.randn(1, 1, 2, 8, dtype=torch.float64)
    images *= torch.tensor([1.0, 1e-5, 1e-10, 1e-200], dtype=torch.float64).repeat_interleave(2)
    jacobian = dense_jacobian(L2NormPool2d(2), images)
    assert jacobian.norm(dim=1).tolist() == pytest.approx([1.0] * 3 + [0.0])


def test_a_sample_does_not_depend_on_its_batch() -> None:
    images = torch.rand(4, 2, 4, 4) * torch.tensor([1.0, 1e3, 1e-3, 7.0]).reshape(4, 1, 1, 1)
    together = L2NormPool2d(2)(images)
    assert torch.equal(torch.cat([L2NormPool2d(2)(image[None]) for image in images]), together)


def test_second_derivatives_are_those_of_the_norm() -> None:
    images = torch.randn(1, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(L2NormPool2d(2), images)


def test_agrees_with_the_pooling_of_torch() -> None:
    images = torch.randn(2, 3, 4, 6)
    assert_near(L2NormPool2d(2)(images), F.lp_pool2d(images, 2, 2))


def test_sizes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ShapeError, match="factor of at least 1, got 0"):
        ScaledAvgPool2d(0)
    with pytest.raises(ShapeError, match=r"at least 1 pixel a side, got \(2, 0\)"):
        L2NormPool2d((2, 0))
    with pytest.raises(ShapeError, match=r"multiples of 3, got \(1, 1, 3, 4\)"):
        ScaledAvgPool2d(3)(torch.zeros(1, 1, 3, 4))
    with pytest.raises(ShapeError, match=r"multiples of 2 and 3, got \(1, 1, 3, 3\)"):
        L2NormPool2d((2, 3))(torch.zeros(1, 1, 3, 3))


def test_prints_its_settings() -> None:
    assert repr(ScaledAvgPool2d(2)) == "ScaledAvgPool2d(factor=2)"
    assert repr(L2NormPool2d(3)) == "L2NormPool2d(kernel_size=(3, 3))"
