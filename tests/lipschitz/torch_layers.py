"""One of every layer of torch.nn that has a rule."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from latentsmooth.orthogonal import OrthogonalConvTranspose2d, Parallel

IMAGE = (4, 6, 6)
Make = Callable[[], nn.Module]

TORCH: list[tuple[Make, tuple[int, ...]]] = [
    (lambda: nn.Linear(6, 5), (6,)),
    (lambda: nn.Linear(6, 5, bias=False), (3, 6)),
    (lambda: nn.Conv1d(4, 6, 3, padding=1), (4, 7)),
    (lambda: nn.Conv2d(4, 6, 3, padding=1, groups=2), IMAGE),
    (lambda: nn.Conv2d(4, 6, 3, stride=2, dilation=2, padding=2, bias=False), IMAGE),
    (lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), IMAGE),
    (lambda: nn.Conv3d(2, 3, 2), (2, 3, 4, 3)),
    (lambda: nn.ConvTranspose1d(4, 6, 3, stride=2), (4, 5)),
    (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2), IMAGE),
    (lambda: nn.ConvTranspose3d(2, 3, 2, bias=False), (2, 2, 3, 2)),
    (lambda: OrthogonalConvTranspose2d(4, 2, 4, stride=2), (4, 3, 3)),
    (lambda: _settled(nn.BatchNorm1d(4)), (4, 5)),
    (lambda: _settled(nn.BatchNorm2d(4)), IMAGE),
    (lambda: _settled(nn.BatchNorm3d(4)), (4, 2, 3, 2)),
    (lambda: _settled(nn.InstanceNorm1d(4, track_running_stats=True)), (4, 5)),
    (lambda: _settled(nn.InstanceNorm2d(4, affine=True, track_running_stats=True)), IMAGE),
    (lambda: _settled(nn.InstanceNorm3d(4, track_running_stats=True)), (4, 2, 3, 2)),
    (lambda: nn.AvgPool1d(3), (4, 6)),
    (lambda: nn.AvgPool2d((3, 2), padding=1), IMAGE),
    (lambda: nn.AvgPool3d(2), (2, 4, 4, 2)),
    (lambda: nn.AdaptiveAvgPool2d(1), IMAGE),
    (lambda: nn.AdaptiveMaxPool2d(1), IMAGE),
    (lambda: nn.MaxPool1d(2), (4, 6)),
    (lambda: nn.MaxPool2d(2), IMAGE),
    (lambda: nn.MaxPool3d(2), (2, 4, 4, 2)),
    (lambda: nn.ConstantPad1d(1, 0.1), (4, 5)),
    (lambda: nn.ConstantPad2d(1, 0.1), IMAGE),
    (lambda: nn.ConstantPad3d(1, 0.5), (2, 2, 2, 2)),
    (lambda: nn.ZeroPad1d(1), (4, 5)),
    (lambda: nn.ZeroPad2d(1), IMAGE),
    (lambda: nn.ZeroPad3d(1), (2, 2, 2, 2)),
    (lambda: nn.CircularPad1d(1), (4, 5)),
    (lambda: nn.CircularPad2d(1), IMAGE),
    (lambda: nn.CircularPad3d(1), (2, 2, 2, 2)),
    (lambda: nn.ReflectionPad1d(1), (4, 5)),
    (lambda: nn.ReflectionPad2d(1), IMAGE),
    (lambda: nn.ReflectionPad3d(1), (2, 2, 2, 2)),
    (lambda: nn.ReplicationPad1d(1), (4, 5)),
    (lambda: nn.ReplicationPad2d(1), IMAGE),
    (lambda: nn.ReplicationPad3d(1), (2, 2, 2, 2)),
    (nn.Flatten, IMAGE),
    (lambda: nn.Unflatten(1, (2, 2)), IMAGE),
    (lambda: nn.ChannelShuffle(2), IMAGE),
    (lambda: nn.PixelShuffle(2), IMAGE),
    (lambda: nn.PixelUnshuffle(2), IMAGE),
    (lambda: nn.Upsample(scale_factor=(2.0, 2.0)), IMAGE),
    (lambda: nn.UpsamplingNearest2d(scale_factor=(2.0, 1.0)), IMAGE),
    *((make, IMAGE) for make in (nn.Identity, nn.ReLU, nn.ReLU6, nn.Tanh, nn.Sigmoid, nn.SiLU)),
    *((make, IMAGE) for make in (nn.LogSigmoid, nn.Softsign, nn.Tanhshrink, nn.Softshrink)),
    *((make, IMAGE) for make in (nn.CELU, nn.ELU, nn.SELU, nn.Hardsigmoid, nn.Hardswish)),
    *((make, IMAGE) for make in (nn.AlphaDropout, nn.Dropout, nn.Dropout2d)),
    (nn.Dropout1d, (4, 5)),
    *((make, IMAGE) for make in (nn.Dropout3d, nn.FeatureAlphaDropout, nn.GELU, nn.PReLU)),
    (lambda: nn.GELU("tanh"), IMAGE),
    (lambda: nn.CELU(0.3), IMAGE),
    (lambda: nn.LeakyReLU(0.1), IMAGE),
    (lambda: nn.Hardtanh(-0.1, 0.7), IMAGE),
    (lambda: nn.Sequential(nn.Flatten(), nn.Linear(144, 3)), IMAGE),
    (lambda: Parallel(nn.Conv2d(4, 2, 3, padding=1), nn.Tanh()), IMAGE),
]


def _settled(norm: nn.Module) -> nn.Module:
    """A normalization whose statistics and constants are random."""
    for buffer in (norm.running_mean, norm.running_var):
        if isinstance(buffer, Tensor):
            nn.init.uniform_(buffer, 0.1, 2.0)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    return norm
