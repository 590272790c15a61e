"""Damaged, foreign and hostile logs: only `LogError`, nothing lost that was whole, nothing doubled.

Valid files are damaged at places known to the test: bits flipped, slices cut out, odd bytes put in,
lines swapped, doubled or taken from another log, fields given odd values. More cases, other ones
each time: LATENTSMOOTH_FUZZ_CASES=50000.
"""

from __future__ import annotations

import gzip
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from latentsmooth.errors import LogError
from latentsmooth.records import CertificateLog, read_any_log, read_log, read_tsv, tsv_text
from latentsmooth.records.schema import encode_certificate, encode_manifest
from tests.records.makers import abstention, certificate, manifest

CASES = os.environ.get("LATENTSMOOTH_FUZZ_CASES")
fuzzed = settings(
    max_examples=int(CASES or 600),
    derandomize=CASES is None,
    database=None,
    deadline=None,  # a case's own clock is `at_most_seconds`
    suppress_health_check=list(HealthCheck),
)
SECONDS_A_CASE = 5.0

MADE = [
    certificate(0),
    abstention(1),
    certificate(7, label=None),
    certificate(3, seconds=90_000.25),
]
LOG = encode_manifest(manifest()) + b"".join(encode_certificate(c, manifest()) for c in MADE)
OTHER = encode_manifest(manifest(seed=9)) + encode_certificate(certificate(5), manifest(seed=9))
TSV = tsv_text(MADE).encode()

ODD_BYTES = st.sampled_from(
    [
        *(b"\n", b"\r\n", b"\r", b"\0", b"\0" * 512, b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f\x8b"),
        *(b"{", b"}", b"[" * 20_000, b'{"a":' * 5_000, b'"', b"\\", b"\\ud800", b"\t", b" " * 5000),
        *(b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"-1", b"null", b"1 day, ", b"99:"),
        *("\u202e".encode(), "\u2028".encode(), "٣".encode(), b'"index": 0, ', b"x" * 70_000),
    ]
) | st.binary(min_size=1, max_size=12)
ODD_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, False, -1, 0, 1, 3, 10**18, 10**400, -(10**30), 0.0, -0.0, 0.5, 1.0, 1e308),
        *("", "x", "\0", "\ud800", "\u202e", [], {}, [[]], [[3, 1]], [[3, 9500], [3, 1]], [None]),
        *({"rule": "fixed"}, {"rule": {}}, {"": ""}, ["a"] * 100, "9" * 5000, "1e3", [[1e9, True]]),
    ]
)
ODD_CELLS = st.sampled_from(
    [
        *(b"", b"-1", b"-2", b"007", b"1_0", b"+1", b"1.5", b"nan", b"inf", b"1e400", b"0x1p3"),
        *(b"9" * 18, b"9" * 19, b"9" * 5000, b"9" * 5000 + b" days, 0:00:00", b"1:2", b"1:2:3:4"),
        *(b"9" * 17 + b" days, 1:00:00", b"1 day, 1:99:99.", b"True", b"2", b"\0", b"idx", b"\xff"),
    ]
)


@dataclass
class Damaged:
    """A file's bytes, and how many of them, from the first, are as they were."""

    raw: bytes
    sound: int


@st.composite
def damaged(draw: st.DrawFn, raw: bytes) -> Damaged:
    """One to three kinds of damage, one after another."""
    found = Damaged(raw, len(raw))
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        kinds = [in_bytes, in_bytes, in_lines, in_fields if raw.startswith(b"{") else in_cells]
        harm, at = draw(draw(st.sampled_from(kinds))(found.raw))
        found = Damaged(harm, min(found.sound, at))
    return found


@st.composite
def places(draw: st.DrawFn, raw: bytes) -> int:
    """An offset, in each line as likely as in any other: the first one is the longest."""
    lines = raw.split(b"\n")
    number = draw(st.sampled_from(range(len(lines))))
    return sum(len(line) + 1 for line in lines[:number]) + draw(st.integers(0, len(lines[number])))


@st.composite
def in_bytes(draw: st.DrawFn, raw: bytes) -> tuple[bytes, int]:
    at = draw(places(raw))
    to = min(len(raw), at + draw(st.integers(0, 40)))
    kind = draw(st.sampled_from(["flip", "cut", "insert", "replace", "truncate", "zero"]))
    if kind == "flip" and at < len(raw):
        flipped = raw[at] ^ 1 << draw(st.integers(0, 7))
        return raw[:at] + bytes([flipped]) + raw[at + 1 :], at
    if kind == "cut":
        return raw[:at] + raw[to:], at
    if kind == "truncate":
        return raw[:at], at
    if kind == "zero":
        return raw[:at] + b"\0" * (to - at) + raw[to:], at
    return raw[:at] + draw(ODD_BYTES) + raw[to if kind == "replace" else at :], at


@st.composite
def in_lines(draw: st.DrawFn, raw: bytes) -> tuple[bytes, int]:
    lines = raw.split(b"\n")
    first, second = sorted(draw(st.tuples(*[st.sampled_from(range(len(lines)))] * 2)))
    at = sum(len(line) + 1 for line in lines[:first])
    kind = draw(st.sampled_from(["swap", "double", "drop", "foreign", "blank", "carriage"]))
    if kind == "swap":
        lines[first], lines[second] = lines[second], lines[first]
    elif kind == "double":
        lines.insert(second, lines[first])
        at = sum(len(line) + 1 for line in lines[:second])
    elif kind == "drop":
        del lines[first]
    elif kind == "foreign":
        lines.insert(first, draw(st.sampled_from([*OTHER.splitlines(), *TSV.splitlines()])))
    elif kind == "blank":
        lines.insert(first, b"")
    else:
        return raw.replace(b"\n", b"\r\n"), raw.find(b"\n") if b"\n" in raw else len(raw)
    return b"\n".join(lines), min(at, len(raw))


