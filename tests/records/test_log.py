from __future__ import annotations

import errno
import gzip
import json
import math
import os
import signal
import tempfile
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentsmooth.certification.certificate import Certificate
from latentsmooth.certification.rules import Decide, FixedRule, SequentialRule, TwoSidedRule
from latentsmooth.errors import LogError
from latentsmooth.records import CertificateLog, Manifest, content, read_log
from latentsmooth.smoothing import NOISE_DEFINITIONS
from tests.records.makers import abstention, certificate, certificate_lists, manifest

SMALL = {"n_select": 100, "n_estimate": 1000, "alpha": 0.001}
SEQUENTIAL = {
    "rule": "sequential",
    "n_select": 100,
    "n_max": 1000,
    "alpha": 0.001,
    "bound": "betting",
    "miss": 0.01,
}


def written(path: Path, certificates: list[Certificate], start: Manifest | None = None) -> bytes:
    with CertificateLog.open(path, start or manifest()) as log:
        for each in certificates:
            log.append(each)
    return path.read_bytes()


@given(certificates=certificate_lists())
@settings(max_examples=40, deadline=None)
def test_a_log_reads_back_exactly(certificates: list[Certificate]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        written(path, certificates)
        assert read_log(path) == (manifest(), certificates)


@given(certificates=certificate_lists(max_size=3), data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_log_cut_at_any_byte_resumes_to_the_same_file(
    certificates: list[Certificate], data: st.DataObject
) -> None:
    """Opening never raises; reading raises only where not even the manifest is whole."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        whole = written(path, certificates)
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        if cut >= whole.index(b"\n"):
            read = read_log(path)
            assert read == (manifest(), certificates[: len(read[1])])
        else:
            with pytest.raises(LogError, match="no whole manifest"):
                read_log(path)
        with CertificateLog.open(path, manifest()) as log:
            kept = max(0, whole[:cut].count(b"\n") - 1)
            assert log.done == {each.index for each in certificates[:kept]}
            for each in certificates[kept:]:
                log.append(each)
        assert path.read_bytes() == whole


def test_abstention_is_null_and_floats_keep_every_digit(tmp_path: Path) -> None:
    radius = 0.1 + 0.2
    raw = written(
        tmp_path / "log.jsonl",
        [abstention(0), certificate(1, latent_radius=0.31, input_radius=radius)],
    )
    first, second = (json.loads(line) for line in raw.splitlines()[1:])
    assert first["prediction"] is None
    assert b'"input_radius": 0.30000000000000004' in raw
    assert second["input_radius"] == radius


def test_each_certificate_is_on_disk_at_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "log.jsonl"
    with CertificateLog.open(path, manifest()) as log:
        assert read_log(path) == (manifest(), [])
        log.append(certificate(4))
        assert read_log(path)[1] == [certificate(4)]
        assert log.done == {4}
        assert log.path == path


def test_resuming_keeps_the_first_manifest_and_ignores_where_and_when(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    before = written(path, [certificate(0)])
    later = manifest(
        command="again --limit 3",
        created="2026-02-03T04:05:06Z",
        machine={"platform": "other"},
        model_name="copy",
        data_source="elsewhere",
        versions={"latentsmooth": "0.1.0", "torch": "2.13.0", "python": "3.12.0"},
    )
    with CertificateLog.open(path, later) as log:
        assert log.manifest == manifest()
        assert log.done == {0}
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "changes",
    [
        {"artifact_hash": "b2"},
        {"data_hash": "e5"},
        {"data_split": "train"},
        {"latent_sigma": 0.5},
        {"n_select": 101},
        {"n_estimate": 9_999},
        {"alpha": 0.01},
        {"seed": 1},
        {"lipschitz_bound": 1.0000007},
        {"precision": "bfloat16"},
        {"device_type": "cuda"},
        {"versions": {"latentsmooth": "0.2.0", "torch": "2.13.0"}},
        {"versions": {"latentsmooth": "0.1.0", "torch": "2.14.0"}},
    ],
)
def test_another_manifest_is_refused_by_field_and_nothing_is_cut(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    path = tmp_path / "log.jsonl"
    written(path, [certificate(0)])
    torn = path.read_bytes() + b'{"index": 1, "la'
    path.write_bytes(torn)
    with pytest.raises(LogError) as caught:
        CertificateLog.open(path, manifest(**changes))
    (field, value), *_ = changes.items()
    shown = (
        value
        if field != "versions"
        else next(v for v in value.values() if v not in str(manifest()))
    )
    assert field in str(caught.value)
    assert repr(shown) in str(caught.value)
    assert path.read_bytes() == torn


def test_every_differing_field_is_named_with_both_values(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    written(path, [])
    wanted = "alpha is 0.001 there, 0.05 here; rule is .* seed is 0 there, 7 here"
    with pytest.raises(LogError, match=wanted):
        CertificateLog.open(path, manifest(seed=7, alpha=0.05))


@pytest.mark.parametrize("damage", [b"", b"\0\0\0", b'{"index": 1', b"\xff\xfe", b"[" * 100_000])
def test_damage_in_the_middle_is_an_error_that_names_the_line(
    tmp_path: Path, damage: bytes
) -> None:
    path = tmp_path / "log.jsonl"
    lines = written(path, [certificate(0), certificate(1), certificate(2)]).split(b"\n")
    lines[2] = damage
    path.write_bytes(b"\n".join(lines))
    before = path.read_bytes()
    with pytest.raises(LogError, match="line 3 is damaged"):
        read_log(path)
    with pytest.raises(LogError, match="line 3 is damaged"):
        CertificateLog.open(path, manifest())
    assert path.read_bytes() == before


def test_a_last_line_that_is_no_json_is_torn_even_with_a_newline(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    whole = written(path, [certificate(0)])
    path.write_bytes(whole + b"\0\0\0\0\n")
    assert read_log(path)[1] == [certificate(0)]
    CertificateLog.open(path, manifest()).close()
    assert path.read_bytes() == whole


def test_a_torn_last_line_does_not_excuse_damage_just_before_it(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    damaged = written(path, [certificate(0)]) + b'{"index": 1\n{"index": 2, "la'
    path.write_bytes(damaged)
    with pytest.raises(LogError, match="line 3 is damaged"):
        CertificateLog.open(path, manifest())
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("content", [b"notes to keep", b"one\ntwo\n", b"[1]\n", b'{"a": 1}\n'])
def test_a_foreign_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(LogError, match=r"not a certificate log|expected the manifest"):
        CertificateLog.open(path, manifest())
    with pytest.raises(LogError):
        read_log(path)
    assert path.read_bytes() == content


def test_duplicates_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with CertificateLog.open(path, manifest()) as log:
        log.append(certificate(5))
        with pytest.raises(LogError, match="image 5 is in the log already"):
            log.append(certificate(5, seconds=2.0))
    line = path.read_bytes().splitlines(keepends=True)[1]
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(LogError, match="line 3: image 5 is on line 2 already"):
        read_log(path)


def test_bounds_of_both_sides_and_bare_decisions_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    both = certificate(0, p_lower=0.45, rival_upper=0.2, latent_radius=0.08, input_radius=0.07)
    bare = certificate(1, p_lower=0.1, latent_radius=0.0, input_radius=0.0, reason="decided")
    for rule, made in (
        (TwoSidedRule(n_estimate=10_000), both),
        (SequentialRule(goal=Decide(), n_max=10_000), bare),
    ):
        path.unlink(missing_ok=True)
        with CertificateLog.open(path, manifest(rule=rule.settings())) as log:
            log.append(made)
        assert read_log(path)[1] == [made]
    path.unlink()
    with CertificateLog.open(path, manifest()) as log:
        with pytest.raises(LogError, match="'p_lower' must be above one half"):
            log.append(bare)
        with pytest.raises(LogError, match="'rival_upper' must be null under the rule 'fixed'"):
            log.append(both)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rule": {"goal": "decide"}}, "'rule' must be a mapping that names its rule"),
        ({"rule": {"rule": "guess"}}, "'rule' must be the settings of a rule"),
        ({"rule": FixedRule(n_estimate=7).settings()}, "'n_estimate' must be the rule's 7"),
        ({"executor": "fast"}, "'executor' must be one of eager, compiled"),
        ({"precision": "int2"}, "'precision' must be one of bfloat16, float16, float32"),
        ({"seed": -1}, "'seed' must be an integer of at least 0"),
        ({"rule": {"rule": "fixed", "n": []}}, "'rule' must be a mapping of strings and numbers"),
        ({"batch_size": -1}, "'batch_size' must be an integer of at least 0"),
    ],
)
def test_a_manifest_says_its_rule_and_batch(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(LogError, match=message):
        CertificateLog.open(tmp_path / "log.jsonl", manifest(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_radius": math.inf}, "cannot be written as JSON"),
        ({"p_lower": math.nan}, "cannot be written as JSON"),
        ({"index": "7"}, "'index' must be an integer of at least 0, got '7'"),
        ({"index": True}, "'index' must be"),
        ({"index": -1}, "'index' must be"),
        ({"label": 10}, "'label' must be an integer of at least 0, below 10, got 10"),
        ({"prediction": 2}, "'prediction' must be the candidate 3 or null"),
        ({"prediction": None}, "'latent_radius' must be 0"),
        ({"prediction": None, "latent_radius": 0.0}, "'input_radius' must be 0"),
        ({"candidate": 1.5}, "'candidate' must be an integer"),
        ({"p_lower": 1.0}, r"'p_lower' must be a number in \[0, 1\)"),
        ({"latent_radius": -0.1}, "'latent_radius' must be a number"),
        ({"input_radius": 0.33}, "'input_radius' must be at most \\(latent_radius - "),
        ({"alpha": 0.0}, r"'alpha' must be a number in \(0, 1\)"),
        ({"seconds": "fast"}, "'seconds' must be a number"),
        ({"seconds": 10**400}, "could not be read back: integer of 401 digits; at most 100"),
        ({"rival_upper": 1.5}, r"'rival_upper' must be null or a number in \[0, 1\]"),
        ({"rival_upper": 0.2}, "'rival_upper' must be null under the rule 'fixed'"),
        ({"votes": ((3, 8_999),)}, "'p_lower' must be at most what 8999 votes of 10000 prove"),
        ({"p_lower": 0.5}, "'p_lower' must be above one half"),
        ({"reason": 3}, "'reason' must be a string"),
        ({"n_used": 99}, "'n_used' must be the rule's 10100"),
        ({"votes": ((3, 10_001),)}, "'votes' must be counts of 10000 estimation samples"),
        ({"votes": ((1, 1), (3, 2))}, "'votes' must be distinct classes, most votes first"),
        ({"votes": ((3, 1), (3, 1))}, "'votes' must be distinct classes"),
        ({"votes": ((10, 1),)}, "'votes' must be known classes"),
        ({"votes": ((3, 1, 1),)}, "'votes' must be pairs"),
        ({"votes": tuple((i, 1) for i in range(6))}, "'votes' must be a list of at most 5"),
    ],
)
def test_certificates_that_make_no_sense_are_refused_and_not_written(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = tmp_path / "log.jsonl"
    with CertificateLog.open(path, manifest()) as log:
        before = path.read_bytes()
        with pytest.raises(LogError, match=message):
            log.append(certificate(**changes))
        log.append(certificate(0))
    assert path.read_bytes().startswith(before)
    assert read_log(path)[1] == [certificate(0)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha": 1.0}, "'alpha'"),
        ({"latent_sigma": 0.0}, r"'latent_sigma' must be a number in \(0, inf\)"),
        ({"lipschitz_bound": math.inf}, "cannot be written"),
        ({"n_estimate": 0}, "'n_estimate'"),
        ({"class_names": ("a", 1)}, "'class_names'"),
        ({"versions": {"torch": "2"}}, "'versions'"),
        ({"versions": {"torch": 2}}, "'versions'"),
        ({"machine": {"cores": 1.5}}, "'machine'"),
        ({"created": "yesterday"}, "'created' must be an ISO 8601 time"),
        ({"command": ["a"]}, "'command' must be a string"),
    ],
)
def test_a_manifest_that_makes_no_sense_creates_no_file(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = tmp_path / "log.jsonl"
    with pytest.raises(LogError, match=message):
        CertificateLog.open(path, manifest(**changes))
    assert not path.exists()


def edited(path: Path, number: int, **changes: Any) -> None:
    lines = path.read_text().splitlines()
    content = json.loads(lines[number - 1]) | changes
    kept = {key: value for key, value in content.items() if value != "DROP"}
    lines[number - 1] = json.dumps(kept)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("number", "changes", "message"),
    [
        (1, {"schema_version": 5}, "line 1: schema version 5"),
        (1, {"seed": "DROP"}, "line 1: missing seed"),
        (1, {"format": "other"}, "line 1: expected the manifest"),
        (2, {"p_lower": "DROP", "alpha": "DROP"}, "line 2: missing alpha, p_lower"),
        (2, {"speed": 1}, "line 2: unknown 'speed'"),
        (3, {"p_lower": 1.5}, "line 3: field 'p_lower'"),
    ],
)
def test_reading_checks_every_line_and_names_it(
    tmp_path: Path, number: int, changes: dict[str, Any], message: str
) -> None:
    path = tmp_path / "log.jsonl"
    written(path, [certificate(0), certificate(1)])
    edited(path, number, **changes)
    with pytest.raises(LogError, match=message):
        read_log(path)


def test_logs_of_schema_version_3_are_read_and_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    written(path, [certificate(0), abstention(1)])
    edited(path, 1, schema_version=3, data_selection="DROP", data_notes="DROP")
    for number in (2, 3):
        edited(path, number, name="DROP")
    old, certificates = read_log(path)
    assert (dict(old.data_selection), old.data_notes) == ({}, ())
    assert certificates == [replace(certificate(0), name=None), replace(abstention(1), name=None)]
    with CertificateLog.open(path, manifest()) as log:
        log.append(certificate(2))
    assert [each.name for each in read_log(path)[1]] == [None, None, "dog/1.png"]


@pytest.mark.parametrize(
    ("line", "change", "message"),
    [
        (1, {"data_selection": {"of": -1}}, "'data_selection' must be a mapping of integers"),
        (1, {"data_selection": [1]}, "'data_selection' must be a mapping of integers"),
        (1, {"data_notes": "x"}, "'data_notes' must be a list of strings"),
        (2, {"name": "x" * 1001}, "'name' must be null or a string of at most 1000"),
        (2, {"name": 7}, "'name' must be null or a string"),
    ],
)
def test_names_and_selections_are_checked(
    line: int, change: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    written(path, [certificate(0)])
    edited(path, line, **change)
    with pytest.raises(LogError, match=message):
        read_log(path)


def test_logs_of_schema_version_1_are_still_read(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    written(path, [certificate(0), abstention(1)])
    new = ("rule", "noise", "folding", "executor", "batch_size")
    edited(path, 1, schema_version=1, **dict.fromkeys(new, "DROP"))
    for number in (2, 3):
        edited(path, number, rival_upper="DROP", reason="DROP")
    old, certificates = read_log(path)
    assert old.rule == {"rule": "fixed", "n_select": 100, "n_estimate": 10_000, "alpha": 0.001}
    assert (old.executor, old.folding) == ("eager", "")
    assert old.noise != manifest().noise
    assert certificates == [certificate(0), abstention(1)]
    before = path.read_bytes()
    with pytest.raises(LogError, match="noise is"):
        CertificateLog.open(path, manifest())
    assert path.read_bytes() == before
    edited(path, 2, p_lower=0.4)
    with pytest.raises(LogError, match="line 2: field 'p_lower' must be above one half"):
        read_log(path)


def test_a_line_that_is_json_but_no_object_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(written(path, []) + b"[1, 2]\n")
    with pytest.raises(LogError, match="line 2: expected a JSON object"):
        read_log(path)


def test_compressed_logs_are_read_and_not_written(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl.gz"
    raw = written(tmp_path / "log.jsonl", [certificate(0), abstention(1)])
    packed = gzip.compress(raw)
    path.write_bytes(packed)
    assert read_log(path) == (manifest(), [certificate(0), abstention(1)])
    with pytest.raises(LogError, match="uncompressed"):
        CertificateLog.open(path, manifest())
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(LogError, match="damaged gzip"):
        read_log(path)


def test_two_writers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with (
        CertificateLog.open(path, manifest()),
        pytest.raises(LogError, match="another process is writing"),
    ):
        CertificateLog.open(path, manifest())


def test_unusable_paths_and_closed_logs(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="cannot be read"):
        read_log(tmp_path / "missing.jsonl")
    with pytest.raises(LogError, match="cannot be opened"):
        CertificateLog.open(tmp_path, manifest())
    log = CertificateLog.open(tmp_path / "log.jsonl", manifest())
    log.close()
    log.close()
    with pytest.raises(LogError, match="closed"):
        log.append(certificate())


def test_a_signal_waits_for_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, fsync = tmp_path / "log.jsonl", os.fsync
    log = CertificateLog.open(path, manifest())

    def interrupting(descriptor: int) -> None:
        signal.raise_signal(signal.SIGINT)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", interrupting)
    with pytest.raises(KeyboardInterrupt):
        log.append(certificate(0))
    assert log.done == {0}
    assert read_log(path)[1] == [certificate(0)]


def test_a_log_changed_or_deleted_by_others_is_written_to_no_further(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with CertificateLog.open(path, manifest()) as log:
        log.append(certificate(0))
        whole = path.read_bytes()
        path.write_bytes(whole[:-30])
        with pytest.raises(LogError, match=f"expected {len(whole)} bytes, found {len(whole) - 30}"):
            log.append(certificate(1))
        assert path.read_bytes() == whole[:-30]
        path.unlink()
        with pytest.raises(LogError, match="was deleted while"):
            log.append(certificate(1))


def test_certificates_out_of_order_are_read_and_resumed(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    written(path, [certificate(0), certificate(1), abstention(2)])
    first, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first, *reversed(rest)]))
    shuffled = [abstention(2), certificate(1), certificate(0)]
    assert read_log(path)[1] == shuffled
    with CertificateLog.open(path, manifest()) as log:
        assert log.done == {0, 1, 2}
        log.append(certificate(3))
    assert read_log(path)[1] == [*shuffled, certificate(3)]


def test_byte_order_marks_and_carriage_returns_are_read_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    written(path, [certificate(0), certificate(1)])
    converted = b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n")
    path.write_bytes(converted)
    assert read_log(path)[1] == [certificate(0), certificate(1)]
    with CertificateLog.open(path, manifest()) as log:
        log.append(certificate(2))
    assert path.read_bytes().startswith(converted)
    assert [each.index for each in read_log(path)[1]] == [0, 1, 2]


@pytest.mark.parametrize("kept", [0, 60, None])
def test_zeros_where_a_power_cut_came_before_the_data(tmp_path: Path, kept: int | None) -> None:
    path = tmp_path / "log.jsonl"
    whole = written(path, [certificate(0)])
    path.write_bytes(whole[:kept] + b"\0" * 4096)
    assert written(path, [] if kept is None else [certificate(0)]) == whole


def test_joined_logs_are_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(written(path, [certificate(0)]) * 2)
    with pytest.raises(LogError, match="line 3 is another log's manifest"):
        read_log(path)


def test_bombs_are_refused_before_they_unpack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress(b" " * (1 << 26)))
    assert path.stat().st_size < 1 << 17
    monkeypatch.setattr(content, "MOST_BYTES", 1 << 22)
    tracemalloc.start()
    with pytest.raises(LogError, match="at most 4,194,304 bytes of log"):
        read_log(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 24
    long = tmp_path / "long.jsonl"
    whole = written(long, [certificate(0)])
    long.write_bytes(whole + b'{"' + b"x" * (1 << 24) + b'": 1}\n')
    with pytest.raises(LogError, match="at most 4,194,304 bytes of log"):
        read_log(long)
    monkeypatch.undo()
    with pytest.raises(LogError, match="line 3: expected at most 16,777,216 bytes, got 16,777,"):
        read_log(long)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX")
def test_what_is_no_regular_file_is_no_log(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(LogError, match="a log is a regular file"):
            CertificateLog.open(path, manifest())


def test_a_compressed_log_under_a_plain_name_is_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    packed = gzip.compress(written(path, [certificate(0)]))
    path.write_bytes(packed)
    with pytest.raises(LogError, match="is compressed"):
        CertificateLog.open(path, manifest())
    assert path.read_bytes() == packed


def test_a_full_disk_leaves_a_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    log = CertificateLog.open(path, manifest())
    log.append(certificate(0))
    before = path.read_bytes()

    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_space)
        with pytest.raises(LogError, match="No space left"):
            log.append(certificate(1))
    assert path.read_bytes() == before
    with pytest.raises(LogError, match="closed"):
        log.append(certificate(2))


@pytest.mark.parametrize(
    ("changes", "claimed", "message"),
    [
        (
            {"rule": {"rule": "two-sided", **SMALL, "rival_share": 0.5}},
            {"p_lower": 0.5, "rival_upper": 0.0, "votes": ((3, 501), (1, 499))},
            "'p_lower' must be at most what 501 votes of 1000 prove",
        ),
        (
            {"rule": {"rule": "two-sided", **SMALL, "rival_share": 0.5}},
            {"p_lower": 0.45, "rival_upper": 1e-9, "votes": ((3, 501), (1, 499))},
            "'rival_upper' must be at least what 499 votes of 1000 leave",
        ),
        (
            {"rule": {"rule": "fixed", **SMALL}},
            {"p_lower": 1 - 2**-53, "votes": ((3, 1000),)},
            "'p_lower' must be at most what 1000 votes of 1000 prove",
        ),
        (
            {"rule": SEQUENTIAL | {"goal": "radius>=0.1"}},
            {"p_lower": 0.99, "votes": ((3, 1),), "n_used": 101},
            "'p_lower' must be at most what 1 votes of 1 prove",
        ),
        (
            {"rule": SEQUENTIAL | {"goal": "decide"}},
            {"p_lower": 0.1, "votes": ((3, 900),), "latent_radius": 0.1, "input_radius": 0.0},
            "'latent_radius' must be 0 under the goal 'decide'",
        ),
    ],
)
def test_a_claim_beyond_its_votes_is_refused(
    tmp_path: Path, changes: dict[str, Any], claimed: dict[str, Any], message: str
) -> None:
    base = {"latent_radius": 1e-9, "input_radius": 0.0, "n_used": 1100}
    start = manifest(n_estimate=1000, **changes)
    with (
        CertificateLog.open(tmp_path / "log.jsonl", start) as log,
        pytest.raises(LogError, match=message),
    ):
        log.append(certificate(0, **(base | claimed)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lattice_step": 0.0}, "'lattice_step' must be above 0"),
        ({"lattice_step": 1.0}, "'deductions' must be a lattice_rounding of at least"),
        (
            {"noise": NOISE_DEFINITIONS["exact"]},
            "'deductions' must be a total_variation above 0",
        ),
    ],
)
def test_a_manifest_that_deducts_too_little_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(LogError, match=message):
        CertificateLog.open(tmp_path / "log.jsonl", manifest(**changes))


def test_seeds_are_as_long_as_secrets(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    start = manifest(seed=2**256 - 1)
    with CertificateLog.open(path, start) as log:
        log.append(certificate(0))
    assert read_log(path) == (start, [certificate(0)])
