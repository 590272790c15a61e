"""What training minimises: one objective a file, looked up by name."""

from __future__ import annotations

from collections.abc import Callable

from latentsmooth.errors import ConfigurationError
from latentsmooth.training.objectives.base import Objective
from latentsmooth.training.objectives.gaussian import GaussianObjective

__all__ = ["GaussianObjective", "Objective", "build_objective", "list_objectives"]

_OBJECTIVES: dict[str, Callable[..., Objective]] = {"gaussian": GaussianObjective}


def list_objectives() -> tuple[str, ...]:
    """Return the names that `build_objective` knows.

    >>> list_objectives()
    ('gaussian',)
    """
    return tuple(sorted(_OBJECTIVES))


def build_objective(
    name: str, *, label_smoothing: float = 0.0, bfloat16: bool = False
) -> Objective:
    """Return the objective of that name; an unknown name is a `ConfigurationError`.

    >>> build_objective("gaussian")
    GaussianObjective(label_smoothing=0.0, bfloat16=False)
    """
    if name not in _OBJECTIVES:
        known = ", ".join(list_objectives())
        raise ConfigurationError(f"objective must be one of {known}, got {name!r}")
    return _OBJECTIVES[name](label_smoothing=label_smoothing, bfloat16=bfloat16)
