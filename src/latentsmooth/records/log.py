"""The certificate log: JSON Lines that survive a kill and resume where they stopped."""

from __future__ import annotations

import contextlib
import gzip
import os
import sys
import zlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO

from latentsmooth.certification.certificate import Certificate
from latentsmooth.errors import LogError
from latentsmooth.records.manifest import FORMAT, Manifest, differences
from latentsmooth.records.schema import (
    certificate_from_json,
    decode_line,
    encode_certificate,
    encode_manifest,
    manifest_from_json,
)

__all__ = ["CertificateLog", "manifest_of", "parse_log", "read_content", "read_log"]

_OPENING = f'{{"format": "{FORMAT}"'.encode("ascii")
_GZIP_MAGIC = b"\x1f\x8b"


class CertificateLog:
    """A certificate log open for appending; make one with :meth:`open`.

    Each certificate is on the disk (flushed and synced) when :meth:`append` returns. What a killed
    run left is kept byte for byte, save for a torn last line, so that the finished file does not
    depend on whether the run was interrupted, timings aside.
    """

    def __init__(
        self, path: Path, manifest: Manifest, file: IO[bytes], certificates: list[Certificate]
    ) -> None:
        self._path = path
        self._manifest = manifest
        self._file = file
        self._certificates = {certificate.index: certificate for certificate in certificates}

    @classmethod
    def open(cls, path: str | Path, manifest: Manifest) -> CertificateLog:
        """Begin the log at ``path``, or resume the one that is there.

        A last line without a newline, or that is not JSON, is torn: it is cut off and its image
        counts as not done. A file holding no more than a torn manifest is begun anew.

        Raises:
            LogError: the file belongs to another manifest (every differing field is named), is
                damaged elsewhere than in its last line, is not a certificate log, is compressed,
                or is being written by another process. The file is then left as it was.
        """
        path = Path(path)
        first = encode_manifest(manifest)
        if path.suffix == ".gz":
            raise LogError(f"{path}: a log is written uncompressed; drop the .gz")
        file = _open_for_update(path)
        try:
            _lock(file, path)
            found = parse_log(file.read(), path, keep_unterminated=False)
            if found.manifest is None:
                file.seek(0)
                file.truncate()
                _write(file, first, path)
            else:
                _check_same(path, found.manifest, manifest)
                file.seek(found.whole_bytes)
                file.truncate()
        except BaseException:
            file.close()
            raise
        return cls(path, found.manifest or manifest, file, found.certificates)

    @property
    def path(self) -> Path:
        """Where the log is."""
        return self._path

    @property
    def manifest(self) -> Manifest:
        """The manifest in the file: the first run's, where the log was resumed."""
        return self._manifest

    @property
    def done(self) -> AbstractSet[int]:
        """The indices of the images that the log holds, those of earlier runs included."""
        return self._certificates.keys()

    @property
    def certificates(self) -> Mapping[int, Certificate]:
        """Every certificate in the log by its image's index, those of earlier runs included."""
        return MappingProxyType(self._certificates)

    def append(self, certificate: Certificate) -> None:
        """Write one certificate and return once it is on the disk.

        Raises:
            LogError: the image is in the log already, a field cannot be written (a number that is
                not finite, say), the log is closed, or the disk refuses.
        """
        if self._file.closed:
            raise LogError(f"{self._path}: the log is closed")
        if certificate.index in self._certificates:
            raise LogError(f"{self._path}: image {certificate.index} is in the log already")
        _write(self._file, encode_certificate(certificate, self._manifest), self._path)
        self._certificates[certificate.index] = certificate

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._file.close()

    def __enter__(self) -> CertificateLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_log(path: str | Path) -> tuple[Manifest, list[Certificate]]:
    """Read a certificate log, plain or gzip-compressed; a torn last line is left out.

    Raises:
        LogError: the file cannot be read, is not a certificate log, or is damaged elsewhere than in
            its last line; the message names the line.
    """
    found = parse_log(read_content(path), Path(path), keep_unterminated=True)
    if found.manifest is None:
        raise LogError(f"{path}: holds no whole manifest line")
    return found.manifest, found.certificates


