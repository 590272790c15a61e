"""What shapes a network's modules are called with, seen by running a copy once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from latentsmooth.errors import ShapeError, UnverifiedModule
from latentsmooth.lipschitz.operations import Refusal

__all__ = ["Observed", "observe"]


class Observed:
    """A copy of a network in evaluation mode, and the shapes its modules are called with.

    Args:
        module: the network.
        is_copy: whether it is a copy in evaluation mode already, and may be run itself.

    Attributes:
        batch: images in the run, 2 where the network takes that many.
    """

    def __init__(self, module: nn.Module, *, is_copy: bool = False) -> None:
        for path, each in module.named_modules():
            compiled = type(each).__module__.startswith("torch._dynamo")
            if compiled or isinstance(each, torch.jit.ScriptModule):
                raise UnverifiedModule(
                    f"{path or 'the module'} ({type(each).__name__}) is compiled, so that its "
                    "operations cannot be followed; use the module that it was made of"
                )
        self.batch = 0
        self._shapes: dict[int, dict[tuple[int, ...], None]] = {}
        self._copies: dict[int, nn.Module] = {id(each): each for each in module.modules()}
        self._is_copy = is_copy
        self.network: nn.Module = module
        if is_copy:
            return
        memo: dict[int, Any] = {}
        self.network = _copied(module, memo).eval()
        pairs = [(each, memo.get(id(each))) for each in module.modules()]
        self._copies = {id(each): found for each, found in pairs if found is not None}

    def shapes(self, module: nn.Module) -> tuple[tuple[int, ...], ...]:
        """The input shapes, batch first, that a module of the original network was called with."""
        return tuple(self._shapes.get(id(self._copies.get(id(module))), {}))

    def copy_of(self, module: nn.Module) -> nn.Module:
        """A copy of one of the network's modules, for whatever is to be done with it."""
        return _copied(module, {}) if self._is_copy else self._copies[id(module)]

    def run(self, image: Tensor) -> None:
        """Run the copy, noting shapes."""

        def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
            if len(given) == 1:
                self._shapes.setdefault(id(module), {})[tuple(given[0].shape)] = None

        hooks = [
            each.register_forward_pre_hook(note, with_kwargs=True)
            for each in self.network.modules()
        ]
        self._shapes.clear()
        try:
            with torch.no_grad():
                self.network(image)
        finally:
            for hook in hooks:
                hook.remove()
        self.batch = len(image)


def observe(module: nn.Module, input_shape: Sequence[int], *, is_copy: bool = False) -> Observed:
    """Run a copy of a network on grey images of a shape.

    Args:
        module: the network.
        input_shape: of one image, ``(channels, height, width)`` as a rule.
        is_copy: whether the network is a copy already, as for `Observed`.

    Raises:
        ShapeError: where the network does not take images of that shape.
    """
    like = next(iter(module.parameters()), next(iter(module.buffers()), torch.zeros(())))
    dtype = like.dtype if like.is_floating_point() else torch.float32
    observed = Observed(module, is_copy=is_copy)
    # Two images show where samples are mixed; a network that takes only one has none to mix.
    for batch in (2, 1):
        image = torch.full((batch, *input_shape), 0.5, dtype=dtype, device=like.device)
        try:
            observed.run(image)
        except ShapeError:
            if batch == 1:
                raise
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
            if batch == 1:
                raise ShapeError(
                    f"an input of shape {tuple(input_shape)} does not fit: {error}"
                ) from error
        else:
            break
    return observed


def _copied(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    try:
        return copy.deepcopy(module, memo)
    except (Refusal, RuntimeError, TypeError) as error:
        raise UnverifiedModule(
            f"{type(module).__name__} cannot be copied, so that its shapes cannot be observed: "
            f"{error}"
        ) from error