@st.composite
def in_fields(draw: st.DrawFn, raw: bytes) -> tuple[bytes, int]:
    lines = raw.split(b"\n")
    number = draw(st.sampled_from(range(len(lines))))
    try:
        content: Any = json.loads(lines[number])
    except (ValueError, RecursionError):
        return raw, len(raw)
    if not isinstance(content, dict) or not content:
        return raw, len(raw)
    name = draw(st.sampled_from(sorted(content)))
    match draw(st.sampled_from(["set", "set", "set", "drop", "add"])):
        case "set":
            content[name] = draw(ODD_VALUES)
        case "drop":
            del content[name]
        case _:
            content[draw(st.text(max_size=5))] = draw(ODD_VALUES)
    lines[number] = json.dumps(content).encode()
    return b"\n".join(lines), sum(len(line) + 1 for line in lines[:number])


def refusal(error: LogError, path: Path) -> str:
    """The message, which must name the file."""
    message = str(error)
    assert message.startswith(f"{path}: ")
    return message


@st.composite
def in_cells(draw: st.DrawFn, raw: bytes) -> tuple[bytes, int]:
    lines = raw.split(b"\n")
    number = draw(st.sampled_from(range(len(lines))))
    cells = lines[number].split(b"\t")
    cells[draw(st.sampled_from(range(len(cells))))] = draw(ODD_CELLS)
    lines[number] = b"\t".join(cells)
    return b"\n".join(lines), sum(len(line) + 1 for line in lines[:number])


@contextmanager
def at_most_seconds(most: float) -> Iterator[None]:
    start = time.process_time()  # of this process: a busy machine is no failure
    yield
    assert time.process_time() - start < most


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "log"


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


def sound_rows(case: Damaged) -> int:
    """How many of `MADE` lie, line end included, before the first damage."""
    return max(0, case.raw[: case.sound].count(b"\n") - 1)


@given(case=damaged(LOG), packed=st.booleans())
@fuzzed
def test_reading(path: Path, case: Damaged, packed: bool) -> None:
    path.write_bytes(gzip.compress(case.raw, 1) if packed else case.raw)
    with at_most_seconds(SECONDS_A_CASE):
        try:
            _, certificates = read_log(path)
        except LogError as error:
            refusal(error, path)
            torn = case.sound >= LOG.rfind(b"\n", 0, -1) + 1 and case.raw.count(b"\n") <= 5
            tail = case.raw[LOG.rfind(b"\n", 0, -1) + 1 :]
            assert not (torn and is_torn(tail)), "a torn last line is left out, not an error"
            return
    whole = sound_rows(case)
    assert certificates[:whole] == MADE[:whole]
    assert len({each.index for each in certificates}) == len(certificates)
    if packed:  # by half of the cases: each costs a second reading
        assert read_any_log(path).certificates == (*certificates,)


def is_torn(tail: bytes) -> bool:
    """Whether a last line can be told to be one: no JSON, and nothing after it."""
    if b"\n" in tail.removesuffix(b"\n"):
        return False
    try:
        json.loads(tail, parse_constant=lambda _: 1 // 0)
    except (ValueError, ZeroDivisionError, RecursionError):
        return len(tail) < 1 << 20
    return False


@given(case=damaged(LOG))
@fuzzed
def test_resuming(path: Path, case: Damaged) -> None:
    path.write_bytes(case.raw)
    with at_most_seconds(SECONDS_A_CASE):
        try:
            log = CertificateLog.open(path, manifest())
        except LogError as error:
            refusal(error, path)
            assert path.read_bytes() == case.raw, "what is refused is left as it was"
            return
        with log:
            kept = path.read_bytes()
            if case.raw.startswith(kept):
                assert case.raw[len(kept) :].count(b"\n") <= 1, "no more than a last line is cut"
            else:
                assert kept.splitlines() == LOG.splitlines()[:1], "begun anew"
                assert sound_rows(case) == 0
            assert list(log.certificates.values())[: sound_rows(case)] == MADE[: sound_rows(case)]
            for each in MADE:
                if each.index not in log.done:
                    log.append(each)
    assert path.read_bytes().startswith(kept)
    indices = [each.index for each in read_log(path)[1]]
    assert len(set(indices)) == len(indices)
    assert set(indices) >= {each.index for each in MADE}


@given(case=damaged(TSV), packed=st.booleans())
@fuzzed
def test_published_files(path: Path, case: Damaged, packed: bool) -> None:
    path.write_bytes(gzip.compress(case.raw, 1) if packed else case.raw)
    with at_most_seconds(SECONDS_A_CASE):
        try:
            rows = read_tsv(path)
        except LogError as error:
            refusal(error, path)
            with pytest.raises(LogError):
                read_any_log(path)
            return
    assert read_any_log(path).certificates == (*rows,)
    whole = sound_rows(case)
    expected = [(each.index, each.label, each.prediction) for each in MADE[:whole]]
    assert [(each.index, each.label, each.prediction) for each in rows[:whole]] == expected
    assert len({each.index for each in rows}) == len(rows)


@given(
    raw=st.binary(max_size=200), head=st.sampled_from([b"", LOG[:40], b"idx\t", b"\x1f\x8b\x08"])
)
@settings(fuzzed, max_examples=200)
def test_anything_at_all(path: Path, raw: bytes, head: bytes) -> None:
    path.write_bytes(head + raw)
    for read in (read_log, read_any_log, read_tsv):
        with pytest.raises(LogError):
            read(path)
