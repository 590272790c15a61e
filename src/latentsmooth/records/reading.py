"""Read a log of either format, chosen by its content."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from latentsmooth.errors import LogError
from latentsmooth.records.content import BOM, parse_log, read_content
from latentsmooth.records.tsv import parse_tsv
from latentsmooth.records.view import LogView

__all__ = ["log_name", "read_any_log"]

_OBJECT: Final = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r]*\{")
_LONGEST_HEADER: Final = 1 << 16
_SUFFIXES: Final = frozenset({".jsonl", ".json", ".tsv", ".txt", ".csv", ".log", ".gz"})


def read_any_log(path: str | Path, *, name: str | None = None) -> LogView:
    """Read a certificate log or a published TSV file, whichever the content is.

    The view is called ``name``, or by the file's name without its known suffixes.

    Raises:
        LogError: the content is neither, or is damaged (:func:`read_log`, :func:`read_tsv`).
    """
    path = Path(path)
    raw = read_content(path)
    called = log_name(path) if name is None else name
    if _OBJECT.match(raw):
        found = parse_log(raw, path, keep_unterminated=True)
        if found.manifest is None:
            raise LogError(f"{path}: holds no whole manifest line")
        return LogView(name=called, manifest=found.manifest, certificates=(*found.certificates,))
    first = raw[:_LONGEST_HEADER].partition(b"\n")[0].removeprefix(BOM)
    if b"idx" in map(bytes.strip, first.split(b"\t")):
        return LogView(name=called, manifest=None, certificates=(*parse_tsv(raw, path),))
    raise LogError(
        f"{path}: expected a certificate log (JSON Lines) or a TSV file with columns "
        f"idx, label, predict, radius, correct, time; it begins with {first[:40]!r}"
    )


def log_name(path: str | Path) -> str:
    """Return a file's name without the suffixes of log files.

    >>> log_name("runs/sigma0.25.jsonl.gz")
    'sigma0.25'
    """
    plain = Path(path)
    while plain.suffix in _SUFFIXES and plain.stem:
        plain = plain.with_suffix("")
    return plain.name
