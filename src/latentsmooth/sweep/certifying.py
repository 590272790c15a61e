"""A run's certificates: of the same images as every other run's, in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch

from latentsmooth.certification import Certificate
from latentsmooth.errors import ConfigurationError, LogError
from latentsmooth.files import is_file
from latentsmooth.images import ImageSet
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.records import LogView, Manifest, certify_to_log, fitted_images, read_log
from latentsmooth.records.run import OnCertificate
from latentsmooth.sweep.plan import CertifySettings

__all__ = ["LOG_FILE", "Certified", "certify_run", "device_of", "found_certificates", "place"]

LOG_FILE = "certificates.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """A run's log, once it holds every image.

    Attributes:
        manifest: what it was made from.
        certificates: in the images' order.
    """

    manifest: Manifest
    certificates: tuple[Certificate, ...]

    def view(self, name: str) -> LogView:
        """The same as reports take it."""
        return LogView(name=name, manifest=self.manifest, certificates=self.certificates)


def certify_run(
    model: LatentSmoothedClassifier,
    images: ImageSet,
    folder: Path,
    *,
    name: str,
    settings: CertifySettings,
    command: str,
    bar: AbstractContextManager[OnCertificate | None],
) -> Certified:
    """Certify what the run's log does not hold yet.

    Args:
        model: the classifier, on any device.
        images: the sweep's.
        folder: the run's.
        name: what the log calls the classifier.
        settings: the sweep's.
        command: the command line, for the manifest.
        bar: yields what is told of each certificate.

    Raises:
        LogError: the log is of other images, another classifier or other settings.
    """
    path = folder / LOG_FILE
    images = fitted_images(model, images)
    _check_images(path, images)
    with bar as on_certificate:
        certificates = certify_to_log(
            place(model, settings.device),
            images,
            path,
            rule=settings.stopping_rule(),
            model_name=name,
            command=command,
            on_certificate=on_certificate,
            **settings.engine(),
        )
    return Certified(manifest=read_log(path)[0], certificates=(*certificates,))


def found_certificates(
    model: LatentSmoothedClassifier, images: ImageSet, folder: Path, settings: CertifySettings
) -> Certified | None:
    """Return a log that is whole as it is, or ``None``.

    Raises:
        LogError: it is of other images, another classifier or other settings.
    """
    path = folder / LOG_FILE
    if not is_file(path):
        return None
    images = fitted_images(model, images)
    _check_images(path, images)
    manifest, certificates = read_log(path)
    pairs = {
        "classifier": (manifest.artifact_hash, model.fingerprint),
        "rule": (dict(manifest.rule), settings.stopping_rule().settings()),
        "seed": (manifest.seed, settings.seed),
    }
    for what, (there, here) in pairs.items():
        if there != here:
            raise LogError(f"{path}: {what} is {there} there, {here} here")
    held = {each.index: each for each in certificates}
    if not all(index in held for index in images.indices):
        return None
    chosen = tuple(held[index] for index in images.indices)
    return Certified(manifest=manifest, certificates=chosen)


def device_of(name: str) -> torch.device:
    """Return a device by its name; ``auto`` is a GPU where there is one.

    Raises:
        ConfigurationError: nothing is called so.
    """
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    try:
        return torch.device(chosen)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(f"unknown device {name!r}: {reason}") from error


def place(model: LatentSmoothedClassifier, device: str) -> LatentSmoothedClassifier:
    """Move a classifier onto a device.

    Raises:
        ConfigurationError: there is no such device.
    """
    try:
        return model.to(device_of(device))
    except (RuntimeError, AssertionError, ImportError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(f"cannot use device {device!r}: {reason}") from error


def _check_images(path: Path, images: ImageSet) -> None:
    """Raise where a log that is there holds, or is about, other images than the sweep's."""
    if not is_file(path):
        return
    try:
        manifest, certificates = read_log(path)
    except LogError:
        return  # torn in its first line, or worse: what opens it to write knows
    there, here = (manifest.data_hash, manifest.data_split), (images.fingerprint, images.split)
    if there != here:
        raise LogError(
            f"{path} is about other images: {manifest.data_source}, split {manifest.data_split}; "
            f"wanted {images.source}, split {images.split}, as it is now"
        )
    other = sorted({each.index for each in certificates} - set(images.indices))
    if other:
        raise LogError(
            f"{path} holds certificates of {len(other)} images that stride and limit leave out "
            f"({_some(other)}); wanted the {len(images)} of this sweep, for every run"
        )


def _some(indices: Sequence[int]) -> str:
    shown = ", ".join(map(str, indices[:3]))
    return f"image {shown}, …" if len(indices) > 3 else f"image {shown}"
