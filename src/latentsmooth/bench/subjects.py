"""The classifiers that a comparison is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.models import LatentSmoothedClassifier, build, list_builds
from latentsmooth.orthogonal import Center

__all__ = ["Subject", "load_subjects", "parse_build"]

DEFAULT_SHAPE = (3, 32, 32)
DEFAULT_CLASSES = 10
DEFAULT_SIGMA = 0.25
_BUILD = re.compile(r"(?P<name>[\w-]+)(@(?P<width>\d*\.?\d+))?(:(?P<options>\w+=\d+(,\w+=\d+)*))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A classifier under comparison.

    Attributes:
        label: its build as written, or its folder's last name.
        model: on its device.
        trained: whether its weights were loaded rather than drawn.
    """

    label: str
    model: LatentSmoothedClassifier
    trained: bool

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        tensors = (*self.model.head.parameters(), *self.model.encoder.parameters())
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    @property
    def is_input_space(self) -> bool:
        """Whether noise on the latent is noise on the pixels (ISRS): the encoder only shifts."""
        leaves = [part for part in self.model.encoder.modules() if not list(part.children())]
        return all(isinstance(part, (Center, nn.Identity, nn.Sequential)) for part in leaves)


def parse_build(text: str) -> tuple[str, float, dict[str, int]] | None:
    """Take ``NAME[@WIDTH][:OPTION=INTEGER,...]`` apart; ``None`` for what is no build.

    Raises:
        ConfigurationError: for a build whose width or options cannot be read.

    Example:
        >>> parse_build("lsrs-partial@0.25:folded=1")
        ('lsrs-partial', 0.25, {'folded': 1})
        >>> parse_build("runs/haar") is None
        True
    """
    if re.split("[@:]", text)[0] not in list_builds():
        return None
    found = _BUILD.fullmatch(text)
    if found is None:
        raise ConfigurationError(
            f"wanted NAME, NAME@WIDTH or NAME@WIDTH:OPTION=INTEGER,..., got {text!r}"
        )
    pairs = [word.split("=") for word in (found["options"] or "").split(",") if word]
    options = {name: int(value) for name, value in pairs}
    return found["name"], float(found["width"] or 1.0), options


def load_subjects(
    names: Sequence[str],
    *,
    device: torch.device,
    image_shape: Sequence[int] | None = None,
    latent_sigma: float | None = None,
) -> list[Subject]:
    """Load saved classifiers and make builds with random weights, all for images of one shape.

    Args:
        names: model folders, hub ids, or builds as `parse_build` reads them.
        device: where they go.
        image_shape: of the builds; the saved classifiers' by default, else 3x32x32.
        latent_sigma: of the builds; the first saved classifier's by default, else 0.25.

    Raises:
        ConfigurationError: for no name, or one given twice.
        ShapeError: where two classifiers take images of different shapes.
    """
    if not names:
        raise ConfigurationError("wanted at least 1 model, got none")
    _check_names(names)
    parsed = {name: None if Path(name).is_dir() else parse_build(name) for name in names}
    saved = {
        name: LatentSmoothedClassifier.from_pretrained(name)
        for name, spec in parsed.items()
        if spec is None
    }
    first = next(iter(saved.values()), None)
    if image_shape is None:
        image_shape = first.image_shape if first else DEFAULT_SHAPE
    if latent_sigma is None:
        latent_sigma = first.latent_sigma if first else DEFAULT_SIGMA
    subjects = []
    for name, spec in parsed.items():
        model = saved.get(name)
        if model is None and spec is not None:
            build_name, width, options = spec
            model = build(
                build_name,
                num_classes=len(first.class_names) if first else DEFAULT_CLASSES,
                image_shape=image_shape,
                latent_sigma=latent_sigma,
                width=width,
                class_names=first.class_names if first else None,
                **options,
            )
        if model is None:
            continue
        label = name if spec is not None else Path(name).resolve().name
        subjects.append(Subject(label=label, model=model.eval().to(device), trained=spec is None))
    _check(subjects)
    return subjects


def _check_names(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(f"wanted models of different names, got {twice[0]!r} twice")


def _check(subjects: Sequence[Subject]) -> None:
    _check_names([subject.label for subject in subjects])
    shapes = {subject.model.image_shape: subject.label for subject in subjects}
    if len(shapes) > 1:
        told = ", ".join(f"{label} {shape}" for shape, label in shapes.items())
        raise ShapeError(f"expected models of one image shape, got {told}")
