"""Weights that other libraries compute on each reading, made plain."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from latentsmooth.errors import UnverifiedModule

__all__ = ["bake", "fix_weights", "refuse_unstable"]


def bake(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose parametrized weights are ordinary ones, as they are now.

    Some libraries compute a weight from parameters each time it is read, and some of them change
    their own state on the way, even in evaluation: two readings differ. A bound of such a weight
    says nothing about the next one. What the copy holds stays as it is.

    Args:
        module: a network with `torch.nn.utils.parametrize` parametrizations, for example
            orthogonium's or deel-torchlip's layers; left unchanged but for its own state.

    Returns:
        The copy; it takes less time to run and can be saved and verified like any other.

    Example:
        >>> layer = torch.nn.utils.parametrizations.orthogonal(nn.Linear(3, 3))
        >>> plain = bake(layer)
        >>> type(plain).__name__, bool(torch.allclose(plain.weight, layer.weight))
        ('Linear', True)
    """
    copied = copy.deepcopy(module).eval()
    fix_weights(copied.modules())
    return copied


def fix_weights(modules: Iterable[nn.Module]) -> None:
    """Make the parametrized tensors of modules ordinary ones, in place."""
    with torch.no_grad():
        for each in list(modules):
            if _is_parametrized(each):
                _fix(each)


def _fix(module: nn.Module) -> None:
    # torch's own remove_parametrizations changes the class that the original shares.
    parametrizations: Any = module.parametrizations
    values = {name: getattr(module, name).detach().clone() for name in parametrizations}
    learned = {
        name: any(isinstance(each, nn.Parameter) for each in stored.parameters(recurse=False))
        for name, stored in parametrizations.items()
    }
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for name, value in values.items():
        if learned[name]:
            module.register_parameter(name, nn.Parameter(value))
        else:
            module.register_buffer(name, value)


def refuse_unstable(module: nn.Module, name: str, *, inherited: bool) -> None:
    """Raise where reading a module's weight changes the weight or the module.

    Args:
        module: in evaluation mode.
        name: for the message.
        inherited: whether its type derives from a torch layer and may compute the weight anew.

    Raises:
        UnverifiedModule: naming the module.
    """
    names = set(getattr(module, "parametrizations", {})) if _is_parametrized(module) else set()
    if inherited and isinstance(getattr(type(module), "weight", None), property):
        names.add("weight")
    if not names:
        return
    try:
        probe = copy.deepcopy(module)
    except (RuntimeError, TypeError) as error:
        raise UnverifiedModule(f"{name} cannot be copied to test its weight: {error}") from error
    before = _state(probe)
    readings = [[getattr(probe, each) for each in sorted(names)] for _ in range(2)]
    same = all(_equal(first, second) for first, second in zip(*readings, strict=True))
    after = _state(probe)
    kept = before.keys() == after.keys() and all(_equal(before[key], after[key]) for key in before)
    if not (same and kept):
        raise UnverifiedModule(
            f"{name} changes its weight or its state whenever the weight is read, so that a bound "
            "would not hold for the next reading; use latentsmooth.lipschitz.bake(network)"
        )


def _is_parametrized(module: nn.Module) -> bool:
    return bool(parametrize.is_parametrized(module))


def _state(module: nn.Module) -> dict[str, Tensor]:
    held = (*module.named_parameters(), *module.named_buffers())
    return {name: tensor.detach().clone() for name, tensor in held}


def _equal(first: object, second: object) -> bool:
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return first.shape == second.shape and bool(torch.equal(first, second))
    return first is second
