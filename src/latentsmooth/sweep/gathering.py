"""A run with all its certificates, as a point of the frontier."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from latentsmooth.bench import Subject
from latentsmooth.errors import ConfigurationError, LogError
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.records import Manifest, read_any_log
from latentsmooth.records.rounding import floor_text
from latentsmooth.records.run import engine_options
from latentsmooth.reporting import summarize
from latentsmooth.sweep.certifying import LOG_FILE, Certified
from latentsmooth.sweep.cost import Arithmetic, seconds_an_image
from latentsmooth.sweep.plan import SweepRun, check_name
from latentsmooth.sweep.points import FrontierPoint, Kind
from latentsmooth.sweep.result import FRONTIER_FILE

__all__ = ["Done", "at_radii", "engine_identity", "kind_of", "point_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A run with all its certificates.

    Attributes:
        run: what was asked for.
        model: its classifier, on the CPU.
        certified: its log.
        arithmetic: its work for an image.
    """

    run: SweepRun
    model: LatentSmoothedClassifier
    certified: Certified
    arithmetic: Arithmetic


def kind_of(model: LatentSmoothedClassifier) -> Kind:
    """Return ``ISRS`` where the encoder only shifts pixels, so that noise is on them; else LSRS."""
    isrs = Subject(label="", model=model, trained=True).is_input_space
    return "ISRS" if isrs else "LSRS"


def engine_identity(manifest: Manifest) -> dict[str, Any]:
    """Return the classifier and the engine that a log, and so its timing, is about."""
    return {"artifact_hash": manifest.artifact_hash, **engine_options(manifest)}


def point_of(done: Done, input_radii: tuple[float, ...], turns: Sequence[float]) -> FrontierPoint:
    """Return a run as a point, its seconds the median turn's or, without turns, its log's."""
    manifest = done.certified.manifest
    summary = summarize(done.certified.view(done.run.name), input_radii=input_radii)
    samples, logged = summary.samples_per_image, summary.seconds_per_image
    if not summary.n_labelled or not samples or not logged:
        raise ConfigurationError(f"{done.run.name}: wanted images with labels, got none")
    acr = summary.average_certified_radius or Fraction(0)
    build = done.model.build or {}
    training = done.model.training_summary
    settings = training.get("settings")
    settings = _scalars(settings) if isinstance(settings, Mapping) else {}
    return FrontierPoint(
        name=done.run.name,
        kind=kind_of(done.model),
        images=summary.n_labelled,
        input_radii=input_radii,
        n_certified=summary.n_certified,
        seconds=seconds_an_image(turns, samples) if turns else logged,
        flops=done.arithmetic.flops(samples),
        samples=samples,
        build=str(build.get("name", "custom")),
        width=build.get("width"),
        latent_sigma=manifest.latent_sigma,
        artifact_hash=manifest.artifact_hash,
        details={
            "build_options": build.get("options", {}),
            "reuse": done.run.reuse,
            "objective": settings.get("objective"),
            "epochs": settings.get("epochs"),
            "training_settings": settings,
            **{
                f"training_{name}": value
                for name, value in _scalars(training).items()
                if name in ("seconds", "images_per_second", "precision", "command")
            },
            "average_certified_radius": float(floor_text(acr, 6)),
            "abstained": summary.n_abstained,
            "seconds_measured": bool(turns),
            "seconds_rounds": [seconds_an_image([turn], samples) for turn in turns],
            "seconds_log": logged,
            **done.arithmetic.to_json(),
            "lipschitz_bound": manifest.lipschitz_bound,
            "folding": manifest.folding,
            **{name: value for name, value in engine_identity(manifest).items() if name != "folds"},
            "log": f"{done.run.name}/{LOG_FILE}",
        },
    )


def _scalars(values: Mapping[str, Any]) -> dict[str, Any]:
    """What of a saved classifier's own account is plain: it may come from anyone."""
    kept = {}
    for name, value in values.items():
        each = value if isinstance(value, (list, tuple)) else [value]
        plain = all(isinstance(one, (str, int, float, type(None))) for one in each)
        if plain and all(math.isfinite(one) for one in each if isinstance(one, float)):
            kept[str(name)] = value
    return kept


def at_radii(point: FrontierPoint, radii: tuple[float, ...], folder: Path) -> FrontierPoint:
    """Return a point at other radii, counted in its log where it has no figure there yet."""
    if set(radii) <= set(point.input_radii):
        counts = tuple(point.count(radius) for radius in radii)
        return replace(point, input_radii=radii, n_certified=counts)
    check_name(point.name)  # which is about to be a folder's
    path = folder / point.name / LOG_FILE
    view = read_any_log(path, name=point.name)
    if view.manifest is None or view.manifest.artifact_hash != point.artifact_hash:
        raise LogError(f"{path} is not of the classifier that {FRONTIER_FILE} tells of")
    summary = summarize(view, input_radii=radii)
    if summary.n_labelled != point.images:
        raise LogError(f"{path} holds {summary.n_labelled} labelled images, not {point.images}")
    return replace(point, input_radii=radii, n_certified=summary.n_certified)
