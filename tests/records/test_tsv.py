from __future__ import annotations

import gzip
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings

from latentsmooth.certification.certificate import Certificate
from latentsmooth.errors import LogError
from latentsmooth.records import PublishedCertificate, read_tsv, tsv_text, write_tsv
from latentsmooth.records.rounding import exact
from latentsmooth.records.tsv import parse_tsv
from tests.records.makers import abstention, certificate, certificate_lists

HEADER = "idx\tlabel\tpredict\tradius\tcorrect\ttime\n"


def parsed(*rows: str, end: str = "\n") -> list[PublishedCertificate]:
    return parse_tsv((HEADER + "\n".join(rows) + end).encode(), Path("f.tsv"))


@given(certificate_lists())
@settings(deadline=None)
def test_export_and_import_agree_and_radii_never_grow(certificates: list[Certificate]) -> None:
    text = tsv_text(certificates)
    back = parse_tsv(text.encode(), Path("f.tsv"))
    for ours, theirs in zip(certificates, back, strict=True):
        assert (theirs.index, theirs.label, theirs.prediction, theirs.correct) == (
            ours.index,
            ours.label,
            ours.prediction,
            ours.correct,
        )
        assert theirs.input_radius <= ours.input_radius
        assert exact(ours.input_radius) - exact(theirs.input_radius) < Fraction(1, 10**6)
        assert theirs.seconds == pytest.approx(ours.seconds, abs=1e-6)
    assert tsv_text(back) == text


def test_export_is_the_fields_format(tmp_path: Path) -> None:
    rows = [
        certificate(0, input_radius=0.1239999, seconds=14.0),
        abstention(1, seconds=3661.25),
        certificate(2, label=None, seconds=90_000.0),
    ]
    write_tsv(tmp_path / "f.tsv", rows)
    assert (tmp_path / "f.tsv").read_bytes() == (
        HEADER
        + "0\t3\t3\t0.123999\t1\t0:00:14.000000\n"
        + "1\t3\t-1\t0.000000\t0\t1:01:01.250000\n"
        + "2\t-1\t3\t0.300000\t0\t1 day, 1:00:00.000000\n"
    ).encode()
    assert [row.seconds for row in read_tsv(tmp_path / "f.tsv")] == [14.0, 3661.25, 90_000.0]
    with pytest.raises(LogError, match="cannot be written"):
        write_tsv(tmp_path, rows)
    with pytest.raises(LogError, match="too many"):
        tsv_text([certificate(seconds=1e300)])


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("12.34", 12.34),
        ("0", 0.0),
        ("0:00:14.037966", 14.037966),
        ("0:02:03", 123.0),
        ("25:00:00", 90_000.0),
        ("1 day, 2:03:04", 93_784.0),
        ("2 days, 0:00:00.500000", 172_800.5),
    ],
)
def test_both_time_formats_found_in_the_wild(time: str, seconds: float) -> None:
    (row,) = parsed(f"0\t1\t1\t0.5\t1\t{time}")
    assert row.seconds == seconds
    assert (row.n_used, row.alpha) == (None, None)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0\t1\t2\t0.5\t1\t1", "line 2: correct is 1, but predict is 2 and label is 1"),
        ("0\t1\t1\t0.5\t0\t1", "line 2: correct is 0, but predict is 1"),
        ("0\t1\t-1\t0.0\t1\t1", "line 2: correct is 1, but predict is -1"),
        ("0\t-1\t-1\t0.0\t1\t1", "line 2: correct is 1"),
        ("0\t1\t-1\t0.2\t0\t1", "line 2: radius must be 0"),
        ("0\t1\t1\tnan\t1\t1", "line 2: radius must be a finite"),
        ("0\t1\t1\tinf\t1\t1", "line 2: radius must be a finite"),
        ("0\t1\t1\t-0.1\t1\t1", "line 2: radius must be a finite"),
        ("0\t1\t1\t0.5\t2\t1", "line 2: correct must be 0 or 1"),
        ("0\t1\t1\t0.5\t1\t1:2", "line 2: time must be seconds or"),
        ("0\t1\t1\t0.5\t1\t9999999999 days, 0:00:00", "line 2: time is out of range"),
        ("0\t1\t1\t0.5\t1\t1.79e308", "line 2: time is out of range"),
        ("-1\t1\t1\t0.5\t1\t1", "line 2: idx must be at least 0"),
        ("0\t1.5\t1\t0.5\t1\t1", "line 2: label must be an integer"),
        ("0\t1\t1\t0.5\t1", "line 2: expected 6 columns, got 5"),
    ],
)
def test_rows_that_make_no_sense_are_refused_by_line(row: str, message: str) -> None:
    with pytest.raises(LogError, match=message):
        parsed(row, "1\t1\t1\t0.5\t1\t1")


def test_a_torn_last_row_is_left_out_and_a_broken_one_is_not() -> None:
    assert len(parsed("0\t1\t1\t0.5\t1\t1", "1\t1\t1\t0.", end="")) == 1
    assert len(parsed("0\t1\t1\t0.5\t1\t1", "1\t1\t1\t0.5\t1\t1", end="")) == 2
    with pytest.raises(LogError, match="line 3"):
        parsed("0\t1\t1\t0.5\t1\t1", "1\t1\t1\t0.")


def test_files_as_other_machines_write_them(tmp_path: Path) -> None:
    text = "\ufeff" + (HEADER + "7\t1\t1\t0.5\tTrue\t1.5\n\n").replace("\n", "\r\n")
    path = tmp_path / "f.tsv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    assert read_tsv(path) == [
        PublishedCertificate(index=7, label=1, prediction=1, input_radius=0.5, seconds=1.5)
    ]


def test_files_of_another_kind_are_refused() -> None:
    with pytest.raises(LogError, match=r"missing \['radius'\]"):
        parse_tsv(b"idx\tlabel\tpredict\tcorrect\ttime\n", Path("predictions.tsv"))
    with pytest.raises(LogError, match="line 1"):
        parse_tsv(b"", Path("empty.tsv"))
    with pytest.raises(LogError, match="UTF-8"):
        parse_tsv(b"idx\xff", Path("binary.tsv"))
    with pytest.raises(LogError, match="image 0 comes twice"):
        parsed("0\t1\t1\t0.5\t1\t1", "0\t1\t1\t0.5\t1\t1")
