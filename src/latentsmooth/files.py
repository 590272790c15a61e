"""Whole files or none, whatever a kill, a full disk or a power cut comes between."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "DRAFT_SUFFIX",
    "draft_name",
    "hold",
    "is_file",
    "is_folder",
    "lock",
    "make_folder",
    "replace_folder",
    "sync_folder",
    "user_path",
    "write_all",
    "write_whole",
]

DRAFT_SUFFIX = ".draft"
_STALE = 3600.0
"""Seconds after which a draft is one that a killed process left."""
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM})
_DEVICES = (("/", "dev"), ("/", "proc"))


def write_whole(path: str | Path, content: bytes | str) -> None:
    """Write a file so that readers, now and after a power cut, find all of it or what was before.

    A draft in the same folder is written, synced and renamed, and then the folder is synced. The
    folder is made if need be, the mode of an older file kept, a link followed. What is no regular
    file (``/dev/stdout``, a pipe) is written directly.

    Args:
        path: the file.
        content: its bytes, or text to be encoded as UTF-8.

    Raises:
        OSError: a full or read-only disk, a folder without permission; it names ``path``, which
            is as it was before, and the draft is gone.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_whole(Path(folder) / "new" / "notes.txt", "whole")
        ...     (Path(folder) / "new" / "notes.txt").read_text()
        'whole'
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    path = Path(path)
    try:
        if _is_special(path):
            with path.open("wb", buffering=0) as file:
                write_all(file.fileno(), data)
            return
        target = Path(os.path.realpath(path))
        make_folder(target.parent)
        _replace(target, data)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror or os.strerror(error.errno), str(path)) from error


def replace_folder(draft: Path, target: Path) -> None:
    """Give a finished folder its name, in the place of an older one of that name.

    Files in it are expected to be on the disk already. An older folder is moved aside first and
    deleted last, so that the name is missing for no longer than two renames take.

    Args:
        draft: the finished folder, beside ``target``.
        target: its name from now on.
    """
    sync_folder(draft)
    aside = draft_name(target)
    with contextlib.suppress(FileNotFoundError):
        target.rename(aside)
    draft.rename(target)
    sync_folder(target.parent)
    shutil.rmtree(aside, ignore_errors=True)


def draft_name(target: Path) -> Path:
    """Return a name beside ``target`` that no other process uses."""
    # Cut short: the draft's name must fit the file system wherever the target's does.
    return target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}{DRAFT_SUFFIX}")


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each one's entry on the disk when this returns."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """Have a folder's entries on the disk; without effect where a file system cannot sync folders.

    Raises:
        OSError: the disk fails.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte: one call may take fewer than it is given, next to a full disk's end.

    Raises:
        OSError: the disk refuses; some bytes may be written.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def is_file(path: str | Path) -> bool:
    """Whether there is a file of that name; no name, however odd or long, is an error."""
    return os.path.isfile(path)  # noqa: PTH113 - `Path` raises where a name is too long


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder of that name; no name, however odd or long, is an error.

    >>> is_folder("a" * 300), is_folder(".")
    (False, True)
    """
    return os.path.isdir(path)  # noqa: PTH112 - as above


def user_path(path: str | Path) -> Path:
    """A path as a user writes it: ``~`` and ``~name`` at its beginning mean a home folder."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - `Path` raises where there is none


def lock(descriptor: int) -> None:
    """Take an open file for this process alone, until it is closed or the process ends.

    Without effect on a system or file system without such locks.

    Raises:
        BlockingIOError: another process has it.
    """
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            return


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock of a file, made if need be, while inside.

    The file stays: one that is deleted could be locked by two processes under one name.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _replace(target: Path, data: bytes) -> None:
    _sweep(target)
    draft = draft_name(target)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        try:
            with contextlib.suppress(FileNotFoundError):
                # Windows has no fchmod before Python 3.13, and no modes worth keeping.
                if sys.platform != "win32":
                    os.fchmod(descriptor, stat.S_IMODE(target.stat().st_mode))
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def _sweep(target: Path) -> None:
    """Delete drafts of a file that killed processes left long ago."""
    # The whole of a draft's name, so that no file of the user's is taken for one.
    draft = re.compile(re.escape(f".{target.name[:40]}.") + "[0-9a-f]{8}" + re.escape(DRAFT_SUFFIX))
    now = time.time()
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            if (
                draft.fullmatch(entry.name)
                and entry.is_file()
                and now - entry.stat().st_mtime > _STALE
            ):
                Path(entry.path).unlink(missing_ok=True)


def _is_special(path: Path) -> bool:
    """Whether a path leads to no regular file, and a rename would replace a device by one."""
    if Path(os.path.abspath(path)).parts[:2] in _DEVICES:  # noqa: PTH100 - links are not followed
        return True
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False
