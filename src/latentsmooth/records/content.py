"""What is in a log file: its bytes, and the lines they hold."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from latentsmooth.certification.certificate import Certificate
from latentsmooth.errors import LogError
from latentsmooth.records.manifest import FORMAT, Manifest
from latentsmooth.records.schema import certificate_from_json, decode_line, manifest_from_json

__all__ = ["BOM", "MOST_BYTES", "ParsedLog", "lines_of", "parse_log", "read_content"]

MOST_BYTES: Final = 1 << 29
"""Of a log, decompressed: room for a million certificates, and an end to what unpacks to more."""

_MOST_LINE_BYTES: Final = 1 << 24
_PIECE: Final = 1 << 20
_NEWLINE: Final = b"\n"
_OPENING: Final = f'{{"format": "{FORMAT}"'.encode("ascii")
_GZIP_MAGIC: Final = b"\x1f\x8b"
BOM: Final = b"\xef\xbb\xbf"


def read_content(path: str | Path) -> bytes:
    """Return a log file's bytes, decompressed where they are gzip.

    Raises:
        LogError: the file cannot be opened, its compression is damaged, or it holds more than
            half a gibibyte, decompressed.
    """
    try:
        with Path(path).open("rb") as file:
            raw = _all_of(file, path)
        if raw.startswith(_GZIP_MAGIC):
            with gzip.GzipFile(fileobj=io.BytesIO(raw)) as packed:
                raw = _all_of(packed, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LogError(f"{path}: damaged gzip file: {error}") from error
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror}") from error
    return raw


def _all_of(file: IO[bytes] | gzip.GzipFile, path: str | Path) -> bytes:
    held = io.BytesIO()  # which gives its bytes away without a copy of them
    while piece := file.read(_PIECE):
        if held.tell() + len(piece) > MOST_BYTES:
            raise LogError(f"{path}: expected at most {MOST_BYTES:,} bytes of log, got more")
        held.write(piece)
    return held.getvalue()


def lines_of(raw: bytes, path: Path) -> Iterator[tuple[int, bytes]]:
    """Walk over a file's lines with their numbers, one at a time: they may be many.

    Raises:
        LogError: a line is longer than any of a log; ``path`` is for the message.
    """
    start, number = 0, 1
    while start < len(raw):
        end = raw.find(b"\n", start)
        end = len(raw) if end < 0 else end
        if end - start > _MOST_LINE_BYTES:
            raise LogError(
                f"{path}: line {number}: expected at most {_MOST_LINE_BYTES:,} bytes, got "
                f"{end - start:,}"
            )
        yield number, raw[start:end]
        start, number = end + 1, number + 1


@dataclass(frozen=True, slots=True)
class ParsedLog:
    """What a file holds: ``manifest`` is ``None`` where not even that line is whole.

    ``whole_bytes`` is the length of the file up to the end of its last whole line.
    """

    manifest: Manifest | None
    certificates: list[Certificate]
    whole_bytes: int


def parse_log(raw: bytes, path: Path, *, keep_unterminated: bool = False) -> ParsedLog:
    """Read a log's bytes; a last line that is no JSON is torn and left out.

    A last line without its newline is torn too, unless ``keep_unterminated`` and it is whole JSON.

    Raises:
        LogError: as :func:`read_log`; ``path`` is for the message.
    """
    if raw.startswith(_GZIP_MAGIC):  # readers have unpacked it, so this is to be written to
        raise LogError(f"{path}: is compressed; a log is written uncompressed")
    whole_bytes = _whole_bytes(raw, path, keep_unterminated=keep_unterminated)
    if not whole_bytes:
        _check_ours(raw, path)
        return ParsedLog(None, [], 0)
    lines = lines_of(raw if whole_bytes == len(raw) else raw[:whole_bytes], path)
    number, line = next(lines)
    content = _decode(line.removeprefix(BOM), path, number)
    manifest = manifest_from_json(content, f"{path}: line 1")
    certificates: list[Certificate] = []
    seen: dict[int, int] = {}
    for number, line in lines:
        content = _decode(line, path, number)
        if isinstance(content, dict) and content.get("format") == FORMAT:
            raise LogError(f"{path}: line {number} is another log's manifest: are two logs joined?")
        certificate = certificate_from_json(content, manifest, f"{path}: line {number}")
        if (earlier := seen.setdefault(certificate.index, number)) != number:
            raise LogError(
                f"{path}: line {number}: image {certificate.index} is on line {earlier} already"
            )
        certificates.append(certificate)
    return ParsedLog(manifest, certificates, whole_bytes)


def _whole_bytes(raw: bytes, path: Path, *, keep_unterminated: bool) -> int:
    """Where the last whole line ends."""
    end = raw.rfind(b"\n") + 1
    if end == len(raw):
        start = raw.rfind(b"\n", 0, max(end - 1, 0)) + 1
        return end if _is_json(raw, start, path) else start
    return len(raw) if keep_unterminated and _is_json(raw, end, path) else end


def _decode(line: bytes, path: Path, number: int) -> object:
    try:
        return decode_line(line)
    except ValueError as error:
        if number == 1:
            raise LogError(f"{path}: not a certificate log: line 1 is not JSON") from error
        raise LogError(f"{path}: line {number} is damaged (not JSON): {error}") from error


def _is_json(raw: bytes, start: int, path: Path) -> bool:
    """Whether a file's last line is JSON; it begins at ``start``."""
    if len(raw) - start > _MOST_LINE_BYTES + 1:
        raise LogError(
            f"{path}: line {raw.count(_NEWLINE, 0, start) + 1}: expected at most "
            f"{_MOST_LINE_BYTES:,} bytes, got {len(raw) - start:,}"
        )
    line = raw[start:]
    try:
        decode_line(line[:-1].removeprefix(BOM) if line.endswith(b"\n") else line)
    except ValueError:
        return False
    return True


def _check_ours(torn: bytes, path: Path) -> None:
    # After a power cut the end of a file, or all of it, may be zeros.
    begun = torn.removeprefix(BOM).rstrip(b"\n").rstrip(b"\0")
    if begun[: len(_OPENING)] != _OPENING[: len(begun)]:
        raise LogError(f"{path}: not a certificate log; it begins with {torn[:40]!r}")
