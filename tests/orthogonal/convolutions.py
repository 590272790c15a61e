"""Rows for the convolutions beside the plain 2-D one, in the manner of `layers`."""

from __future__ import annotations

from latentsmooth.orthogonal import (
    OrthogonalConv1d,
    OrthogonalConv2d,
    OrthogonalConv3d,
    OrthogonalConvTranspose1d,
    OrthogonalConvTranspose2d,
    OrthogonalConvTranspose3d,
    OrthogonalLinear,
)
from tests.orthogonal.layers import Row

CONVOLUTIONS = [
    Row("conv-full", lambda: OrthogonalConv2d(3, 5, 3, padding_mode="full"), (3, 4, 5)),
    Row(
        "conv-stride-dilated",
        lambda: OrthogonalConv2d(2, 8, 4, 2, dilation=3),
        (2, 6, 4),
    ),
    Row(
        "conv-householder",
        lambda: OrthogonalConv2d(3, 8, 3, parametrization="householder"),
        (3, 6, 6),
    ),
    Row("conv-polar", lambda: OrthogonalConv2d(3, 8, 3, parametrization="polar"), (3, 6, 6)),
    Row("conv-identity", lambda: OrthogonalConv2d(4, 4, 3, init="identity"), (4, 5, 5)),
    Row("conv-permutation", lambda: OrthogonalConv2d(4, 6, 3, init="permutation"), (4, 5, 5)),
    Row("conv-torus", lambda: OrthogonalConv2d(5, 5, 3, init="torus"), (5, 5, 4)),
    Row("conv-1d", lambda: OrthogonalConv1d(3, 4, 3), (3, 7)),
    Row("conv-1d-stride", lambda: OrthogonalConv1d(4, 6, 4, 2), (4, 8), "co-isometry"),
    Row("conv-3d", lambda: OrthogonalConv3d(2, 3, 3), (2, 3, 4, 3)),
    Row("transposed", lambda: OrthogonalConvTranspose2d(8, 3, 4, 2), (8, 3, 2)),
    Row("transposed-flat", lambda: OrthogonalConvTranspose2d(3, 5, 3), (3, 4, 5)),
    Row(
        "transposed-narrowing",
        lambda: OrthogonalConvTranspose2d(9, 2, 4, 2, groups=1),
        (9, 3, 2),
        "co-isometry",
    ),
    Row(
        "transposed-zeros",
        lambda: OrthogonalConvTranspose2d(8, 3, 4, 2, padding_mode="zeros"),
        (8, 3, 2),
        "contraction",
    ),
    Row(
        "transposed-full",
        lambda: OrthogonalConvTranspose2d(8, 3, 4, 2, padding_mode="full"),
        (8, 3, 2),
    ),
    Row("transposed-1d", lambda: OrthogonalConvTranspose1d(4, 3, 4, 2, groups=1), (4, 5)),
    Row("transposed-3d", lambda: OrthogonalConvTranspose3d(8, 2, 2, 2, groups=2), (8, 2, 2, 1)),
    Row("linear-householder", lambda: OrthogonalLinear(5, 9, parametrization="householder"), (5,)),
    Row("linear-polar", lambda: OrthogonalLinear(6, 6, parametrization="polar"), (6,)),
]
