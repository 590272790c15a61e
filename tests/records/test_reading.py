from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest
import torch

from latentsmooth.errors import LogError
from latentsmooth.machine import describe_machine
from latentsmooth.records import (
    CertificateLog,
    log_name,
    package_versions,
    read_any_log,
    tsv,
    tsv_text,
    write_tsv,
)
from latentsmooth.records.schema import encode_manifest
from tests.records.makers import abstention, certificate, manifest


def test_the_format_is_chosen_by_content_not_by_name(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.tsv", tmp_path / "theirs.jsonl"
    with CertificateLog.open(ours, manifest()) as log:
        log.append(certificate(0))
        log.append(abstention(1))
    write_tsv(theirs, [certificate(0), abstention(1)])
    first, second = read_any_log(ours), read_any_log(theirs, name="published")
    assert (first.name, second.name) == ("ours", "published")
    assert first.manifest == manifest()
    assert second.manifest is None
    assert first.certificates == (certificate(0), abstention(1))
    assert [each.correct for each in second.certificates] == [True, False]
    assert [each.n_used for each in first.certificates] == [10_100, 10_100]
    assert [each.n_used for each in second.certificates] == [None, None]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"hello\n"])
def test_neither_format(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(LogError, match="expected a certificate log"):
        read_any_log(path)


def test_a_torn_manifest_is_no_log(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b'{"format": "latentsm')
    with pytest.raises(LogError, match="no whole manifest"):
        read_any_log(path)


def test_names_keep_dots_that_are_no_suffix() -> None:
    assert log_name("a/sigma0.50.tsv") == "sigma0.50"
    assert log_name("a/sigma0.50") == "sigma0.50"


def test_the_environment_fits_a_manifest(tmp_path: Path) -> None:
    found = manifest(machine=describe_machine(torch.device("cpu")), versions=package_versions())
    with CertificateLog.open(tmp_path / "log.jsonl", found) as log:
        assert log.manifest == found
    assert read_any_log(tmp_path / "log.jsonl").manifest == found


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"format": "latentsmooth-certificates"}\n', "line 1: schema version None"),
        (encode_manifest(manifest()), "line 2 is damaged"),
        (b"idx\tlabel\tpredict\tradius\tcorrect\ttime\n", "line 2: expected 6 columns, got 1"),
        (b"idx" + b"\t" * 60_000 + b"\n", "line 1: expected at most 64 columns, got 60,001"),
        (b"idx" + b"\t" * 1_000_000 + b"\n", "at most 64 columns, got 1,000,001"),
    ],
)
def test_a_bad_line_is_refused_before_the_million_after_it_take_memory(
    tmp_path: Path, line: bytes, message: str
) -> None:
    path = tmp_path / "log.gz"
    size = 1 << 23
    path.write_bytes(gzip.compress(line + b"ab\n" * (size // 3), 1))
    tracemalloc.start()
    with pytest.raises(LogError, match=message):
        read_any_log(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * size, "the file's bytes, and not an object for each of its lines"


def test_a_published_file_has_an_end_to_its_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.tsv"
    path.write_text(tsv_text([certificate(0), certificate(1)]) + "\n" * 5)
    assert len(read_any_log(path).certificates) == 2
    monkeypatch.setattr(tsv, "_MOST_LINES", 7)
    with pytest.raises(LogError, match="expected at most 7 lines, got more"):
        read_any_log(path)
