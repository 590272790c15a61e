"""Blocks with several paths whose combination has a small Lipschitz constant."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError, ShapeError

__all__ = ["ConcatenativeResidual", "ConvexResidual", "Parallel"]


class ConvexResidual(nn.Module):
    r"""A weighted mean of the input and a branch of it.

    .. math:: y = (1 - a)\, x + a\, f(x), \qquad 0 \le a \le 1,

    is 1-Lipschitz where the branch is; the plain residual ``x + f(x)`` is not. The bound is
    ``(1 - a) + a L(f)``.

    Args:
        branch: the map ``f``; it keeps the shape.
        alpha: the branch's (initial) share.
        learnable: whether ``alpha`` is ``sigmoid(logit)`` of a parameter, which wants a start
            strictly between 0 and 1; otherwise it is a constant.

    Shapes:
        ``(batch, ...)`` to the same.

    Raises:
        ConfigurationError: where the share is no share, or part of the branch works in place.
        ShapeError: where the branch changes the shape.

    Example:
        >>> block = ConvexResidual(nn.Sequential(nn.Flatten()), alpha=0.25, learnable=False)
        >>> block(torch.tensor([[4.0, -2.0]]))
        tensor([[ 4., -2.]])
    """

    fixed_alpha: Tensor

    def __init__(self, branch: nn.Module, *, alpha: float = 0.5, learnable: bool = True) -> None:
        super().__init__()
        if not (0 < alpha < 1 if learnable else 0 <= alpha <= 1):
            wanted = "strictly between 0 and 1 to learn from" if learnable else "from 0 to 1"
            raise ConfigurationError(f"wanted alpha {wanted}, got {alpha}")
        _refuse_in_place(branch)
        self.branch = branch
        self.learnable = learnable
        if learnable:
            self.logit = nn.Parameter(torch.tensor(math.log(alpha / (1 - alpha))))
        else:
            self.register_buffer("fixed_alpha", torch.tensor(float(alpha)))

    @property
    def alpha(self) -> Tensor:
        """The branch's share in force, a scalar."""
        return torch.sigmoid(self.logit) if self.learnable else self.fixed_alpha

    def forward(self, inputs: Tensor) -> Tensor:
        """Mix: ``(batch, ...)`` to the same."""
        result: Tensor = self.branch(inputs)
        _check_result(self.branch, result, inputs.shape)
        # Written so that the two shares sum to one exactly, however alpha is rounded.
        return inputs + self.alpha.to(inputs.dtype) * (result - inputs)

    def extra_repr(self) -> str:
        """How the shares come about."""
        # A learned share is no setting: printing it would make a trained copy look like another.
        if self.learnable:
            return "learnable=True"
        return f"alpha={float(self.fixed_alpha):.4g}, learnable=False"


class ConcatenativeResidual(nn.Module):
    """Transform some channels, pass the others, and swap the two.

    With ``x = (x1, x2)`` split by channels, ``y = (x2, f(x1))``: the next block works on what
    this one passed. An isometry where the branch is one; the bound is ``max(1, L(f))``.

    Args:
        branch: the map ``f`` of the first channels; it may change their number, not the
            other sides.
        channels: how many channels the branch takes (default: half, rounded down).

    Shapes:
        ``(batch, channels, ...)`` to ``(batch, channels', ...)``.

    Raises:
        ConfigurationError: where part of the branch works in place.
        ShapeError: where a side would have no channels, or the branch changes another size.

    Example:
        >>> from latentsmooth.orthogonal import Absolute
        >>> ConcatenativeResidual(Absolute())(torch.tensor([[-1.0, -2.0, 3.0, 4.0]]))
        tensor([[3., 4., 1., 2.]])
    """

    def __init__(self, branch: nn.Module, channels: int | None = None) -> None:
        super().__init__()
        if channels is not None and channels < 1:
            raise ShapeError(f"wanted at least one channel for the branch, got {channels}")
        _refuse_in_place(branch)
        self.branch = branch
        self.channels = channels

    def forward(self, inputs: Tensor) -> Tensor:
        """Split, transform, swap and join along the channels."""
        total = inputs.shape[1] if inputs.ndim > 1 else 0
        taken = total // 2 if self.channels is None else self.channels
        if not 1 <= taken < total:
            wanted = "at least 2" if self.channels is None else f"more than {self.channels}"
            raise ShapeError(
                f"expected (batch, channels, ...) with {wanted} channels, got {tuple(inputs.shape)}"
            )
        first, second = torch.split(inputs, [taken, total - taken], dim=1)
        result = self.branch(first)
        _check_result(self.branch, result, (second.shape[0], None, *second.shape[2:]))
        return torch.cat([second, result], dim=1)

    def extra_repr(self) -> str:
        """The channels that the branch takes."""
        return f"channels={'half' if self.channels is None else self.channels}"


class Parallel(nn.Module):
    r"""Several maps of one input, side by side along the channels.

    .. math:: y = (f_1(x), \dots, f_n(x)), \qquad L \le \sqrt{\textstyle\sum_i L(f_i)^2}.

    ``n`` isometries side by side lengthen by ``sqrt(n)``.

    Args:
        branches: the maps; they agree in all sizes but the channels.

    Shapes:
        ``(batch, ...)`` to ``(batch, channels, ...)``, the sum of the branches' channels.

    Raises:
        ConfigurationError: where there is no branch, or part of one works in place.
        ShapeError: where the branches' results cannot be joined.

    Example:
        >>> Parallel(nn.Identity(), nn.ReLU())(torch.tensor([[-1.0, 2.0]]))
        tensor([[-1.,  2.,  0.,  2.]])
    """

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        if not branches:
            raise ConfigurationError("wanted at least one branch, got none")
        for branch in branches:
            _refuse_in_place(branch)
        self.branches = nn.ModuleList(branches)

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply every branch and join along the channels."""
        results = [branch(inputs) for branch in self.branches]
        _check_result(self.branches[0], results[0])
        wanted = (results[0].shape[0], None, *results[0].shape[2:])
        for branch, result in zip(self.branches, results, strict=True):
            _check_result(branch, result, wanted)
        return torch.cat(results, dim=1)


def _refuse_in_place(branch: nn.Module) -> None:
    """In-place modules would overwrite the input that the other paths read."""
    for name, module in branch.named_modules():
        if getattr(module, "inplace", False):
            place = f"the branch's {name}" if name else "the branch"
            raise ConfigurationError(
                f"{place} ({type(module).__name__}) works in place and would overwrite what the "
                "other paths read: use inplace=False"
            )


def _check_result(
    branch: nn.Module, result: object, wanted: Sequence[int | None] | None = None
) -> None:
    """A branch returns one tensor with channels, of the wanted sizes (``None``: any)."""
    if isinstance(result, Tensor):
        if wanted is None:
            fits = result.ndim >= 2
        else:
            sides = zip(wanted, result.shape, strict=False)
            fits = result.ndim == len(wanted) and all(
                size is None or size == side for size, side in sides
            )
        if fits:
            return
    got = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
    sizes = ["batch", "channels", "..."] if wanted is None else wanted
    shown = ", ".join("any" if size is None else str(size) for size in sizes)
    raise ShapeError(
        f"wanted the branch {type(branch).__name__} to return a tensor of shape ({shown}), "
        f"got {got}"
    )
