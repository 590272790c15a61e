"""A plan out of plain values, such as a YAML file holds: runs, grid, common settings."""

from __future__ import annotations

import difflib
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, Literal, TypeVar, get_type_hints

from latentsmooth.errors import ConfigurationError
from latentsmooth.records.settled import settled_radii
from latentsmooth.reporting import DEFAULT_RADII
from latentsmooth.sweep.plan import (
    CertifySettings,
    MeasureSettings,
    NetworkSettings,
    SweepPlan,
    SweepRun,
)
from latentsmooth.sweep.points import Cost
from latentsmooth.training import TrainingSettings
from latentsmooth.values import Fields, convert_value

__all__ = ["MOST_RUNS", "SweepPart", "parse_plan", "setting_types"]

MOST_RUNS: Final = 256
SweepPart = Literal["train", "certify", "measure"]
_Settings = TypeVar("_Settings")
_SHORT: Final = {"build": "", "width": "w", "latent_sigma": "s", "build_options": ""}


def parse_plan(
    *,
    data: str,
    runs: Sequence[Mapping[str, Any]] = (),
    grid: Mapping[str, Sequence[Any]] | None = None,
    train: Mapping[str, Any] | None = None,
    certify: Mapping[str, Any] | None = None,
    measure: Mapping[str, Any] | None = None,
    radii: Sequence[float] | None = None,
    image_size: int | None = None,
    cost: Cost = "seconds",
) -> SweepPlan:
    """Check the plain values of a sweep and make its plan.

    Args:
        data: source of the images.
        runs: each a ``name`` and what differs from ``train``, or a ``name`` and ``reuse``.
        grid: lists of values by setting; every combination is a run, named by its values.
        train: what all runs have in common: fields of `NetworkSettings` and `TrainingSettings`.
        certify: fields of `CertifySettings`.
        measure: fields of `MeasureSettings`.
        radii: l2 radii over pixels in [0, 1] to compare at; by default those that a sequential rule
            settles, or 0, 0.25, 0.5, 0.75 and 1.
        image_size: resize the shorter side to this many pixels and cut the centre square.
        cost: what comparisons are about.

    Raises:
        ConfigurationError: an unknown setting, a value of the wrong type, no runs, or two of one
            name.

    Example:
        >>> plan = parse_plan(data="fashion-mini", train={"epochs": 2},
        ...                   grid={"build": ["lenet", "lsrs-lenet"], "width": [0.5, 1.0]})
        >>> [run.name for run in plan.runs]
        ['lenet-w0.5', 'lenet-w1.0', 'lsrs-lenet-w0.5', 'lsrs-lenet-w1.0']
    """
    common = dict(train or {})
    named = [dict(entry) for entry in runs] + _combinations(grid or {})
    if not named:
        raise ConfigurationError("wanted runs, a grid or both, got neither")
    if len(named) > MOST_RUNS:
        raise ConfigurationError(f"wanted at most {MOST_RUNS} runs, got {len(named):,}")
    certifying = _made(CertifySettings, certify or {}, "certify")
    if radii is None:
        radii = settled_radii(certifying.stopping_rule().settings()) or DEFAULT_RADII
    return SweepPlan(
        data=data,
        image_size=image_size,
        runs=tuple(_run(entry, common, place) for place, entry in enumerate(named, 1)),
        certify=certifying,
        measure=_made(MeasureSettings, measure or {}, "measure"),
        input_radii=tuple(dict.fromkeys(float(radius) for radius in radii)),
        cost=cost,
    )


def _run(entry: Mapping[str, Any], common: Mapping[str, Any], place: int) -> SweepRun:
    own = dict(entry)
    name = own.pop("name", None)
    if name is None:
        raise ConfigurationError(f"run {place} has no name")
    name = convert_value(name, str, name=f"run {place}: name")
    reuse = own.pop("reuse", None)
    if reuse is not None:
        if own:
            raise ConfigurationError(
                f"run {name} reuses {reuse!r} and so takes no {next(iter(own))!r}"
            )
        return SweepRun(name=name, reuse=str(reuse))
    values = {**common, **own}
    network = {field.name for field in fields(NetworkSettings)}
    training = {field.name for field in fields(TrainingSettings)}
    where = f"run {name}"
    _check_names(values, network | training, where)
    return SweepRun(
        name=name,
        network=_made(NetworkSettings, {k: v for k, v in values.items() if k in network}, where),
        training=_made(TrainingSettings, {k: v for k, v in values.items() if k in training}, where),
    )


def _combinations(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of a grid's values, each with a name."""
    for key, values in grid.items():
        if not isinstance(values, (list, tuple)) or not values:
            raise ConfigurationError(f"grid: wanted {key} as a list of values, got {values!r:.80}")
        if key in ("name", "reuse"):
            raise ConfigurationError(f"grid: {key} belongs into runs")
    if math.prod(len(values) for values in grid.values()) > MOST_RUNS:
        raise ConfigurationError(f"grid: wanted at most {MOST_RUNS} combinations")
    if not grid:
        return []
    telling = [key for key, values in grid.items() if len(values) > 1 or key == "build"]
    found = []
    for chosen in itertools.product(*grid.values()):
        entry = dict(zip(grid, chosen, strict=True))
        words = [_SHORT.get(key, key) + _word(entry[key]) for key in telling or list(grid)]
        found.append({"name": re.sub(r"[^A-Za-z0-9.+=_-]+", "-", "-".join(words)), **entry})
    return found


def _word(value: Any) -> str:
    """A value as part of a name."""
    if isinstance(value, Mapping):
        return "-".join(f"{key}{_word(each)}" for key, each in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return "-".join(map(_word, value))
    return value if isinstance(value, str) else json.dumps(value)


def _made(kind: type[_Settings], values: Mapping[str, Any], where: str) -> _Settings:
    """Make a settings object of plain values, each checked against its field's type."""
    hints = get_type_hints(kind)
    _check_names(values, hints, where)
    found = {
        name: convert_value(value, hints[name], name=f"{where}: {name}")
        for name, value in values.items()
    }
    try:
        return kind(**found)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from error


def setting_types(part: SweepPart) -> Fields:
    """The type of each setting; a run's name is text, whatever it looks like.

    Args:
        part: of a sweep; the settings of a run are those of "train".
    """
    if part == "certify":
        return Fields(get_type_hints(CertifySettings))
    if part == "measure":
        return Fields(get_type_hints(MeasureSettings))
    hints = {**get_type_hints(NetworkSettings), **get_type_hints(TrainingSettings)}
    return Fields({"name": str, "reuse": str, **hints})


def _check_names(values: Mapping[str, Any], known: Any, where: str) -> None:
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(str(name), sorted(known), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
            raise ConfigurationError(f"{where}: unknown setting {str(name)[:80]!r}; {hint}")
