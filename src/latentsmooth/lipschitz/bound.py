"""The bound of a whole encoder: the product over its chain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from latentsmooth.errors import ShapeError
from latentsmooth.lipschitz import rules as _rules  # noqa: F401  (fills the registry)
from latentsmooth.lipschitz.modes import evaluating
from latentsmooth.lipschitz.registry import refuse_hooks, rule_for

__all__ = ["ModuleBound", "chain_bound", "lipschitz_bound", "module_bounds"]


@dataclass(frozen=True, slots=True)
class ModuleBound:
    """One module's factor in the product.

    Attributes:
        path: the module's place in the encoder, as ``named_modules`` spells it.
        kind: its class name.
        description: what it prints of itself.
        bound: upper bound of its l2 Lipschitz constant.
    """

    path: str
    kind: str
    description: str
    bound: float


def lipschitz_bound(module: nn.Module, *, input_shape: Sequence[int] | None = None) -> float:
    """Upper bound of a module's l2 Lipschitz constant, computed in float64 from its weights.

    The bounds of convolutions hold for every image size, so the shape is not needed; where it is
    given, the module is also run on one zero image of that shape, which finds size errors early.

    Args:
        module: the encoder; ``nn.Sequential`` chains multiply.
        input_shape: ``(channels, height, width)``, optional.

    Returns:
        The bound over inputs in the units the module takes (pixels in [0, 1] for an encoder).

    Raises:
        UnverifiedModule: at the first module that no rule knows, naming its path.
        ShapeError: where ``input_shape`` does not fit the module.

    Example:
        >>> from latentsmooth.orthogonal import OrthogonalConv2d, MaxMin
        >>> lipschitz_bound(nn.Sequential(OrthogonalConv2d(3, 8, 3), MaxMin())) < 1 + 1e-5
        True
    """
    if input_shape is not None:
        _try_shape(module, input_shape)
    return chain_bound(module_bounds(module))


def chain_bound(parts: Sequence[ModuleBound]) -> float:
    """The bound of a whole chain from its factors, as `module_bounds` gives them."""
    # Each factor is an upper bound; the product's own rounding is covered by the last nudge.
    product = math.prod(part.bound for part in parts)
    return product if product == 1.0 else product * (1 + len(parts) * 2**-52)


def module_bounds(module: nn.Module) -> list[ModuleBound]:
    """The factors of `lipschitz_bound`, in the order in which an input meets them.

    Raises:
        UnverifiedModule: at the first module that no rule knows, naming its path.
    """
    return _bounds(module, "")


def _bounds(module: nn.Module, path: str) -> list[ModuleBound]:
    if type(module) is nn.Sequential:
        refuse_hooks(module, path)
        return [
            part
            # A module that stands twice in the chain acts twice; named_children would skip it.
            for name, child in module._modules.items()
            if child is not None
            for part in _bounds(child, f"{path}.{name}" if path else name)
        ]
    bound = rule_for(module, path)(module)
    return [ModuleBound(path, type(module).__name__, module.extra_repr(), bound)]


def _try_shape(module: nn.Module, input_shape: Sequence[int]) -> None:
    like = next(iter(module.parameters()), next(iter(module.buffers()), torch.zeros(())))
    image = torch.zeros(1, *input_shape, dtype=like.dtype, device=like.device)
    try:
        with torch.no_grad(), evaluating(module):
            module(image)
    except ShapeError:
        raise
    except RuntimeError as error:
        raise ShapeError(f"an input of shape {tuple(input_shape)} does not fit: {error}") from error
