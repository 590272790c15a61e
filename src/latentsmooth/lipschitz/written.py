"""Whether somebody writes into a tensor, or changes what a module computes with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Kept", "Settings"]


class Kept:
    """A tensor as it is now, to be compared with what it is later.

    Args:
        value: an ordinary tensor, not tracked.

    Example:
        >>> import torch
        >>> value = torch.zeros(2)
        >>> kept = Kept(value)
        >>> kept.written(), value.add_(0).sum().item(), kept.written()
        (False, 0.0, True)
    """

    def __init__(self, value: Tensor) -> None:
        self.value = value
        self.before = value.detach().clone()
        self._version = _version(value)

    def written(self) -> bool:
        """Whether it was written into, by torch's own count or because an entry differs."""
        if _version(self.value) != self._version:
            return True
        # Writing through .data or NumPy is not counted.
        now, before = self.value.detach(), self.before
        return not bool(((now == before) | (now.isnan() & before.isnan())).all())


class Settings:
    """Weights, buffers and plain attributes of modules, to see whether somebody changes them."""

    def __init__(self, module: nn.Module) -> None:
        self._kept: dict[int, dict[str, Any]] = {}
        self.keep(module)

    def keep(self, module: nn.Module) -> None:
        """Note how a module and all below it are now."""
        for part in module.modules():
            self.keep_alone(part)

    def keep_alone(self, module: nn.Module) -> None:
        """Note how a module is now, without those below it."""
        self._kept[id(module)] = {
            name: value.detach().clone() if isinstance(value, Tensor) else value
            for name, value in _settings(module).items()
        }

    def changed(self, module: nn.Module) -> bool:
        """Whether a module, or one below it, is otherwise than it was."""
        return any(self.changed_alone(part) for part in module.modules())

    def changed_alone(self, module: nn.Module) -> bool:
        """Whether a module is otherwise than it was, whatever became of those below it."""
        before, now = self._kept.get(id(module)), _settings(module)
        if before is None or before.keys() != now.keys():
            return True
        return not all(_same(value, now[name]) for name, value in before.items())


def _settings(module: nn.Module) -> dict[str, Any]:
    # What starts with a line is what modules keep for themselves, such as weights built before.
    own = {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and isinstance(value, bool | int | float | str | tuple)
    }
    return {**own, **module._parameters, **module._buffers}


def _same(before: Any, now: Any) -> bool:
    if isinstance(before, Tensor) and isinstance(now, Tensor):
        alike = before.shape == now.shape and before.dtype == now.dtype
        return alike and bool(torch.equal(before, now))
    return type(before) is type(now) and bool(before == now)


def _version(value: Tensor) -> int:
    # Torch does not count for tensors of inference mode, in which nothing here runs.
    return 0 if value.is_inference() else int(value._version)
