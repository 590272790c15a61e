"""Certify a set of images into a log, resuming where an earlier run was stopped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol, cast

from typing_extensions import Unpack

from latentsmooth.certification import (
    Certificate,
    Certifier,
    EngineOptions,
    LabelledTensor,
    Rule,
    choose_rule,
)
from latentsmooth.certification.encoding import EncoderPrecision
from latentsmooth.images import ImageSet, UnknownClasses, fit_images
from latentsmooth.machine import Precision, describe_machine
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.records.environment import package_versions
from latentsmooth.records.log import CertificateLog, manifest_of
from latentsmooth.records.manifest import Manifest
from latentsmooth.smoothing import NOISE_DEFINITIONS, Executor

__all__ = ["certify_to_log", "engine_options", "fitted_images"]


class OnCertificate(Protocol):
    """Told of each image as it is certified, or found in the log."""

    def __call__(self, made: Certificate, done: int, total: int, *, resumed: bool) -> None:
        """Take the certificate, the images done, all images, and whether it was there before."""


def certify_to_log(
    classifier: LatentSmoothedClassifier,
    images: ImageSet | Any,
    path: str | Path,
    *,
    rule: Rule | None = None,
    n_select: int | None = None,
    n_estimate: int | None = None,
    alpha: float | None = None,
    unknown_classes: UnknownClasses = "refuse",
    model_name: str = "",
    command: str = "",
    on_certificate: OnCertificate | None = None,
    **engine: Unpack[EngineOptions],
) -> list[Certificate]:
    """Certify every image that the log does not hold yet, writing each as it is done.

    Several images are in flight at a time, but the log is written in the images' order. Killed
    and called again, it ends with the file of an uninterrupted run, timings aside. Where the
    executor is ``auto``, or no batch size is given, a log already begun decides.

    Args:
        classifier: the classifier.
        images: images of its height and width, or any data set that `ImageSet.from_dataset`
            takes; gray and colour are converted, classes matched by name. An image's index keys
            its noise.
        path: the log, made or resumed.
        rule: says when an image has enough votes; in place of the three numbers below.
        n_select: samples that choose each candidate class (default 100).
        n_estimate: fresh samples that bound its probability (default 100,000).
        alpha: probability that one certificate is wrong (default 0.001).
        unknown_classes: whether images of classes that the classifier does not know are refused,
            or count as unlabelled.
        model_name: what to call the classifier in the manifest.
        command: the command line, for the manifest.
        on_certificate: told of each image; for a progress bar.
        engine: how the engine runs, e.g. ``seed`` and ``precision``; see `Certifier`.

    Returns:
        The certificates of ``images``, in their order.

    Raises:
        ShapeError: where the images are not of the classifier's height and width.
        ConfigurationError: where a class is none of the classifier's, or none is.
        LogError: where the log belongs to another manifest or cannot be written.
    """
    images = fitted_images(classifier, images, unknown_classes)
    chosen = choose_rule(rule, n_select=n_select, n_estimate=n_estimate, alpha=alpha)
    indices = images.indices
    begun = manifest_of(path)
    if begun is not None and engine.get("executor") == "auto":
        engine["executor"] = "compiled" if begun.executor == "compiled" else "eager"
    if begun is not None and engine.get("batch_size") is None and begun.batch_size:
        engine["batch_size"] = begun.batch_size
    most = len(indices) * (chosen.n_select + chosen.n_max)
    certifier = Certifier(classifier, workload=most, **engine)
    manifest = Manifest(
        artifact_hash=classifier.fingerprint,
        model_name=model_name,
        model_build=str(classifier.build["name"]) if classifier.build else "custom",
        data_source=images.source,
        data_split=images.split,
        data_hash=images.fingerprint,
        data_selection=images.selection,
        data_notes=images.notes,
        class_names=classifier.class_names,
        latent_sigma=classifier.latent_sigma,
        n_select=chosen.n_select,
        n_estimate=chosen.n_max,
        alpha=chosen.alpha,
        rule=chosen.settings(),
        seed=certifier.seed,
        noise=NOISE_DEFINITIONS[certifier.noise],
        lattice_step=certifier.prepared.lattice.step,
        lipschitz_bound=certifier.lipschitz_bound,
        deductions=certifier.deductions,
        rounding_assumed=certifier.prepared.assumed,
        encoder_precision=str(certifier.prepared.encoder_dtype).removeprefix("torch."),
        folding=certifier.folding,
        precision=certifier.precision,
        executor=certifier.executor,
        batch_size=certifier.batch_size,
        device_type=certifier.device.type,
        versions=package_versions(),
        machine=describe_machine(certifier.device),
        command=command,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )

    def missing() -> Iterator[LabelledTensor]:
        for position, index in enumerate(indices):
            if index not in log.done:
                item = images[position]
                yield LabelledTensor(
                    image=item.image, index=item.index, label=item.label, name=item.record_name
                )

    made = certifier.certify(missing(), chosen)
    with CertificateLog.open(path, manifest) as log:
        for position, index in enumerate(indices):
            resumed = index in log.done
            if not resumed:
                log.append(next(made))
            if on_certificate is not None:
                on_certificate(log.certificates[index], position + 1, len(indices), resumed=resumed)
        return [log.certificates[index] for index in indices]


def engine_options(manifest: Manifest) -> EngineOptions:
    """How the engine ran that made a log, its seed left out: what a certificate is about."""
    options: EngineOptions = {
        "precision": cast(Precision, manifest.precision),
        "executor": cast(Executor, manifest.executor),
        "folds": bool(manifest.folding),
        "encoder_precision": cast(EncoderPrecision, manifest.encoder_precision),
        "noise": "exact" if manifest.noise == NOISE_DEFINITIONS["exact"] else "fast",
    }
    if manifest.batch_size:
        options["batch_size"] = manifest.batch_size
    return options


def fitted_images(
    classifier: LatentSmoothedClassifier, images: Any, unknown: UnknownClasses = "refuse"
) -> ImageSet:
    """The images as the classifier takes them; see `latentsmooth.images.fit_images`.

    That they are those it was trained on is said, and noted.
    """
    fitted = fit_images(
        images,
        image_shape=classifier.image_shape,
        class_names=classifier.class_names,
        unknown=unknown,
    )
    trained_on = classifier.training_summary.get("data")
    if isinstance(trained_on, dict) and trained_on.get("fingerprint") == fitted.fingerprint:
        return fitted.noting(
            "the classifier was trained on these very images: its accuracy on them says little "
            "of others"
        )
    return fitted
