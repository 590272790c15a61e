"""Exactly orthogonal maps: matrices, paraunitary kernels, layers, activations and reshaping.

Every layer here is 1-Lipschitz in l2 up to float32 rounding, whatever its parameters hold;
`latentsmooth.lipschitz` verifies by how much.
"""

from latentsmooth.orthogonal.activations import MaxMin
from latentsmooth.orthogonal.convolution import OrthogonalConv2d
from latentsmooth.orthogonal.elementwise import Center, ChannelNormalize
from latentsmooth.orthogonal.kernel import (
    paraunitary_kernel_1d,
    separable_kernel_2d,
    strided_from_polyphase,
)
from latentsmooth.orthogonal.linear import OrthogonalLinear
from latentsmooth.orthogonal.matrix import Parametrization, orthogonal_columns
from latentsmooth.orthogonal.reshaping import HaarLowPass, InvertibleDownsample, ZeroPadToMultiple

__all__ = [
    "Center",
    "ChannelNormalize",
    "HaarLowPass",
    "InvertibleDownsample",
    "MaxMin",
    "OrthogonalConv2d",
    "OrthogonalLinear",
    "Parametrization",
    "ZeroPadToMultiple",
    "orthogonal_columns",
    "paraunitary_kernel_1d",
    "separable_kernel_2d",
    "strided_from_polyphase",
]
