"""Attack a certificate log, resuming where an earlier attack was stopped."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from latentsmooth.attacks.falsify import (
    answer_alpha,
    attack_program,
    check_targets,
    images_together,
)
from latentsmooth.attacks.result import (
    MAX_BYTES,
    AttackedCertificate,
    AttackReport,
    images_from_json,
)
from latentsmooth.attacks.settings import AttackSettings, Target
from latentsmooth.certification import Certificate, Certifier, EngineOptions
from latentsmooth.certification.bounds import whole
from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.files import write_whole
from latentsmooth.images import ImageSet
from latentsmooth.machine import describe_machine
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.records import Manifest, fitted_images, log_name, package_versions, read_log
from latentsmooth.records.run import engine_options
from latentsmooth.smoothing import NOISE_DEFINITIONS

__all__ = ["attack_log", "check_belongs"]

OnImages = Callable[[Sequence[AttackedCertificate], int], None]
"""Called with the images attacked so far, and how many there are to be."""


def attack_log(
    path: str | Path,
    classifier: LatentSmoothedClassifier,
    images: ImageSet | Any,
    settings: AttackSettings | None = None,
    *,
    limit: int | None = 200,
    stride: int = 1,
    output: str | Path | None = None,
    command: str = "",
    on_images: OnImages | None = None,
) -> AttackReport:
    """Try to falsify the certificates of a log.

    Those with a class and a positive radius are attacked, in the log's order. The program answers
    as it did for the log, save for its seed.

    Args:
        path: the log.
        classifier: the one that the log was made with, on the same kind of device.
        images: the data that it was made from: the whole split.
        settings: how hard to try.
        limit: certificates to attack; ``None`` for all.
        stride: every so manieth, before the limit.
        output: a JSON file, written as batches are done; one that is there is continued.
        command: the command line, for the report.
        on_images: told of progress.

    Raises:
        LogError: where the log cannot be read.
        ConfigurationError: where log, classifier, data and output do not belong together, or no
            certificate can be attacked.
    """
    chosen = settings or AttackSettings()
    manifest, certificates = read_log(path)
    # Labels are the log's own.
    images = fitted_images(classifier, images, "unlabelled")
    check_belongs(manifest, classifier, images)
    targets = _targets(certificates, images, limit=limit, stride=stride)
    check_targets(targets, num_classes=len(classifier.class_names))
    seed = chosen.seed if chosen.seed != manifest.seed else chosen.seed + 1
    options: EngineOptions = {**engine_options(manifest), "seed": seed}
    certifier = Certifier(classifier, **options)
    report = _begin(path, manifest, certifier, chosen, targets)
    report = dataclasses.replace(
        report,
        settings={**report.settings, "images": limit, "stride": stride},
        command=command,
    )
    report = _resumed(report, output, targets)
    batches = attack_program(
        certifier,
        targets[len(report.images) :],
        chosen,
        n_estimate=manifest.n_estimate,
        alpha=manifest.alpha,
        total=len(targets),
    )
    for batch in batches:
        report = dataclasses.replace(report, images=(*report.images, *batch))
        _write(output, report)
        if on_images is not None:
            on_images(report.images, len(targets))
    _write(output, report)
    return report


def check_belongs(
    manifest: Manifest, classifier: LatentSmoothedClassifier, images: ImageSet
) -> None:
    """Raise unless a log was made with this classifier from these images.

    Raises:
        ConfigurationError: naming what differs.
    """
    device = next((tensor.device.type for tensor in classifier.parameters()), "cpu")
    for what, theirs, ours in (
        ("classifier with hash", manifest.artifact_hash, classifier.fingerprint),
        ("split", manifest.data_split, images.split),
        ("data with hash", manifest.data_hash, images.fingerprint),
        ("kind of device", manifest.device_type, device),
    ):
        if theirs != ours:
            raise ConfigurationError(
                f"the log was made with the {what} {theirs}, got {ours}: its certificates say "
                "nothing about that"
            )


def _targets(
    certificates: Sequence[Certificate], images: ImageSet, *, limit: int | None, stride: int
) -> list[Target]:
    stride = whole("stride", stride, at_least=1)
    if limit is not None:
        limit = whole("limit", limit, at_least=1)
    places = {index: place for place, index in enumerate(images.indices)}
    claims = [one for one in certificates if one.prediction is not None and one.input_radius > 0]
    targets = []
    for claim in claims[::stride][:limit]:
        if claim.index not in places:
            raise ConfigurationError(
                f"the log has a certificate of image {claim.index}, {images.source} has "
                f"{len(images)} images and not that one"
            )
        if claim.prediction is not None:
            targets.append(
                Target(
                    image=images[places[claim.index]].image,
                    index=claim.index,
                    label=claim.label,
                    prediction=claim.prediction,
                    input_radius=claim.input_radius,
                    name=claim.name,
                )
            )
    if not targets:
        raise ConfigurationError(
            f"wanted certificates with a radius above 0, got {len(certificates)} without"
        )
    return targets


def _begin(
    path: str | Path,
    manifest: Manifest,
    certifier: Certifier,
    settings: AttackSettings,
    targets: Sequence[Target],
) -> AttackReport:
    claims = json.dumps([[one.index, one.prediction, one.input_radius] for one in targets])
    each = answer_alpha(manifest.alpha, settings, targets=len(targets))
    return AttackReport(
        log={
            "name": log_name(path),
            "artifact_hash": manifest.artifact_hash,
            "data_hash": manifest.data_hash,
            "model_build": manifest.model_build,
            "latent_sigma": manifest.latent_sigma,
            "lipschitz_bound": manifest.lipschitz_bound,
            "noise_definition": manifest.noise,
            "lattice_step": manifest.lattice_step,
            "deductions": dataclasses.asdict(manifest.deductions),
            "rule": dict(manifest.rule),
            "alpha": manifest.alpha,
            "seed": manifest.seed,
            "claims_sha256": hashlib.sha256(claims.encode()).hexdigest(),
        },
        settings=dataclasses.asdict(settings),
        program={
            "seed": certifier.seed,
            "alpha": each,
            **engine_options(manifest),
            "lipschitz_bound": certifier.lipschitz_bound,
            "noise_definition": NOISE_DEFINITIONS[certifier.noise],
            "lattice_step": certifier.prepared.lattice.step,
            "deductions": dataclasses.asdict(certifier.deductions),
        },
        versions={"attack": package_versions(), "log": dict(manifest.versions)},
        machine=describe_machine(certifier.device),
        command="",
        images=(),
        planned=len(targets),
    )


def _resumed(
    report: AttackReport, output: str | Path | None, targets: Sequence[Target]
) -> AttackReport:
    """The report with the images that an earlier attack has finished, in whole batches."""
    if output is None or not Path(output).is_file():
        return report
    wanted: Mapping[str, Any] = {
        name: getattr(report, name) for name in ("log", "settings", "program", "versions")
    }
    try:
        with Path(output).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        images = images_from_json(content.decode("utf-8"), wanted)
    except (DataError, OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{output} is there and cannot be continued: {error}; name another file"
        ) from error
    if [one.index for one in images] != [one.index for one in targets[: len(images)]]:
        raise ConfigurationError(f"{output} is there and holds other images; name another file")
    together = images_together(AttackSettings(**_own(report.settings)))
    done = len(images) if len(images) == len(targets) else len(images) // together * together
    return dataclasses.replace(report, images=images[:done])


def _own(settings: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(AttackSettings)}
    return {name: value for name, value in settings.items() if name in names}


def _write(output: str | Path | None, report: AttackReport) -> None:
    if output is None:
        return
    try:
        write_whole(output, report.to_json())
    except OSError as error:
        raise ConfigurationError(f"cannot write {output}: {error.strerror}") from error
