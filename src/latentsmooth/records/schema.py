"""The lines of a certificate log: manifests and certificates to JSON and back, checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, get_args

from latentsmooth.certification.certificate import Certificate
from latentsmooth.certification.encoding import EncoderPrecision
from latentsmooth.certification.rules import rule_from_settings
from latentsmooth.errors import ConfigurationError, LogError
from latentsmooth.machine import ResolvedPrecision
from latentsmooth.models.strict_json import strict_json
from latentsmooth.records.consistency import check_certificate, check_deductions
from latentsmooth.records.fields import LineFields
from latentsmooth.records.manifest import FORMAT, SCHEMA_VERSION, Manifest
from latentsmooth.records.upgrading import upgraded_certificate, upgraded_manifest
from latentsmooth.smoothing import ResolvedExecutor

__all__ = [
    "LONGEST_NAME",
    "certificate_from_json",
    "decode_line",
    "encode_certificate",
    "encode_manifest",
    "manifest_from_json",
]

LONGEST_NAME = 1000
"""Of an image, in characters."""
_DIGITS = 100
"""Of a seed, at most: whatever a generator of secrets gives."""


def decode_line(raw: bytes) -> object:
    """Parse one line as strict JSON (no NaN, no Infinity, no key twice).

    Raises:
        ValueError: the bytes are not UTF-8 or not one JSON value.
    """
    value: object = strict_json(raw.decode("utf-8"), digits=_DIGITS)
    return value


def encode_manifest(manifest: Manifest) -> bytes:
    """Write a manifest as its line, newline included.

    Raises:
        LogError: a field has a value that could not be read back.
    """
    content: dict[str, Any] = {"format": FORMAT, "schema_version": SCHEMA_VERSION}
    content |= {field.name: getattr(manifest, field.name) for field in fields(Manifest)}
    for name in ("versions", "machine", "rule", "data_selection"):
        content[name] = dict(content[name])
    content["deductions"] = asdict(manifest.deductions)
    line = _encode(content, "manifest")
    manifest_from_json(_read_back(line, "manifest"), "manifest")
    return line


def encode_certificate(certificate: Certificate, manifest: Manifest) -> bytes:
    """Write a certificate as its line, newline included; every float in full precision.

    Raises:
        LogError: a field has a value that could not be read back, or that the manifest forbids.
    """
    where = f"certificate of image {certificate.index}"
    content = {field.name: getattr(certificate, field.name) for field in fields(Certificate)}
    line = _encode(content, where)
    certificate_from_json(_read_back(line, where), manifest, where)
    return line


def manifest_from_json(content: object, where: str) -> Manifest:
    """Check a decoded first line and build the manifest.

    Raises:
        LogError: not a certificate log, another schema, or a field that is missing, unknown, of
            the wrong type or out of range; the message begins with ``where``.
    """
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise LogError(f"{where}: expected the manifest of a certificate log (format {FORMAT!r})")
    version = content.get("schema_version")
    if version in (1, 2, 3) and isinstance(version, int):
        content = upgraded_manifest(content, version=version)
    elif version != SCHEMA_VERSION:
        raise LogError(
            f"{where}: schema version {version!r}, "
            f"this version of latentsmooth reads 1 to {SCHEMA_VERSION}"
        )
    names = {"format", "schema_version"} | {field.name for field in fields(Manifest)}
    line = LineFields(content, names, where)
    manifest = Manifest(
        artifact_hash=line.text("artifact_hash"),
        model_name=line.text("model_name"),
        model_build=line.text("model_build"),
        data_source=line.text("data_source"),
        data_split=line.text("data_split"),
        data_hash=line.text("data_hash"),
        data_selection=line.counts("data_selection"),
        data_notes=line.texts("data_notes"),
        class_names=line.texts("class_names"),
        latent_sigma=line.number("latent_sigma", above=0.0),
        n_select=line.integer("n_select", at_least=1),
        n_estimate=line.integer("n_estimate", at_least=1),
        alpha=line.number("alpha", above=0.0, below=1.0),
        rule=line.rule("rule"),
        seed=line.integer("seed", at_least=0),
        noise=line.text("noise"),
        lattice_step=line.number("lattice_step", at_least=0.0),
        lipschitz_bound=line.number("lipschitz_bound", above=0.0),
        deductions=line.deductions("deductions"),
        rounding_assumed=line.texts("rounding_assumed"),
        encoder_precision=line.one_of("encoder_precision", get_args(EncoderPrecision)),
        folding=line.text("folding"),
        precision=line.one_of("precision", get_args(ResolvedPrecision)),
        executor=line.one_of("executor", get_args(ResolvedExecutor)),
        batch_size=line.integer("batch_size", at_least=0),
        device_type=line.text("device_type"),
        versions=line.versions("versions"),
        machine=line.facts("machine"),
        command=line.text("command"),
        created=line.time("created"),
    )
    _check_rule(manifest, line)
    check_deductions(manifest, line)
    return manifest


def certificate_from_json(content: object, manifest: Manifest, where: str) -> Certificate:
    """Check a decoded line against its manifest and build the certificate.

    Raises:
        LogError: a field is missing, unknown, of the wrong type, out of range, or contradicts
            another or the manifest; the message begins with ``where`` and names the field.
    """
    content = upgraded_certificate(content, noise=manifest.noise)
    line = LineFields(content, {field.name for field in fields(Certificate)}, where)
    classes = len(manifest.class_names) or None
    certificate = Certificate(
        index=line.integer("index", at_least=0),
        label=line.optional_integer("label", at_least=0, below=classes),
        prediction=line.optional_integer("prediction", at_least=0, below=classes),
        candidate=line.integer("candidate", at_least=0, below=classes),
        p_lower=line.number("p_lower", at_least=0.0, below=1.0),
        rival_upper=line.optional_number("rival_upper", at_least=0.0, at_most=1.0),
        latent_radius=line.number("latent_radius", at_least=0.0),
        input_radius=line.number("input_radius", at_least=0.0),
        votes=line.votes("votes", classes),
        n_select=line.integer("n_select", at_least=1),
        n_used=line.integer("n_used", at_least=1),
        alpha=line.number("alpha", above=0.0, below=1.0),
        reason=line.text("reason"),
        seconds=line.number("seconds", at_least=0.0),
        name=line.optional_text("name", at_most=LONGEST_NAME),
    )
    check_certificate(certificate, manifest, line)
    return certificate


def _check_rule(manifest: Manifest, line: LineFields) -> None:
    try:
        rule = rule_from_settings(manifest.rule)
    except ConfigurationError as error:
        line.fail("rule", f"the settings of a rule ({error})")
    for name, value in (
        ("n_select", rule.n_select),
        ("n_estimate", rule.n_max),
        ("alpha", rule.alpha),
    ):
        if getattr(manifest, name) != value:
            line.fail(name, f"the rule's {value!r}")


def _encode(content: Mapping[str, object], where: str) -> bytes:
    try:
        text = json.dumps(content, allow_nan=False, ensure_ascii=True)
    except (TypeError, ValueError) as error:
        raise LogError(f"{where}: cannot be written as JSON: {error}") from error
    return text.encode("ascii") + b"\n"


def _read_back(line: bytes, where: str) -> object:
    try:
        return decode_line(line)
    except ValueError as error:
        raise LogError(f"{where}: could not be read back: {error}") from error
