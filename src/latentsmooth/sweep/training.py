"""A run's classifier: trained in its folder, taken up where it was left, or reused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from latentsmooth.certification import SequentialRule
from latentsmooth.certification.rules import (
    Radii,
    RadiusAtLeast,
    Setting,
    check_rule_certifies,
)
from latentsmooth.errors import ConfigurationError, DataError, LatentSmoothError
from latentsmooth.files import is_file
from latentsmooth.images import ImageSet, load_images
from latentsmooth.models import LatentSmoothedClassifier, build
from latentsmooth.models.artifact import CONFIG_FILE
from latentsmooth.sweep.plan import SweepPlan, SweepRun
from latentsmooth.training import train

__all__ = ["Shelf", "check_goal", "obtain"]


@dataclass
class Shelf:
    """Images by source and selection, read and decoded once for all runs.

    Args:
        image_size: of all of them.
    """

    image_size: int | None
    _sets: dict[tuple[str, str, int, int | None], ImageSet] = field(default_factory=dict)

    def take(
        self, source: str, split: str, *, stride: int = 1, limit: int | None = None
    ) -> ImageSet:
        """Return the images of a source and split, loading them the first time."""
        key = (source, split, stride, limit)
        if key not in self._sets:
            self._sets[key] = load_images(
                source, split=split, stride=stride, limit=limit, image_size=self.image_size
            )
        return self._sets[key]


def obtain(
    run: SweepRun,
    plan: SweepPlan,
    folder: Path,
    *,
    shelf: Shelf,
    may_train: bool,
    command: str,
    say: Callable[[str], None],
    progress: bool,
) -> LatentSmoothedClassifier | None:
    """Return the run's classifier on the CPU, or ``None`` where it would have to be trained.

    Args:
        run: what is wanted.
        plan: it is part of.
        folder: the run's own.
        shelf: of images.
        may_train: whether to train, or to take only what is there.
        command: the command line, for the classifier's records.
        say: told what happens.
        progress: whether to show a bar of the training.

    Raises:
        ConfigurationError: the folder holds another classifier or run.
    """
    if run.reuse is not None:
        return _reused(run.reuse)
    if not may_train:
        if not is_file(folder / CONFIG_FILE):
            return None
        model = LatentSmoothedClassifier.from_pretrained(folder)
        _check_same(run, model, folder)
        return model
    images = shelf.take(
        plan.data, run.network.split, stride=run.network.stride, limit=run.network.limit
    )
    known = "taking up what was trained" if is_file(folder / "summary.json") else "training"
    say(f"{run.name}: {known}, {run.training.epochs} epochs on {len(images):,} images")
    model = _built(run, images)
    summary = train(
        model,
        images,
        settings=run.training,
        output=folder,
        validation=_validation(run, plan, images, shelf, say),
        progress=progress,
    )
    model = model.cpu()
    if not _is_saved(folder, model):
        model.training_summary = {**summary.to_json(), "command": command}
        model.save_pretrained(folder)
    return model


def check_goal(run: SweepRun, plan: SweepPlan, *, shelf: Shelf) -> None:
    """Raise, before anything is trained, where a run's noise cannot prove the radius of the goal.

    An encoder's bound is that of its build: training moves it by no more than rounding.

    Raises:
        ConfigurationError: naming the run and what it takes.
    """
    rule = plan.certify.stopping_rule()
    goal = rule.goal if isinstance(rule, SequentialRule) else None
    if not isinstance(goal, (RadiusAtLeast, Radii)):
        return
    model = _untrained(run, plan, shelf) if run.reuse is None else _reused(run.reuse)
    setting = Setting(
        latent_sigma=model.latent_sigma,
        lipschitz_bound=model.lipschitz_bound,
        num_classes=len(model.class_names),
    )
    try:
        check_rule_certifies(rule, setting)
    except ConfigurationError as error:
        raise ConfigurationError(f"{run.name}: {error}") from error


def _reused(name: str) -> LatentSmoothedClassifier:
    return LatentSmoothedClassifier.from_pretrained(name)


def _untrained(run: SweepRun, plan: SweepPlan, shelf: Shelf) -> LatentSmoothedClassifier:
    network = run.network
    images = shelf.take(plan.data, network.split, stride=network.stride, limit=network.limit)
    return _built(run, images)


def _built(run: SweepRun, images: ImageSet) -> LatentSmoothedClassifier:
    with torch.random.fork_rng():
        torch.manual_seed(run.training.seed)
        return build(
            run.network.build,
            num_classes=len(images.class_names),
            image_shape=images.image_shape,
            latent_sigma=run.network.latent_sigma,
            width=run.network.width,
            class_names=images.class_names,
            **run.network.build_options,
        )


def _validation(
    run: SweepRun,
    plan: SweepPlan,
    images: ImageSet,
    shelf: Shelf,
    say: Callable[[str], None],
) -> ImageSet | None:
    if not run.network.validate:
        return None
    source = run.network.validation_data or plan.data
    try:
        found = shelf.take(source, run.network.validation_split)
    except (DataError, ConfigurationError) as error:
        if run.network.validation_data is not None:
            raise
        say(f"{run.name}: no validation: {error}")
        return None
    return None if found.fingerprint == images.fingerprint else found


def _is_saved(folder: Path, model: LatentSmoothedClassifier) -> bool:
    """Whether the folder holds the classifier already, whole."""
    if not is_file(folder / CONFIG_FILE):
        return False
    try:
        return LatentSmoothedClassifier.from_pretrained(folder).fingerprint == model.fingerprint
    except LatentSmoothError:  # a save that a kill came between
        return False


def _check_same(run: SweepRun, model: LatentSmoothedClassifier, folder: Path) -> None:
    wanted = {
        "name": run.network.build,
        "width": run.network.width,
        "options": dict(run.network.build_options),
    }
    if model.build != wanted or model.latent_sigma != run.network.latent_sigma:
        raise ConfigurationError(
            f"{folder} holds {model.build} at latent_sigma {model.latent_sigma:g}, run {run.name} "
            f"wants {wanted} at {run.network.latent_sigma:g}"
        )
    stated = model.training_summary.get("settings")
    there = stated if isinstance(stated, Mapping) else {}
    here = json.loads(json.dumps(run.training.to_json()))
    for name in sorted(set(there) & set(here) - _NOT_COMPARED):
        if there[name] != here[name]:
            raise ConfigurationError(
                f"{folder} was trained with {name} {there[name]!r:.80}, run {run.name} wants "
                f"{here[name]!r:.80}"
            )


_NOT_COMPARED = {"objective_options", "teacher"}
"""Settings that may be written in several ways, or name a place."""
