"""The certificate log: JSON Lines that survive a kill and resume where they stopped."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import MappingProxyType, TracebackType

from latentsmooth.certification.certificate import Certificate
from latentsmooth.errors import LogError
from latentsmooth.files import is_file, lock, make_folder, sync_folder, write_all
from latentsmooth.interrupts import deferred_interrupts
from latentsmooth.records.content import MOST_BYTES, parse_log, read_content
from latentsmooth.records.manifest import Manifest, differences
from latentsmooth.records.schema import encode_certificate, encode_manifest

__all__ = ["CertificateLog", "manifest_of", "read_log"]


class CertificateLog:
    """A certificate log open for appending; make one with :meth:`open`.

    Each certificate is on the disk (written and synced) when :meth:`append` returns. What a killed
    run left is kept byte for byte, save for a torn last line, so that the finished file does not
    depend on whether the run was interrupted, timings aside. Where lines stand does not matter:
    certificates out of the images' order are kept where they are.
    """

    def __init__(self, path: Path, manifest: Manifest, descriptor: int) -> None:
        self._path = path
        self._manifest = manifest
        self._descriptor: int | None = descriptor
        self._bytes = 0
        self._certificates: dict[int, Certificate] = {}

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
        log = cls(path, manifest, _open_for_update(path))
        try:
            log._take_up(first)
        except BaseException as error:
            log.close()
            if isinstance(error, OSError):
                raise LogError(f"{path}: cannot be written: {error.strerror}") from error
            raise
        return log

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

        A signal that comes meanwhile acts when the line is whole.

        Raises:
            LogError: the image is in the log already, a field cannot be written (a number that is
                not finite, say), the log is closed, was deleted or was changed by another program,
                or the disk refuses; then it is closed, and ends with the last whole line.
        """
        if self._descriptor is None:
            raise LogError(f"{self._path}: the log is closed")
        if certificate.index in self._certificates:
            raise LogError(f"{self._path}: image {certificate.index} is in the log already")
        line = encode_certificate(certificate, self._manifest)
        with deferred_interrupts():
            self._check_untouched()
            self._write(line)
            self._certificates[certificate.index] = certificate

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> CertificateLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take_up(self, first: bytes) -> None:
        found = parse_log(_bytes_of(self._open_descriptor, self._path), self._path)
        if found.manifest is not None:
            _check_same(self._path, found.manifest, self._manifest)
            self._manifest = found.manifest
        self._certificates = {each.index: each for each in found.certificates}
        self._bytes = found.whole_bytes
        with deferred_interrupts():
            self._cut()
            if found.manifest is None:
                self._write(first)
                sync_folder(self._path.absolute().parent)

    def _check_untouched(self) -> None:
        found = os.fstat(self._open_descriptor)
        if not found.st_nlink:
            raise LogError(f"{self._path}: was deleted while it was being written")
        if found.st_size != self._bytes:
            raise LogError(
                f"{self._path}: was changed by another program while it was being written: "
                f"expected {self._bytes} bytes, found {found.st_size}"
            )

    def _write(self, line: bytes) -> None:
        try:
            write_all(self._open_descriptor, line)
            os.fsync(self._open_descriptor)
        except BaseException as error:
            # Taken back and closed, so that no line can follow a torn one.
            with contextlib.suppress(OSError):
                self._cut()
            self.close()
            if isinstance(error, OSError):
                reason = f"cannot be written: {error.strerror}"
                raise LogError(f"{self._path}: {reason}") from error
            raise
        self._bytes += len(line)

    def _cut(self) -> None:
        """Let the file end with its last whole line."""
        os.ftruncate(self._open_descriptor, self._bytes)
        os.lseek(self._open_descriptor, self._bytes, os.SEEK_SET)

    @property
    def _open_descriptor(self) -> int:
        if self._descriptor is None:
            raise LogError(f"{self._path}: the log is closed")
        return self._descriptor


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
    if not is_file(path):
        return None
    return parse_log(read_content(path), Path(path), keep_unterminated=True).manifest


def _check_same(path: Path, theirs: Manifest, ours: Manifest) -> None:
    if found := differences(ours, theirs):
        listed = "; ".join(f"{name} is {old!r} there, {new!r} here" for name, new, old in found)
        raise LogError(f"{path}: made under another manifest: {listed}. Choose another log file.")


def _open_for_update(path: Path) -> int:
    """Open a regular file, made if need be, and lock it."""
    try:
        make_folder(path.absolute().parent)
        # A pipe would be waited for without O_NONBLOCK, which regular files don't mind.
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        raise LogError(f"{path}: cannot be opened for writing: {error.strerror}") from error
    try:
        _check_regular(descriptor, path)
        lock(descriptor)
    except BlockingIOError as error:
        os.close(descriptor)
        raise LogError(f"{path}: another process is writing this log") from error
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_regular(descriptor: int, path: Path) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise LogError(f"{path}: a log is a regular file, which this is not")


def _bytes_of(descriptor: int, path: Path) -> bytes:
    if (size := os.fstat(descriptor).st_size) > MOST_BYTES:
        raise LogError(f"{path}: expected at most {MOST_BYTES:,} bytes of log, got {size:,}")
    with open(descriptor, "rb", closefd=False) as file:
        return file.read()
