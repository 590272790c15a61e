"""What a network's modules are called with and write into, seen by running a copy once."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from latentsmooth.errors import ShapeError, UnverifiedModule
from latentsmooth.lipschitz.modes import undisturbed
from latentsmooth.lipschitz.operations import Refusal
from latentsmooth.lipschitz.registry import rule_of
from latentsmooth.lipschitz.written import Kept, Settings

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
        self._writing: set[int] = set()
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

    def writes(self, module: nn.Module) -> bool:
        """Whether a module of the original network was seen to write into its input."""
        return id(self._copies.get(id(module))) in self._writing

    def run(self, image: Tensor) -> None:
        """Run the copy, noting shapes and what is written into."""
        paths = {id(each): path for path, each in self.network.named_modules()}
        entered: list[tuple[nn.Module, list[Kept]]] = []
        settings = Settings(self.network)
        refused: list[str] = []  # kept, because the network may catch what is raised

        def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
            if len(given) == 1:
                self._shapes.setdefault(id(module), {})[tuple(given[0].shape)] = None
            refused.extend(_disturbed(module, paths[id(module)], given))
            entered.append((module, [Kept(value) for value in given]))

        def compare(module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
            while entered:
                called, given = entered.pop()
                if called is not module:
                    continue  # It raised, and somebody caught that.
                entry = rule_of(module)
                if entry is not None:  # What it does to itself its rule is about.
                    (settings.keep_alone if entry.composite else settings.keep)(module)
                if any(kept.written() for kept in given):
                    self._writing.add(id(module))
                break
            refused.extend(_disturbed(module, paths[id(module)], []))

        hooks = [
            hook
            for each in self.network.modules()
            for hook in (
                each.register_forward_pre_hook(note, with_kwargs=True),
                each.register_forward_hook(compare, with_kwargs=True),
            )
        ]
        self._shapes.clear()
        try:
            self.network(image)
            for each in self.network.modules():
                if rule_of(each) is not None and settings.changed_alone(each):
                    name = f"{paths[id(each)] or 'the module'} ({type(each).__name__})"
                    refused.append(f"{name} is changed by what calls it, past its rule")
        finally:
            for hook in hooks:
                hook.remove()
            if refused:
                raise UnverifiedModule(refused[0])
        self.batch = len(image)


def observe(module: nn.Module, input_shape: Sequence[int], *, is_copy: bool = False) -> Observed:
    """Run a copy of a network on smooth images of a shape.

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
        try:
            with undisturbed([like.device.type]):
                # Uneven, so that whatever is written shows.
                line = torch.linspace(0.25, 0.75, max(1, math.prod(input_shape)), dtype=dtype)
                image = line.reshape(1, *input_shape).repeat(batch, *[1] * len(input_shape))
                observed.run(image.to(like.device))
        except UnverifiedModule:
            raise
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


def _disturbed(module: nn.Module, path: str, given: Sequence[Tensor]) -> Iterator[str]:
    """Why a module's call is not what rules are about: its mode, or narrower arithmetic."""
    name = f"{path or 'the module'} ({type(module).__name__})"
    if module.training:
        yield f"{name} is in training mode while the network runs, although it was switched off"
    if any(torch.is_autocast_enabled(value.device.type) for value in given):
        yield f"{name} is run under autocast, which narrows what it computes"


def _copied(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    try:
        return copy.deepcopy(module, memo)
    except (Refusal, RuntimeError, TypeError) as error:
        raise UnverifiedModule(
            f"{type(module).__name__} cannot be copied, so that its shapes cannot be observed: "
            f"{error}"
        ) from error