def manifest_of(path: str | Path) -> Manifest | None:
    """Return the manifest of a log that is begun, ``None`` where there is none to be read yet.

    Raises:
        LogError: as :func:`read_log`, for a file that is there.
    """
    if not Path(path).is_file():
        return None
    return parse_log(read_content(path), Path(path), keep_unterminated=True).manifest


def read_content(path: str | Path) -> bytes:
    """Return a log file's bytes, decompressed where they are gzip.

    Raises:
        LogError: the file cannot be opened, or its compression is damaged.
    """
    try:
        raw = Path(path).read_bytes()
        return gzip.decompress(raw) if raw.startswith(_GZIP_MAGIC) else raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LogError(f"{path}: damaged gzip file: {error}") from error
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class ParsedLog:
    """What a file holds: ``manifest`` is ``None`` where not even that line is whole.

    ``whole_bytes`` is the length of the file up to the end of its last whole line.
    """

    manifest: Manifest | None
    certificates: list[Certificate]
    whole_bytes: int


def parse_log(raw: bytes, path: Path, *, keep_unterminated: bool) -> ParsedLog:
    """Read a log's bytes; a last line that is no JSON is torn and left out.

    A last line without its newline is torn too, unless ``keep_unterminated`` and it is whole JSON.

    Raises:
        LogError: as :func:`read_log`; ``path`` is for the message.
    """
    *lines, tail = raw.split(b"\n")
    if tail and keep_unterminated and _is_json(tail):
        lines.append(tail)
        tail = b""
    if not tail and lines and not _is_json(lines[-1]):
        tail = lines.pop() + b"\n"
    if not lines:
        _check_ours(tail, path)
        return ParsedLog(None, [], 0)
    manifest = manifest_from_json(_decode(lines[0], path, 1), f"{path}: line 1")
    certificates: list[Certificate] = []
    seen: dict[int, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        content = _decode(line, path, number)
        certificate = certificate_from_json(content, manifest, f"{path}: line {number}")
        if (earlier := seen.setdefault(certificate.index, number)) != number:
            raise LogError(
                f"{path}: line {number}: image {certificate.index} is on line {earlier} already"
            )
        certificates.append(certificate)
    return ParsedLog(manifest, certificates, len(raw) - len(tail))


def _decode(line: bytes, path: Path, number: int) -> object:
    try:
        return decode_line(line)
    except ValueError as error:
        if number == 1:
            raise LogError(f"{path}: not a certificate log: line 1 is not JSON") from error
        raise LogError(f"{path}: line {number} is damaged (not JSON): {error}") from error


def _is_json(line: bytes) -> bool:
    try:
        decode_line(line)
    except ValueError:
        return False
    return True


def _check_ours(torn: bytes, path: Path) -> None:
    if torn[: len(_OPENING)] != _OPENING[: len(torn)]:
        raise LogError(f"{path}: not a certificate log; it begins with {torn[:40]!r}")


def _check_same(path: Path, theirs: Manifest, ours: Manifest) -> None:
    if found := differences(ours, theirs):
        listed = "; ".join(f"{name} is {old!r} there, {new!r} here" for name, new, old in found)
        raise LogError(f"{path}: made under another manifest: {listed}. Choose another log file.")


def _open_for_update(path: Path) -> IO[bytes]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
    except OSError as error:
        raise LogError(f"{path}: cannot be opened for writing: {error.strerror}") from error


def _lock(file: IO[bytes], path: Path) -> None:
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LogError(f"{path}: another process is writing this log") from error
        except OSError:
            return  # a file system without locks: certify without that protection


def _write(file: IO[bytes], line: bytes, path: Path) -> None:
    start = file.tell()
    try:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        _undo(file, start)
        raise LogError(f"{path}: cannot be written: {error.strerror}") from error


def _undo(file: IO[bytes], start: int) -> None:
    """Take back a half-written line and close, so that no line can follow a torn one."""
    descriptor = os.dup(file.fileno())
    with contextlib.suppress(OSError):
        file.close()
    try:
        os.ftruncate(descriptor, start)
    finally:
        os.close(descriptor)
