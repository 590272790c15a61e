"""The lines of a certificate log: manifests and certificates to JSON and back, checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import NoReturn

from scipy.special import ndtri

from latentsmooth.certification.certificate import Certificate
from latentsmooth.errors import LogError
from latentsmooth.records.manifest import FORMAT, SCHEMA_VERSION, Manifest

__all__ = [
    "certificate_from_json",
    "decode_line",
    "encode_certificate",
    "encode_manifest",
    "manifest_from_json",
]

_MAX_VOTES = 5
_BOUND_SLACK = 1 + 1e-9


def decode_line(raw: bytes) -> object:
    """Parse one line as strict JSON (no NaN, no Infinity).

    Raises:
        ValueError: the bytes are not UTF-8 or not one JSON value.
    """
    try:
        return json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def encode_manifest(manifest: Manifest) -> bytes:
    """Write a manifest as its line, newline included.

    Raises:
        LogError: a field has a value that could not be read back.
    """
    content = {"format": FORMAT, "schema_version": SCHEMA_VERSION}
    content |= {field.name: getattr(manifest, field.name) for field in fields(Manifest)}
    content["versions"], content["machine"] = dict(manifest.versions), dict(manifest.machine)
    line = _encode(content, "manifest")
    manifest_from_json(decode_line(line), "manifest")
    return line


def encode_certificate(certificate: Certificate, manifest: Manifest) -> bytes:
    """Write a certificate as its line, newline included; every float in full precision.

    Raises:
        LogError: a field has a value that could not be read back, or that the manifest forbids.
    """
    where = f"certificate of image {certificate.index}"
    content = {field.name: getattr(certificate, field.name) for field in fields(Certificate)}
    line = _encode(content, where)
    certificate_from_json(decode_line(line), manifest, where)
    return line


def manifest_from_json(content: object, where: str) -> Manifest:
    """Check a decoded first line and build the manifest.

    Raises:
        LogError: not a certificate log, another schema, or a field that is missing, unknown, of
            the wrong type or out of range; the message begins with ``where``.
    """
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise LogError(f"{where}: expected the manifest of a certificate log (format {FORMAT!r})")
    if content.get("schema_version") != SCHEMA_VERSION:
        raise LogError(
            f"{where}: schema version {content.get('schema_version')!r}, "
            f"this version of latentsmooth reads {SCHEMA_VERSION}"
        )
    names = {"format", "schema_version"} | {field.name for field in fields(Manifest)}
    line = _Fields(content, names, where)
    return Manifest(
        artifact_hash=line.text("artifact_hash"),
        model_name=line.text("model_name"),
        model_build=line.text("model_build"),
        data_source=line.text("data_source"),
        data_split=line.text("data_split"),
        data_hash=line.text("data_hash"),
        class_names=line.texts("class_names"),
        latent_sigma=line.number("latent_sigma", above=0.0),
        n_select=line.integer("n_select", at_least=1),
        n_estimate=line.integer("n_estimate", at_least=1),
        alpha=line.number("alpha", above=0.0, below=1.0),
        seed=line.integer("seed"),
        lipschitz_bound=line.number("lipschitz_bound", above=0.0),
        precision=line.text("precision"),
        device_type=line.text("device_type"),
        versions=line.versions("versions"),
        machine=line.facts("machine"),
        command=line.text("command"),
        created=line.time("created"),
    )


def certificate_from_json(content: object, manifest: Manifest, where: str) -> Certificate:
    """Check a decoded line against its manifest and build the certificate.

    Raises:
        LogError: a field is missing, unknown, of the wrong type, out of range, or contradicts
            another or the manifest; the message begins with ``where`` and names the field.
    """
    line = _Fields(content, {field.name for field in fields(Certificate)}, where)
    classes = len(manifest.class_names) or None
    certificate = Certificate(
        index=line.integer("index", at_least=0),
        label=line.optional_integer("label", at_least=0, below=classes),
        prediction=line.optional_integer("prediction", at_least=0, below=classes),
        candidate=line.integer("candidate", at_least=0, below=classes),
        p_lower=line.number("p_lower", at_least=0.0, below=1.0),
        latent_radius=line.number("latent_radius", at_least=0.0),
        input_radius=line.number("input_radius", at_least=0.0),
        votes=line.votes("votes", classes),
        n_select=line.integer("n_select", at_least=1),
        n_used=line.integer("n_used", at_least=1),
        alpha=line.number("alpha", above=0.0, below=1.0),
        seconds=line.number("seconds", at_least=0.0),
    )
    _check_consistent(certificate, manifest, line)
    return certificate


def _check_consistent(certificate: Certificate, manifest: Manifest, line: _Fields) -> None:
    if certificate.prediction not in (None, certificate.candidate):
        line.fail("prediction", f"the candidate {certificate.candidate} or null")
    if certificate.abstained and certificate.latent_radius:
        line.fail("latent_radius", "0 where the prediction is null")
    if certificate.abstained and certificate.input_radius:
        line.fail("input_radius", "0 where the prediction is null")
    most = certificate.latent_radius / manifest.lipschitz_bound
    if certificate.input_radius > most * _BOUND_SLACK:
        line.fail("input_radius", f"at most latent_radius / lipschitz_bound = {most!r}")
    if certificate.alpha != manifest.alpha:
        line.fail("alpha", f"the manifest's {manifest.alpha!r}")
    if certificate.n_select != manifest.n_select:
        line.fail("n_select", f"the manifest's {manifest.n_select}")
    budget = manifest.n_select + manifest.n_estimate
    if not certificate.n_select < certificate.n_used <= budget:
        line.fail("n_used", f"above n_select = {certificate.n_select}, at most {budget}")
    _check_radius(certificate, manifest, line)
    estimated = certificate.n_used - certificate.n_select
    if sum(count for _, count in certificate.votes) > estimated:
        line.fail("votes", f"counts of {estimated} estimation samples")


def _check_radius(certificate: Certificate, manifest: Manifest, line: _Fields) -> None:
    if certificate.abstained:
        return
    if certificate.p_lower <= 0.5:
        line.fail("p_lower", "above one half where there is a prediction")
    most = manifest.latent_sigma * float(ndtri(certificate.p_lower))
    if certificate.latent_radius > most * _BOUND_SLACK:
        line.fail("latent_radius", f"at most sigma * Phi^-1(p_lower) = {most!r}")


def _encode(content: Mapping[str, object], where: str) -> bytes:
    try:
        text = json.dumps(content, allow_nan=False, ensure_ascii=True)
    except (TypeError, ValueError) as error:
        raise LogError(f"{where}: cannot be written as JSON: {error}") from error
    return text.encode("ascii") + b"\n"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class _Fields:
    """One decoded line, read field by field; every complaint names the line and the field."""

    def __init__(self, content: object, names: set[str], where: str) -> None:
        if not isinstance(content, dict):
            raise LogError(f"{where}: expected a JSON object, got {_shown(content)}")
        if missing := sorted(names - content.keys()):
            raise LogError(f"{where}: missing {', '.join(missing)}")
        if unknown := sorted(content.keys() - names):
            raise LogError(f"{where}: unknown {', '.join(map(_shown, unknown))}")
        self._content: dict[str, object] = content
        self._where = where

    def fail(self, name: str, wanted: str) -> NoReturn:
        got = _shown(self._content[name])
        raise LogError(f"{self._where}: field {name!r} must be {wanted}, got {got}")

    def text(self, name: str) -> str:
        value = self._content[name]
        return value if isinstance(value, str) else self.fail(name, "a string")

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._content[name]
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.fail(name, "a list of strings")
        return tuple(value)

    def time(self, name: str) -> str:
        value = self.text(name)
        try:
            datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            self.fail(name, "an ISO 8601 time")
        return value

    def integer(self, name: str, *, at_least: int | None = None, below: int | None = None) -> int:
        value = self._content[name]
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or (at_least is not None and value < at_least)
            or (below is not None and value >= below)
        ):
            least = "" if at_least is None else f" of at least {at_least}"
            most = "" if below is None else f", below {below}"
            self.fail(name, f"an integer{least}{most}")
        return value

    def optional_integer(self, name: str, *, at_least: int, below: int | None) -> int | None:
        if self._content[name] is None:
            return None
        return self.integer(name, at_least=at_least, below=below)

    def number(
        self,
        name: str,
        *,
        above: float = -math.inf,
        at_least: float = -math.inf,
        below: float = math.inf,
    ) -> float:
        value = self._content[name]
        number = _as_float(value)
        if number is None or not (above < number < below and number >= at_least):
            low = f"({above:g}" if above > at_least else f"[{at_least:g}"
            self.fail(name, f"a number in {low}, {below:g})")
        return number

    def versions(self, name: str) -> dict[str, str]:
        value = self._content[name]
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            self.fail(name, "a mapping of package to version")
        if not {"latentsmooth", "torch"} <= value.keys():
            self.fail(name, "a mapping with at least latentsmooth and torch")
        return value

    def facts(self, name: str) -> dict[str, str | int]:
        value = self._content[name]
        if not isinstance(value, dict) or not all(
            isinstance(fact, str) or _is_integer(fact) for fact in value.values()
        ):
            self.fail(name, "a mapping of strings and integers")
        return value

    def votes(self, name: str, classes: int | None) -> tuple[tuple[int, int], ...]:
        value = self._content[name]
        if not isinstance(value, list) or len(value) > _MAX_VOTES:
            self.fail(name, f"a list of at most {_MAX_VOTES} pairs")
        for pair in value:
            if not (isinstance(pair, list) and len(pair) == 2 and all(map(_is_integer, pair))):
                self.fail(name, "pairs of a class and a count")
            if min(pair) < 0 or (classes is not None and pair[0] >= classes):
                self.fail(name, "known classes and counts of at least 0")
        counts = [count for _, count in value]
        if counts != sorted(counts, reverse=True) or len({c for c, _ in value}) < len(value):
            self.fail(name, "distinct classes, most votes first")
        return tuple((chosen, count) for chosen, count in value)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _as_float(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
