"""Exactly orthogonal maps: matrices, paraunitary kernels, layers, activations and reshaping.

Every layer here is 1-Lipschitz in l2 up to float32 rounding, whatever its parameters hold;
`latentsmooth.lipschitz` verifies by how much.
"""

from latentsmooth.orthogonal.activations import (
    Absolute,
    FullSort,
    GroupSort,
    HouseholderActivation,
    MaxMin,
)
from latentsmooth.orthogonal.batched import batched_weights
from latentsmooth.orthogonal.circular import circular_convolution
from latentsmooth.orthogonal.convolution import (
    OrthogonalConv1d,
    OrthogonalConv2d,
    OrthogonalConv3d,
)
from latentsmooth.orthogonal.elementwise import Center, ChannelNormalize
from latentsmooth.orthogonal.freezing import freeze
from latentsmooth.orthogonal.fusing import fuse
from latentsmooth.orthogonal.geometry import PaddingMode
from latentsmooth.orthogonal.initialisation import Initialisation, draw_orthonormal
from latentsmooth.orthogonal.kernel import (
    narrow_paraunitary_kernel,
    paraunitary_kernel_1d,
    separable_kernel,
    strided_from_polyphase,
)
from latentsmooth.orthogonal.linear import OrthogonalLinear
from latentsmooth.orthogonal.matrix import (
    Parametrization,
    orthogonal_columns,
    recover_parameter,
)
from latentsmooth.orthogonal.padding import circular_fold, circular_pad
from latentsmooth.orthogonal.pooling import L2NormPool2d, ScaledAvgPool2d
from latentsmooth.orthogonal.reshaping import (
    ChannelShuffle,
    HaarLowPass,
    HaarWavelet,
    InvertibleDownsample,
    InvertibleUpsample,
    ZeroPadToMultiple,
)
from latentsmooth.orthogonal.residual import ConcatenativeResidual, ConvexResidual, Parallel
from latentsmooth.orthogonal.scaling import ChannelScale
from latentsmooth.orthogonal.transposed import (
    OrthogonalConvTranspose1d,
    OrthogonalConvTranspose2d,
    OrthogonalConvTranspose3d,
)

__all__ = [
    "Absolute",
    "Center",
    "ChannelNormalize",
    "ChannelScale",
    "ChannelShuffle",
    "ConcatenativeResidual",
    "ConvexResidual",
    "FullSort",
    "GroupSort",
    "HaarLowPass",
    "HaarWavelet",
    "HouseholderActivation",
    "Initialisation",
    "InvertibleDownsample",
    "InvertibleUpsample",
    "L2NormPool2d",
    "MaxMin",
    "OrthogonalConv1d",
    "OrthogonalConv2d",
    "OrthogonalConv3d",
    "OrthogonalConvTranspose1d",
    "OrthogonalConvTranspose2d",
    "OrthogonalConvTranspose3d",
    "OrthogonalLinear",
    "PaddingMode",
    "Parallel",
    "Parametrization",
    "ScaledAvgPool2d",
    "ZeroPadToMultiple",
    "batched_weights",
    "circular_convolution",
    "circular_fold",
    "circular_pad",
    "draw_orthonormal",
    "freeze",
    "fuse",
    "narrow_paraunitary_kernel",
    "orthogonal_columns",
    "paraunitary_kernel_1d",
    "recover_parameter",
    "separable_kernel",
    "strided_from_polyphase",
]
