"""A weight built from parameters: fresh in training, cached where no gradient can want it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

__all__ = ["BuiltWeight"]

Self = TypeVar("Self", bound="BuiltWeight")


class BuiltWeight(nn.Module):
    """Base of the orthogonal layers: `weight` is computed from the parameters.

    With gradients enabled and parameters that want them, each access builds the weight anew in
    float32, so that it belongs to the current graph. Otherwise it is built in float64, rounded
    once to the parameters' dtype, and kept until a parameter is replaced, changed in place, moved,
    or the training mode is switched. Changes through ``.data`` are invisible to torch's version
    counter: switch the mode after them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: tuple[list[tuple[Tensor, int]], Tensor] | None = None

    def build_weight(self, dtype: torch.dtype) -> Tensor:
        """Compute the weight in a working dtype. Returns it as ``conv2d`` or ``linear`` take it."""
        raise NotImplementedError

    def weight_parameters(self) -> list[Tensor]:
        """The parameters that `build_weight` reads."""
        raise NotImplementedError

    @property
    def weight(self) -> Tensor:
        """The orthogonal weight in force."""
        sources = self.weight_parameters()
        dtype = sources[0].dtype
        if torch.is_grad_enabled() and any(source.requires_grad for source in sources):
            wide = dtype if dtype.itemsize >= 4 else torch.float32
            return self.build_weight(wide).to(dtype)
        if torch.compiler.is_compiling() or any(source.is_inference() for source in sources):
            return self.build_weight(torch.float64).to(dtype)
        kept = self._kept
        if kept is not None and all(
            held is source and version == source._version
            for (held, version), source in zip(kept[0], [*sources, kept[1]], strict=True)
        ):
            return kept[1]
        with torch.inference_mode(False), torch.no_grad():
            weight = self.build_weight(torch.float64).to(dtype)
        # The weight's own version is kept too: whoever changes it in place gets a fresh one.
        self._kept = ([(held, held._version) for held in (*sources, weight)], weight)
        return weight

    def train(self: Self, mode: bool = True) -> Self:
        """Switch between training and evaluation; forgets the cached weight."""
        self._kept = None
        return super().train(mode)

    def _apply(self: Self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        self._kept = None
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}
