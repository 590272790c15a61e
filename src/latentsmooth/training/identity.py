"""What makes a run this run, and whether model and images belong together."""

from __future__ import annotations

import hashlib
import inspect
from typing import Any

import torch

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.models.families import BUILDS
from latentsmooth.training.average import state_tensors
from latentsmooth.training.interfaces import LabelledImages
from latentsmooth.training.objectives import objective_options
from latentsmooth.training.settings import TrainingSettings

__all__ = ["check_images", "describe_images", "run_identity"]


def check_images(model: LatentSmoothedClassifier, images: LabelledImages) -> None:
    """Raise `ShapeError` or `ConfigurationError` unless the images fit the model."""
    if tuple(images.image_shape) != tuple(model.image_shape):
        raise ShapeError(
            f"{images.source}: images are {tuple(images.image_shape)}, "
            f"the model takes {tuple(model.image_shape)}"
        )
    if len(images.class_names) != len(model.class_names):
        raise ConfigurationError(
            f"{images.source} has {len(images.class_names)} classes, "
            f"the model has {len(model.class_names)}"
        )


def describe_images(images: LabelledImages) -> dict[str, Any]:
    """Return source, fingerprint, number and selection (a hash of the indices) of the images."""
    indices = torch.as_tensor(images.indices, dtype=torch.int64).numpy()
    return {
        "source": images.source,
        "fingerprint": images.fingerprint,
        "images": len(images),
        "selection": hashlib.sha256(indices.tobytes()).hexdigest()[:16],
    }


def run_identity(
    model: LatentSmoothedClassifier,
    settings: TrainingSettings,
    *,
    data: dict[str, Any],
    validation: dict[str, Any] | None,
    precision: str,
    processes: int,
    teacher: str | None = None,
) -> dict[str, Any]:
    """Return everything that decides a run's result but the initial weights, JSON-able.

    Args:
        model: enters by its build, its noise and its weights' names and shapes.
        settings: enters whole.
        data: the training images, by `describe_images`.
        validation: the validation images, likewise.
        precision: "bfloat16" or "float32".
        processes: how many train together.
        teacher: fingerprint of the classifier that the objective learns from, if any.
    """
    identity = {
        "settings": _deciding(settings),
        "data": data,
        "validation": validation,
        "latent_sigma": model.latent_sigma,
        "precision": precision,
        "processes": processes,
        "weights": {name: list(value.shape) for name, value in state_tensors(model).items()},
    }
    if model.build is not None:
        identity["build"] = _made(model.build)
    return identity if teacher is None else {**identity, "teacher": teacher}


def _made(build: dict[str, Any]) -> dict[str, Any]:
    """Return a build's name and what its options change; the weights tell the width.

    Options may change what the weights do and leave their shapes alone, as a low-pass does.
    """
    entry = BUILDS.get(build["name"])
    usual = inspect.signature(entry.make).parameters if entry is not None else {}
    options = {
        name: value
        for name, value in build["options"].items()
        if name not in usual or value != usual[name].default
    }
    return {"name": build["name"], "options": options}


def _deciding(settings: TrainingSettings) -> dict[str, Any]:
    """Return the settings as they decide a run: all options, but no later field left alone.

    A field that came after the first runs were made is left out at its default, so that those
    runs are still recognised.
    """
    values = settings.to_json()
    del values["teacher"]  # which counts by what it is, not by where it lies
    options = objective_options(settings.objective, settings.objective_options)
    plain = settings.objective == "gaussian" and options == objective_options("gaussian", {})
    values["objective_options"] = {} if plain else options
    return {
        name: value for name, value in values.items() if name not in _LATER or value != _LATER[name]
    }


_LATER: dict[str, Any] = {"objective_options": {}}
