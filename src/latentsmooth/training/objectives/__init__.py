"""What training minimises: one objective a file, looked up by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from latentsmooth.errors import ConfigurationError
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.training.objectives.base import LatentObjective, Objective
from latentsmooth.training.objectives.catrs import CatrsObjective
from latentsmooth.training.objectives.consistency import ConsistencyObjective
from latentsmooth.training.objectives.distillation import DistillationObjective
from latentsmooth.training.objectives.gaussian import GaussianObjective
from latentsmooth.training.objectives.macer import MacerObjective
from latentsmooth.training.objectives.margin import MarginObjective
from latentsmooth.training.objectives.options import OptionValue, resolve_options
from latentsmooth.training.objectives.smoothadv import SmoothAdvObjective
from latentsmooth.training.objectives.smoothmix import SmoothMixObjective
from latentsmooth.training.objectives.teacher import load_teacher

__all__ = [
    "CatrsObjective",
    "ConsistencyObjective",
    "DistillationObjective",
    "GaussianObjective",
    "MacerObjective",
    "MarginObjective",
    "Objective",
    "OptionValue",
    "SmoothAdvObjective",
    "SmoothMixObjective",
    "build_objective",
    "check_teacher",
    "default_options",
    "list_objectives",
    "load_teacher",
    "objective_options",
]

_OBJECTIVES: dict[str, type[LatentObjective]] = {
    "catrs": CatrsObjective,
    "consistency": ConsistencyObjective,
    "distillation": DistillationObjective,
    "gaussian": GaussianObjective,
    "macer": MacerObjective,
    "margin": MarginObjective,
    "smoothadv": SmoothAdvObjective,
    "smoothmix": SmoothMixObjective,
}


def list_objectives() -> tuple[str, ...]:
    """Return the names that `build_objective` knows.

    >>> list_objectives()[:3]
    ('catrs', 'consistency', 'distillation')
    """
    return tuple(sorted(_OBJECTIVES))


def default_options() -> dict[str, dict[str, OptionValue]]:
    """Return each objective's options with their defaults.

    >>> default_options()["consistency"]
    {'draws': 2, 'weight': 10.0, 'entropy_weight': 0.5}
    """
    return {name: objective_options(name, {}) for name in list_objectives()}


def objective_options(name: str, given: Mapping[str, object]) -> dict[str, OptionValue]:
    """Return all options of the objective of that name, those given and the others' defaults.

    Raises:
        ConfigurationError: for an unknown objective or option, or a value out of range.

    >>> objective_options("gaussian", {"draws": 4.0})
    {'draws': 4}
    """
    kind = _objective(name)
    values = resolve_options(kind, given, name=name)
    kind(**values)  # type: ignore[arg-type]  # which checks the options against each other
    return values


def check_teacher(name: str, *, given: bool) -> None:
    """Raise `ConfigurationError` where an objective lacks a teacher, or has no use for one.

    >>> check_teacher("gaussian", given=False)
    """
    use = _objective(name).uses_teacher
    if use == "always" and not given:
        raise ConfigurationError(
            f"teacher must be a saved classifier for the objective {name}, got None"
        )
    if use == "never" and given:
        able = [other for other in list_objectives() if _OBJECTIVES[other].uses_teacher != "never"]
        raise ConfigurationError(
            f"teacher must be null for the objective {name}: only {' and '.join(able)} have one"
        )


def build_objective(
    name: str,
    *,
    options: Mapping[str, object] | None = None,
    label_smoothing: float = 0.0,
    bfloat16: bool = False,
    teacher: LatentSmoothedClassifier | None = None,
) -> Objective:
    """Return the objective of that name.

    Args:
        name: one of `list_objectives`.
        options: its own options, see `default_options`; the others keep their defaults.
        label_smoothing: share of the target spread evenly over all classes.
        bfloat16: whether encoder and head compute in bfloat16.
        teacher: what `load_teacher` gave, for objectives that learn from one.

    Raises:
        ConfigurationError: for an unknown objective or option, a value out of range, or a teacher
            that is missing or not wanted.

    >>> build_objective("gaussian", options={"draws": 4})
    GaussianObjective(label_smoothing=0.0, bfloat16=False, draws=4)
    """
    values: dict[str, Any] = dict(objective_options(name, options or {}))
    check_teacher(name, given=teacher is not None)
    return _objective(name)(
        label_smoothing=label_smoothing, bfloat16=bfloat16, teacher=teacher, **values
    )


def _objective(name: str) -> type[LatentObjective]:
    if name not in _OBJECTIVES:
        known = ", ".join(list_objectives())
        raise ConfigurationError(f"objective must be one of {known}, got {name!r}")
    return _OBJECTIVES[name]
