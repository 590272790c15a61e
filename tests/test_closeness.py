"""The tolerance of the tests: it passes rounding and nothing that is more."""

from __future__ import annotations

import pytest
import torch

from tests.closeness import assert_near, rounding


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_another_order_of_summation_is_near_and_a_forgotten_term_is_not(
    dtype: torch.dtype, scale: float
) -> None:
    terms = (scale * torch.randn(100, 64)).to(dtype)
    forward, backward = torch.zeros(100, dtype=dtype), torch.zeros(100, dtype=dtype)
    for number in range(64):
        forward += terms[:, number]
        backward += terms[:, 63 - number]
    assert_near(forward, backward, scale=float(forward.abs().max()))
    if dtype != torch.bfloat16:  # whose 64 roundings are half of the number
        with pytest.raises(AssertionError, match="64 roundings"):
            assert_near(forward - terms[:, 5], backward)


def test_the_coarser_dtype_counts_and_zeros_are_compared_by_the_largest() -> None:
    exact = torch.tensor([1.0, 0.0], dtype=torch.float64)
    assert_near(exact.float() + 1e-6, exact)
    assert_near(1.0 + 1e-14, 1.0)
    with pytest.raises(AssertionError):
        assert_near(exact + 1e-6, exact)
    with pytest.raises(AssertionError, match="about this: 1 roundings"):
        assert_near(torch.tensor(1.001), 1.0, steps=1, about="about this")
    assert_near(torch.tensor(1.001), 1.0, dtype=torch.bfloat16)
    assert rounding(torch.float32, steps=2, scale=3) == 6 * 2.0**-23
