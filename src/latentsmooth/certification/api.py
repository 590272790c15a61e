"""certify and predict: a whole tensor of images in one call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from typing_extensions import Unpack

from latentsmooth.certification.bounds import whole
from latentsmooth.certification.certificate import Certificate, Prediction
from latentsmooth.certification.engine import Certifier, EngineOptions
from latentsmooth.certification.jobs import LabelledTensor
from latentsmooth.certification.preparation import SmoothedClassifier
from latentsmooth.certification.rules import FixedRule, Rule
from latentsmooth.errors import ConfigurationError, DataError, ShapeError
from latentsmooth.images import fit_images

__all__ = ["certify", "choose_rule", "predict"]


def certify(
    classifier: SmoothedClassifier,
    images: Tensor | Any,
    *,
    rule: Rule | None = None,
    n_select: int | None = None,
    n_estimate: int | None = None,
    alpha: float | None = None,
    indices: Sequence[int] | None = None,
    labels: Sequence[int | None] | None = None,
    **engine: Unpack[EngineOptions],
) -> list[Certificate]:
    """Certify images.

    Args:
        classifier: encoder, head and ``latent_sigma``.
        images: ``(batch, channels, height, width)`` float, pixels in [0, 1]; or a set of images,
            or any data set that `ImageSet.from_dataset` takes, with indices and labels of its own.
        rule: says when an image has enough votes; in place of the three numbers below.
        n_select: samples that choose each candidate class (default 100).
        n_estimate: fresh samples that bound its probability (default 100,000).
        alpha: probability that one certificate is wrong (default 0.001).
        indices: the images' positions in their data set (default 0, 1, ...).
        labels: their true classes, where known.
        engine: how the engine runs, e.g. ``seed`` and ``precision``; see `Certifier`.

    Returns:
        One certificate an image, in order.

    Raises:
        ConfigurationError: where both a rule and a number of draws are given.
        ShapeError: where images, indices and labels do not fit.
    """
    chosen = choose_rule(rule, n_select=n_select, n_estimate=n_estimate, alpha=alpha)
    items = _items(classifier, images, indices, labels)
    workload = len(images) * (chosen.n_select + chosen.n_max)
    return list(Certifier(classifier, workload=workload, **engine).certify(items, chosen))


def predict(
    classifier: SmoothedClassifier,
    images: Tensor | Any,
    *,
    n_samples: int = 1000,
    alpha: float = 1e-3,
    indices: Sequence[int] | None = None,
    **engine: Unpack[EngineOptions],
) -> list[Prediction]:
    """Predict the smoothed classifier's answers, abstaining where the vote is too close.

    Args: as `certify`, with ``n_samples`` votes an image.

    Returns:
        One prediction an image, in order.
    """
    items = _items(classifier, images, indices, None)
    n_samples = whole("n_samples", n_samples, at_least=1)
    certifier = Certifier(classifier, workload=len(images) * n_samples, **engine)
    return list(certifier.predict(items, n_samples=n_samples, alpha=alpha))


def choose_rule(
    rule: Rule | None, *, n_select: int | None, n_estimate: int | None, alpha: float | None
) -> Rule:
    """Return the rule, or the fixed one of these numbers.

    Raises:
        ConfigurationError: where both are given.
    """
    numbers = {"n_select": n_select, "n_estimate": n_estimate, "alpha": alpha}
    given = [name for name, number in numbers.items() if number is not None]
    if rule is not None:
        if given:
            raise ConfigurationError(f"the rule has its own {given[0]}; give one or the other")
        return rule
    return FixedRule(
        n_select=100 if n_select is None else n_select,
        n_estimate=100_000 if n_estimate is None else n_estimate,
        alpha=1e-3 if alpha is None else alpha,
    )


def _items(
    classifier: SmoothedClassifier,
    images: Tensor | Any,
    indices: Sequence[int] | None,
    labels: Sequence[int | None] | None,
) -> Iterator[LabelledTensor]:
    if hasattr(images, "__getitem__") and not isinstance(images, (Tensor, np.ndarray, list, tuple)):
        if indices is not None or labels is not None:
            raise ConfigurationError("a data set has indices and labels of its own; give no others")
        return _items_of_set(classifier, images)
    if not isinstance(images, Tensor):
        raise DataError(
            f"expected images as a torch tensor or a data set, got {type(images).__name__}"
        )
    if images.ndim != 4:
        raise ShapeError(
            f"expected images of shape (batch, channels, height, width), got {tuple(images.shape)}"
        )
    places = range(len(images)) if indices is None else indices
    given: Sequence[int | None] = [None] * len(images) if labels is None else labels
    # A negative label is how image sets say that none is known.
    classes = [None if label is None or int(label) < 0 else int(label) for label in given]
    if len(places) != len(images) or len(classes) != len(images):
        raise ShapeError(
            f"expected {len(images)} indices and labels, got {len(places)} and {len(classes)}"
        )
    return (
        LabelledTensor(image=image, index=int(place), label=label)
        for image, place, label in zip(images, places, classes, strict=True)
    )


def _items_of_set(classifier: SmoothedClassifier, images: Any) -> Iterator[LabelledTensor]:
    """Images of a data set as the classifier takes them, decoded one by one."""
    fitted = fit_images(
        images, image_shape=classifier.image_shape, class_names=classifier.class_names
    )
    return (
        LabelledTensor(image=item.image, index=item.index, label=item.label, name=item.record_name)
        for item in fitted
    )
