"""One table of layers; every property below is tested for each row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from latentsmooth.orthogonal import (
    Absolute,
    Center,
    ChannelScale,
    ChannelShuffle,
    ConcatenativeResidual,
    ConvexResidual,
    FullSort,
    GroupSort,
    HaarLowPass,
    HaarWavelet,
    HouseholderActivation,
    InvertibleDownsample,
    InvertibleUpsample,
    L2NormPool2d,
    MaxMin,
    OrthogonalConv2d,
    OrthogonalLinear,
    ScaledAvgPool2d,
    ZeroPadToMultiple,
)


@dataclass(frozen=True)
class Row:
    name: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    kind: str = "isometry"  # or "co-isometry", "contraction"


LAYERS = [
    Row("conv3", lambda: OrthogonalConv2d(3, 8, 3), (3, 6, 6)),
    Row("conv3-square", lambda: OrthogonalConv2d(4, 4, 3, bias=False), (4, 5, 7)),
    Row("conv-even", lambda: OrthogonalConv2d(3, 5, 4), (3, 6, 6)),
    Row("conv-rectangular", lambda: OrthogonalConv2d(2, 3, (1, 5)), (2, 5, 6)),
    Row("conv1", lambda: OrthogonalConv2d(3, 3, 1), (3, 4, 4)),
    Row("conv-narrowing", lambda: OrthogonalConv2d(6, 4, 3), (6, 5, 5), "co-isometry"),
    Row("conv-odd-narrowing", lambda: OrthogonalConv2d(5, 3, 3), (5, 5, 5), "co-isometry"),
    Row("conv-stride", lambda: OrthogonalConv2d(3, 16, 6, 2), (3, 8, 8)),
    Row("conv-stride-narrow", lambda: OrthogonalConv2d(4, 6, 4, 2), (4, 8, 4), "co-isometry"),
    Row("conv-stride-pair", lambda: OrthogonalConv2d(2, 4, (4, 3), (2, 1)), (2, 6, 5)),
    Row("conv-stride-equal", lambda: OrthogonalConv2d(2, 8, 2, 2), (2, 6, 6)),
    Row("conv-dilated", lambda: OrthogonalConv2d(2, 3, 3, dilation=2), (2, 6, 5)),
    Row("conv-groups", lambda: OrthogonalConv2d(4, 6, 3, groups=2), (4, 5, 5)),
    Row("conv-many-groups", lambda: OrthogonalConv2d(6, 6, 3, groups=3), (6, 3, 4)),
    Row("conv-wrapping", lambda: OrthogonalConv2d(2, 8, 6, 2), (2, 2, 2)),
    Row(
        "conv-groups-stride",
        lambda: OrthogonalConv2d(4, 4, 4, 2, groups=2),
        (4, 6, 6),
        "co-isometry",
    ),
    Row(
        "conv-zeros-dilated",
        lambda: OrthogonalConv2d(2, 3, 3, padding=2, dilation=2, padding_mode="zeros"),
        (2, 6, 5),
        "contraction",
    ),
    Row(
        "conv-exp",
        lambda: OrthogonalConv2d(3, 8, 3, parametrization="matrix_exp"),
        (3, 6, 6),
    ),
    Row(
        "conv-zeros",
        lambda: OrthogonalConv2d(3, 8, 3, padding_mode="zeros"),
        (3, 6, 6),
        "contraction",
    ),
    Row(
        "conv-zeros-even",
        lambda: OrthogonalConv2d(4, 4, 4, padding_mode="zeros"),
        (4, 6, 6),
        "contraction",
    ),
    Row(
        "conv-zeros-stride",
        lambda: OrthogonalConv2d(2, 8, 6, 2, padding_mode="zeros"),
        (2, 6, 6),
        "contraction",
    ),
    Row("linear-growing", lambda: OrthogonalLinear(5, 9), (5,)),
    Row("linear-square", lambda: OrthogonalLinear(7, 7, bias=False), (7,)),
    Row("linear-narrowing", lambda: OrthogonalLinear(9, 4), (9,), "co-isometry"),
    Row(
        "linear-exp",
        lambda: OrthogonalLinear(9, 4, parametrization="matrix_exp"),
        (9,),
        "co-isometry",
    ),
    Row("maxmin", MaxMin, (6, 4, 4)),
    Row("maxmin-odd", MaxMin, (5, 3, 3)),
    Row("groupsort-two", lambda: GroupSort(2), (5, 3, 3)),
    Row("groupsort-three", lambda: GroupSort(3), (6, 3, 2)),
    Row("groupsort-five", lambda: GroupSort(5), (10,)),
    Row("groupsort-long", lambda: GroupSort(17), (34, 2)),
    Row("fullsort", FullSort, (7, 2, 3)),
    Row("absolute", Absolute, (3, 4, 4)),
    Row("downsample", InvertibleDownsample, (3, 4, 6)),
    Row("upsample", lambda: InvertibleUpsample(3), (9, 2, 3)),
    Row("haar", lambda: HaarLowPass(1), (3, 4, 6), "co-isometry"),
    Row("haar-twice", lambda: HaarLowPass(2), (1, 8, 4), "co-isometry"),
    Row("wavelet", HaarWavelet, (3, 4, 6)),
    Row("wavelet-twice", lambda: HaarWavelet(2), (2, 8, 4)),
    Row("average", lambda: ScaledAvgPool2d(3), (2, 6, 3), "co-isometry"),
    Row("norms", lambda: L2NormPool2d((2, 3)), (2, 4, 6), "co-isometry"),
    Row("shuffle", lambda: ChannelShuffle(3), (6, 2, 3)),
    Row("pad", lambda: ZeroPadToMultiple(4), (2, 5, 6)),
    Row("center", lambda: Center([0.4, 0.5, 0.6]), (3, 4, 4)),
]


def _drawn(layer: nn.Module) -> nn.Module:
    """A layer whose parameters are random rather than where training starts."""
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer


POINTWISE = [
    Row("householder", lambda: _drawn(HouseholderActivation(6)), (6, 3, 4)),
    Row("householder-odd", lambda: _drawn(HouseholderActivation(5)), (5, 3)),
    Row("scale", lambda: _drawn(ChannelScale(5)), (5, 3, 2), "contraction"),
]

RESIDUALS = [
    Row(
        "convex",
        lambda: ConvexResidual(nn.Sequential(OrthogonalConv2d(4, 4, 3), MaxMin())),
        (4, 4, 3),
        "contraction",
    ),
    Row(
        "convex-fixed",
        lambda: ConvexResidual(Absolute(), alpha=0.25, learnable=False),
        (3, 2),
        "contraction",
    ),
    Row("swap", lambda: ConcatenativeResidual(OrthogonalConv2d(2, 2, 3)), (4, 3, 4)),
    Row("swap-some", lambda: ConcatenativeResidual(FullSort(), 3), (5, 2, 2)),
]
