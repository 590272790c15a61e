"""A weight built from parameters: fresh in training, kept where no gradient can want it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from latentsmooth.orthogonal.matrix import (
    Parametrization,
    orthogonal_columns,
    outside_autocast,
    recover_parameter,
)

__all__ = ["BuiltWeight", "Factor"]

Self = TypeVar("Self", bound="BuiltWeight")


class Factor(NamedTuple):
    """One batch of orthonormal columns that a weight is made of.

    Attributes:
        parameter: ``(..., rows, k)``, as `orthogonal_columns` takes it.
        columns: columns to build.
        signs: ``(..., columns)``, +-1, multiplied onto the columns; ``None`` where they cancel.
    """

    parameter: Tensor
    columns: int
    signs: Tensor | None


class _Kept(NamedTuple):
    sources: list[tuple[Tensor, int, Tensor]]
    weight: Tensor
    version: int


class BuiltWeight(nn.Module):
    """Base of the orthogonal layers: `weight` is computed from the parameters.

    In training mode with gradients enabled the weight is built in float32 at each access and
    belongs to the current graph (`batched_weights` builds those of a whole network together).
    In evaluation it is built in float64 and rounded once, the same to the bit with and without
    gradients. Where no gradient can want it, it is kept until a parameter is replaced or its
    values change, by whatever way.
    """

    parametrization: Parametrization

    def __init__(self) -> None:
        super().__init__()
        self._kept: _Kept | None = None
        self._lent: Tensor | None = None

    @abstractmethod
    def factors(self) -> list[Factor]:
        """The orthonormal matrices that the weight is made of."""

    @abstractmethod
    def assemble(self, matrices: Sequence[Tensor]) -> Tensor:
        """Make the weight of built factors; batched over their leading dimensions."""

    @abstractmethod
    def assembly_key(self) -> Hashable:
        """Equal for two layers whose `assemble` does the same."""

    @abstractmethod
    def take_apart(self, weight: Tensor) -> list[Tensor]:
        """Factors (float64, on the CPU) that `assemble` to a weight, where they can be found."""

    def build_weight(self, dtype: torch.dtype) -> Tensor:
        """Compute the weight in a working dtype, outside autocast."""
        factors = self.factors()
        with outside_autocast(factors[0].parameter.device):
            return self.assemble(
                [
                    signed(
                        orthogonal_columns(
                            factor.parameter.to(dtype),
                            columns=factor.columns,
                            method=self.parametrization,
                        ),
                        factor.signs,
                    )
                    for factor in factors
                ]
            )

    @property
    def weight(self) -> Tensor:
        """The orthogonal weight in force; assign one to set the parameters behind it.

        Raises:
            ShapeError: on assignment of a weight that is not orthogonal, or not of this family.
        """
        factors = self.factors()
        dtype = factors[0].parameter.dtype
        if torch.is_grad_enabled() and any(f.parameter.requires_grad for f in factors):
            if self._lent is not None:
                return self._lent
            if self.training:
                return self.build_weight(working_dtype(dtype)).to(dtype)
            return self.build_weight(torch.float64).to(dtype)
        sources = [t for f in factors for t in (f.parameter, f.signs) if t is not None]
        if torch.compiler.is_compiling() or not all(map(_may_be_kept, sources)):
            return self.build_weight(torch.float64).to(dtype)
        if self._kept is None or not _still_holds(self._kept, sources):
            with torch.inference_mode(False), torch.no_grad():
                weight = self.build_weight(torch.float64).to(dtype)
                held = [(source, source._version, source.clone()) for source in sources]
            self._kept = _Kept(held, weight, weight._version)
        return self._kept.weight

    @weight.setter
    def weight(self, value: Tensor) -> None:
        with torch.no_grad():
            exact = value.detach().to("cpu", torch.float64)
            for factor, columns in zip(self.factors(), self.take_apart(exact), strict=False):
                self.set_factor(factor, columns)

    def set_factor(self, factor: Factor, columns: Tensor) -> None:
        """Overwrite a factor's parameter (and signs) so that it builds these columns."""
        parameter, signs = recover_parameter(columns, method=self.parametrization)
        with torch.no_grad():
            factor.parameter.copy_(parameter.reshape(factor.parameter.shape))
            if factor.signs is not None:
                factor.signs.copy_(signs.reshape(factor.signs.shape))

    def train(self: Self, mode: bool = True) -> Self:
        """Switch between training and evaluation; forgets the kept weight."""
        self._kept = None
        return super().train(mode)

    def _apply(self: Self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        self._kept = None
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None, "_lent": None}


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """At least float32: what weights are built in while training."""
    return dtype if dtype.itemsize >= 4 else torch.float32


def signed(columns: Tensor, signs: Tensor | None) -> Tensor:
    """Columns times their signs."""
    return columns if signs is None else columns * signs.to(columns.dtype).unsqueeze(-2)


def _may_be_kept(source: Tensor) -> bool:
    # Tensors swapped in by torch.func, inference tensors and meta tensors cannot be compared.
    plain = type(source) in (nn.Parameter, Tensor)
    return plain and not source.is_inference() and not source.is_meta


def _still_holds(kept: _Kept, sources: list[Tensor]) -> bool:
    if kept.weight._version != kept.version:
        return False
    return all(
        # Versions alone would miss writes through `.data`, as many averaging tools make them.
        held is source and version == source._version and torch.equal(snapshot, source)
        for (held, version, snapshot), source in zip(kept.sources, sources, strict=True)
    )
