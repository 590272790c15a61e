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
    method: str
    sources: list[tuple[Tensor, int, Tensor]]
    weight: Tensor
    version: int
    snapshot: Tensor


class Lent(NamedTuple):
    sources: list[tuple[Tensor, int]]
    weight: Tensor


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
        self._lent: Lent | None = None

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
        if torch.is_grad_enabled() and wants_gradient(factors):
            lent = self._lent
            if lent is not None and self.training and _is_current(lent, factors):
                return lent.weight
            if self.training:
                return self.build_weight(working_dtype(dtype)).to(dtype)
            return self.build_weight(torch.float64).to(dtype)
        sources = [t for f in factors for t in (f.parameter, f.signs) if t is not None]
        own = all(isinstance(factor.parameter, nn.Parameter) for factor in factors)
        if torch.compiler.is_compiling() or not (own and all(map(_may_be_kept, sources))):
            return self.build_weight(torch.float64).to(dtype)
        # Another thread may forget what is kept at any time, so it is looked up once.
        kept = self._kept
        if kept is None or not _still_holds(kept, self.parametrization, sources):
            with torch.inference_mode(False), torch.no_grad():
                weight = self.build_weight(torch.float64).to(dtype)
                held = [(source, source._version, source.clone()) for source in sources]
                kept = _Kept(self.parametrization, held, weight, weight._version, weight.clone())
            self._kept = kept
        return kept.weight

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


def wants_gradient(factors: Sequence[Factor]) -> bool:
    """Whether a gradient is asked of any parameter."""
    return any(factor.parameter.requires_grad for factor in factors)


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """At least float32: what weights are built in while training."""
    return dtype if dtype.itemsize >= 4 else torch.float32


def signed(columns: Tensor, signs: Tensor | None) -> Tensor:
    """Columns times their signs."""
    return columns if signs is None else columns * signs.to(columns.dtype).unsqueeze(-2)


def _may_be_kept(source: Tensor) -> bool:
    # Subclasses, inference tensors and meta tensors cannot be compared.
    plain = type(source) in (nn.Parameter, Tensor)
    return plain and not source.is_inference() and not source.is_meta


def _is_current(lent: Lent, factors: list[Factor]) -> bool:
    """Whether a weight built for a whole network is still this layer's, parameters unchanged."""
    return all(
        held is factor.parameter and version == factor.parameter._version
        for (held, version), factor in zip(lent.sources, factors, strict=True)
    )


def _still_holds(kept: _Kept, method: str, sources: list[Tensor]) -> bool:
    if kept.method != method or kept.weight._version != kept.version:
        return False
    # Versions alone would miss writes through `.data`, as many averaging tools make them.
    return all(
        held is source and version == source._version and torch.equal(snapshot, source)
        for (held, version, snapshot), source in zip(kept.sources, sources, strict=True)
    ) and torch.equal(kept.weight, kept.snapshot)
