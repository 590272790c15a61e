"""Ways to damage a valid file, and the limits of time and memory that its reader must keep."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

CASES = os.environ.get("LATENTSMOOTH_FUZZ_CASES")
"""More cases than CI runs, other ones each time."""
SECONDS_A_CASE = 5.0
MEGABYTES_A_CASE = 1024

ODD_BYTES = st.sampled_from(
    [
        *(b"\0", b"\0" * 256, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\n", b"\r\n"),
        *(b"\xef\xbb\xbf", b"{", b"}", b"[" * 3000, b'{"a":' * 1000, b'"', b"\\ud800", b"NaN"),
        *(b"-Infinity", b"1e999", b"9" * 5000, b"-1", b"null", b"&a [*a]", b"!!python/name:x"),
        *("\u202e".encode(), b"\x1b[2J", b"<script>", b"x" * 5000, b"../", b"%s", b"\x89PNG"),
    ]
) | st.binary(min_size=1, max_size=12)

ODD_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, False, -1, 0, 1, 2, 3, 7, 16, 64, 255, 513, 10**6, 10**9, 10**18, 2**63),
        *(-(2**63), 10**400, 0.0, -0.0, 0.5, 1.0, 1e-300, 1e308, float("nan"), float("inf")),
        *("", "x", "\0", "\ud800", "\u202e", "../..", "0" * 64, "9" * 5000, "lenet", "lsrs-haar"),
        *("F64", "BF16", "F8_E4M3", "I64", [], {}, [[]], [0], [1, 8, 8], [3, 65536, 65536]),
        *([2**31, 2**31, 4], [-1, 2], [None], ["a"] * 100, {"a": {"a": {"a": {}}}}, {"": 0}),
        *({"name": "resnet18", "width": 64, "options": {}}, {"depth": 10**9}, {"levels": 500}),
    ]
)


def fuzzed(cases: int) -> settings:
    """So many cases, the same each time unless LATENTSMOOTH_FUZZ_CASES asks for another number."""
    return settings(
        max_examples=int(CASES or cases),
        derandomize=CASES is None,
        database=None,
        deadline=None,  # a case's own clock is `bounded`
        suppress_health_check=list(HealthCheck),
    )


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """One to three of: bits flipped, an end or slice cut off, a slice doubled, odd bytes put in."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        if not content:
            break
        place = draw(st.integers(0, len(content) - 1))
        length = draw(st.sampled_from([1, 2, 4, 8, 32, len(content)]))
        kind = draw(st.sampled_from(["flip", "flip", "set", "cut", "end", "double", "insert"]))
        if kind == "flip":
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set":
            odd = draw(ODD_BYTES)[:8]
            content[place : place + len(odd)] = odd
        elif kind == "cut":
            del content[place : place + length]
        elif kind == "end":
            del content[place:]
        elif kind == "double":
            other = draw(st.integers(0, len(content)))
            content[other:other] = content[place : place + length]
        else:
            content[place:place] = draw(ODD_BYTES)
    return bytes(content)


@st.composite
def altered(draw: st.DrawFn, value: Any) -> Any:
    """JSON with one to three of its values, anywhere in it, replaced, removed, doubled or added."""
    for _ in range(draw(st.integers(1, 3))):
        value = _altered_once(draw, value, whole=True)
    return value


def _altered_once(draw: st.DrawFn, value: Any, *, whole: bool = False) -> Any:
    inside = isinstance(value, dict | list) and len(value) > 0
    # Rarely the whole: a reader would learn from it that its file is another, and look no further.
    if not inside or draw(st.integers(0, 40 if whole else 5)) == 3:
        return draw(ODD_VALUES)
    changed = dict(value) if isinstance(value, dict) else list(value)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = draw(st.sampled_from(keys))
    kind = draw(st.sampled_from(["in", "in", "in", "remove", "swap", "add"]))
    if kind == "in":
        changed[key] = _altered_once(draw, value[key])
    elif kind == "remove":
        del changed[key]
    elif kind == "swap":
        other = draw(st.sampled_from(keys))
        changed[key], changed[other] = value[other], value[key]
    elif isinstance(changed, dict):
        changed[draw(st.sampled_from(["x", "", "\u202e", "__metadata__", "a.b", *keys]))] = draw(
            ODD_VALUES
        )
    else:
        changed.append(draw(ODD_VALUES))
    return changed


@contextmanager
def bounded() -> Iterator[None]:
    """Fail where what runs inside takes too much of the processor's time or of memory."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "ascii")
    before, started = _megabytes(), time.process_time()
    yield
    seconds = time.process_time() - started
    if seconds > SECONDS_A_CASE:
        raise AssertionError(f"a case took {seconds:.1f} s; at most {SECONDS_A_CASE} may be taken")
    if _megabytes() - before > MEGABYTES_A_CASE:
        raise AssertionError(f"a case grew memory from {before} to {_megabytes()} MB")


def _megabytes() -> int:
    """Most memory held since the mark was reset; 0 where the system does not tell."""
    with suppress(OSError), Path("/proc/self/status").open("rb") as file:
        for line in file:
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) // 1024
    return 0
