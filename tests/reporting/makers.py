"""Small synthetic logs with known figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from latentsmooth.certification import clopper_pearson_lower
from latentsmooth.certification.certificate import Certificate
from latentsmooth.records import CertificateLog, LogView, Manifest
from tests.records.makers import abstention, certificate, manifest

CERTAIN = clopper_pearson_lower(10_000, 10_000, 0.001)  # allows every radius up to 3.2 sigma
HOSTILE = "<script>alert(1)</script>_$x$ & 100% | \\ [red]\x1b[2J"


def correct(index: int, input_radius: float, seconds: float = 1.0) -> Certificate:
    return certificate(
        index,
        p_lower=CERTAIN,
        votes=((3, 10_000),),
        latent_radius=input_radius * 1.02,
        input_radius=input_radius,
        seconds=seconds,
    )


def wrong(index: int, input_radius: float) -> Certificate:
    return certificate(
        index,
        prediction=2,
        candidate=2,
        votes=((2, 10_000),),
        p_lower=CERTAIN,
        latent_radius=input_radius * 1.02,
        input_radius=input_radius,
    )


EIGHT = (
    correct(0, 0.1, seconds=0.5),
    correct(1, 0.2),
    correct(2, 0.2),
    correct(3, 0.5),
    correct(4, 1.3),
    wrong(5, 2.0),
    abstention(6),
    abstention(7),
)


def view(
    certificates: Sequence[Certificate] = EIGHT,
    *,
    name: str = "ours",
    start: Manifest | None = None,
) -> LogView:
    return LogView(name=name, manifest=start or manifest(), certificates=tuple(certificates))


def published(certificates: Sequence[Certificate] = EIGHT, *, name: str = "theirs") -> LogView:
    from latentsmooth.records import tsv_text
    from latentsmooth.records.tsv import parse_tsv

    rows = parse_tsv(tsv_text(certificates).encode(), Path("theirs.tsv"))
    return LogView(name=name, manifest=None, certificates=tuple(rows))


WIDE = manifest(latent_sigma=0.7)
"""Of noise wide enough for all radii of `EIGHT`."""


def write_log(path: Path, certificates: Sequence[Certificate] = EIGHT) -> Path:
    with CertificateLog.open(path, WIDE) as log:
        for each in certificates:
            log.append(each)
    return path
