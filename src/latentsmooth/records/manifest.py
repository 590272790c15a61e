"""What a certificate log was made from, and when two runs may share one log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from latentsmooth.certification.deductions import Deductions

__all__ = ["FORMAT", "SCHEMA_VERSION", "Manifest", "differences"]

FORMAT: Final = "latentsmooth-certificates"
SCHEMA_VERSION: Final = 4

_IDENTITY: Final = (
    "artifact_hash",
    "data_hash",
    "data_split",
    "latent_sigma",
    "n_select",
    "n_estimate",
    "alpha",
    "rule",
    "seed",
    "noise",
    "lattice_step",
    "lipschitz_bound",
    "deductions",
    "encoder_precision",
    "folding",
    "precision",
    "executor",
    "device_type",
)
_IDENTITY_VERSIONS: Final = ("latentsmooth", "torch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The first line of a certificate log: everything its certificates depend on.

    Attributes:
        artifact_hash: sha256 of the saved classifier (weights and configuration).
        model_name: the classifier as the user named it (folder or hub name).
        model_build: the named build, e.g. ``"lsrs-haar"``.
        data_source: the data as the user named it, e.g. ``"cifar10"``.
        data_split: the split, e.g. ``"test"``.
        data_hash: sha256 of the data's content.
        data_selection: of how many images (``of``) every ``stride``-th and then the first
            ``limit`` (0: all) were asked for by the run that began the log; empty where unknown.
        data_notes: what a reader of the results should know of how the data were read.
        class_names: one name a class, in label order; empty where unknown.
        latent_sigma: standard deviation of the noise in the latent space.
        n_select: samples that choose the candidate class.
        n_estimate: samples that bound its probability (the most, where runs stop early).
        alpha: probability that one certificate is wrong.
        rule: the stopping rule's settings, ``"rule"`` among them its name.
        seed: key of the noise.
        noise: the definition of the noise generator, its grade among it.
        lattice_step: of the grid on which latents and noise lie; 0 where there was none.
        lipschitz_bound: the encoder's verified bound, l2 to l2, that every radius is divided by.
        deductions: what rounding and the noise took off every radius.
        rounding_assumed: modules of the encoder whose rounding is a user's statement, not derived.
        encoder_precision: dtype the encoder runs in, ``"float64"`` or ``"float32"``.
        folding: what of the head moved into the encoder; empty where nothing did.
        precision: dtype the head runs in, e.g. ``"float32"``.
        executor: how the head runs, ``"eager"`` or ``"compiled"``.
        batch_size: noisy latents a head call.
        device_type: e.g. ``"cpu"`` or ``"cuda"``.
        versions: version by package; holds at least ``latentsmooth`` and ``torch``.
        machine: facts about the machine (platform, processor, cores).
        command: the command line that began the log.
        created: ISO 8601 time the log was begun.
    """

    artifact_hash: str
    model_name: str
    model_build: str
    data_source: str
    data_split: str
    data_hash: str
    data_selection: Mapping[str, int]
    data_notes: tuple[str, ...]
    class_names: tuple[str, ...]
    latent_sigma: float
    n_select: int
    n_estimate: int
    alpha: float
    rule: Mapping[str, str | int | float]
    seed: int
    noise: str
    lattice_step: float
    lipschitz_bound: float
    deductions: Deductions
    rounding_assumed: tuple[str, ...]
    encoder_precision: str
    folding: str
    precision: str
    executor: str
    batch_size: int
    device_type: str
    versions: Mapping[str, str]
    machine: Mapping[str, str | int]
    command: str
    created: str


def differences(ours: Manifest, theirs: Manifest) -> list[tuple[str, object, object]]:
    """List ``(field, ours, theirs)`` wherever two manifests would give other certificates.

    The command, the machine, the time, the batch size, the names of model and data, and how many
    images are asked for do not count: the same weights, data, noise and arithmetic do.
    """
    pairs: list[tuple[str, object, object]] = [
        (name, getattr(ours, name), getattr(theirs, name)) for name in _IDENTITY
    ]
    pairs += [
        (f"versions.{name}", ours.versions.get(name), theirs.versions.get(name))
        for name in _IDENTITY_VERSIONS
    ]
    return [pair for pair in pairs if pair[1] != pair[2]]
