"""Each module's bound beside what a power iteration reaches, and the gap between the two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from latentsmooth.errors import ConfigurationError
from latentsmooth.lipschitz.bound import ModuleBound, chain_bound, observed_bounds
from latentsmooth.lipschitz.observed import Observed, observe
from latentsmooth.lipschitz.power import lipschitz_lower_bound

__all__ = ["AuditRow", "audit"]


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One module, or the whole encoder, between its bounds.

    Attributes:
        path: the module's place in the encoder, as ``named_modules`` spells it.
        kind: its class name.
        description: what it prints of itself.
        depth: 0 for a factor of the product, more for what a factor's bound is combined of.
        input_shape: of one input, as the encoder calls the module; ``None`` where it does not.
        bound: upper bound of its l2 Lipschitz constant.
        lower_bound: lower bound, by power iteration; ``None`` where none was asked for.
    """

    path: str
    kind: str
    description: str
    depth: int
    input_shape: tuple[int, ...] | None
    bound: float
    lower_bound: float | None

    @property
    def gap(self) -> float | None:
        """How far the bound may be above the truth, ``bound / lower_bound - 1``, where known."""
        return max(0.0, self.bound / self.lower_bound - 1) if self.lower_bound else None


def audit(
    module: nn.Module,
    input_shape: Sequence[int],
    *,
    points: int = 4,
    iterations: int = 20,
    seed: int = 0,
) -> list[AuditRow]:
    """Bound every module of an encoder from above and from below.

    Each module's lower bound is taken on inputs of the shape that the encoder calls it with.

    Args:
        module: the encoder; left unchanged.
        input_shape: of one input, ``(channels, height, width)`` as a rule.
        points: inputs to try for each lower bound.
        iterations: of the power method at each; 0 leaves the lower bounds out.
        seed: of the inputs.

    Returns:
        A row a module, in the order in which an input meets them, each followed by the modules
        that its bound is combined of; the last row is the whole encoder. The bounds of the rows
        of depth 0 but the last multiply to that of the last.

    Raises:
        UnverifiedModule: at a module that cannot be bounded, or whose stated bound is refuted.
        ShapeError: where ``input_shape`` does not fit.
        ConfigurationError: for a negative number of iterations, or less than one point.

    Example:
        >>> rows = audit(nn.Sequential(nn.Flatten(), nn.LeakyReLU(2.0)), (1, 2, 2))
        >>> [(row.path, row.bound) for row in rows]
        [('0', 1.0), ('1', 2.0), ('', 2.0)]
        >>> 1.9 < rows[-1].lower_bound <= 2.0
        True
    """
    if iterations < 0 or points < 1:
        raise ConfigurationError(
            f"wanted iterations >= 0 and points >= 1, got {iterations} and {points}"
        )
    observed = observe(module, input_shape)
    parts = observed_bounds(module, observed)
    auditor = _Auditor(module, observed, points, iterations, seed)
    whole = ModuleBound("", type(module).__name__, "", chain_bound(parts))
    rows = [row for part in parts for row in auditor.rows(part, 0)]
    return [*rows, auditor.row(whole, 0)]


@dataclass(frozen=True, slots=True)
class _Auditor:
    module: nn.Module
    observed: Observed
    points: int
    iterations: int
    seed: int

    def rows(self, part: ModuleBound, depth: int) -> Iterator[AuditRow]:
        yield self.row(part, depth)
        for child in part.children:
            yield from self.rows(child, depth + 1)

    def row(self, part: ModuleBound, depth: int) -> AuditRow:
        subject = self.module.get_submodule(part.path)
        shapes = [shape[1:] for shape in self.observed.shapes(subject)]
        lower = None
        if self.iterations and shapes:
            lower = max(
                lipschitz_lower_bound(
                    subject,
                    shape,
                    points=self.points,
                    iterations=self.iterations,
                    seed=self.seed,
                )
                for shape in shapes
            )
        return AuditRow(
            part.path,
            part.kind,
            part.description,
            depth,
            shapes[0] if shapes else None,
            part.bound,
            lower,
        )
