"""Whole files or none: under kills, full and read-only disks, other writers and odd targets."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from latentsmooth.files import (
    DRAFT_SUFFIX,
    hold,
    make_folder,
    replace_folder,
    sync_folder,
    write_whole,
)

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 KiB, where mounting is allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Give up root's right to write anywhere, for a moment."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_new_and_old_files_are_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "file.txt"
    write_whole(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()
    write_whole(str(path), b"\x00\xff\r\n")
    assert path.read_bytes() == b"\x00\xff\r\n"
    assert [each.name for each in path.parent.iterdir()] == ["file.txt"]


def test_the_draft_and_then_the_folder_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order that makes a rename outlive a power cut."""
    seen: list[tuple[str, str]] = []
    fsync, replace = os.fsync, Path.replace

    def spied_fsync(descriptor: int) -> None:
        seen.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink().suffix))
        fsync(descriptor)

    def spied_replace(self: Path, target: Path) -> Path:
        assert self.read_bytes() == b"new"
        seen.append(("rename", self.suffix))
        return replace(self, target)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("names of open files are told by /proc only")
    monkeypatch.setattr(os, "fsync", spied_fsync)
    monkeypatch.setattr(Path, "replace", spied_replace)
    write_whole(tmp_path / "file.txt", b"new")
    assert seen == [("sync", DRAFT_SUFFIX), ("rename", DRAFT_SUFFIX), ("sync", "")]


@POSIX
def test_modes_and_links_are_kept(tmp_path: Path) -> None:
    fresh, private, link = tmp_path / "fresh", tmp_path / "private", tmp_path / "link"
    before = os.umask(0o027)
    try:
        write_whole(fresh, b"")
        private.write_bytes(b"old")
        private.chmod(0o600)
        link.symlink_to("private")
        write_whole(link, b"new")
    finally:
        os.umask(before)
    assert fresh.stat().st_mode & 0o777 == 0o640
    assert private.stat().st_mode & 0o777 == 0o600
    assert private.read_bytes() == b"new"
    assert link.is_symlink()


@POSIX
def test_devices_and_pipes_are_written_to_not_replaced(tmp_path: Path) -> None:
    write_whole("/dev/null", b"gone")
    assert Path("/dev/null").is_char_device()
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    write_whole(link, b"gone")
    assert Path("/dev/null").is_char_device()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(pipe, b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    said = subprocess.run(
        [sys.executable, "-c", WRITE, "/dev/stdout", "3"], capture_output=True, check=True
    )
    assert said.stdout == b"xxx"


WRITE = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("files", {path!r})
files = module_from_spec(spec)
spec.loader.exec_module(files)
files.write_whole(sys.argv[1], b"x" * int(sys.argv[2]))
""".format(path=sys.modules["latentsmooth.files"].__file__)
"""Without the package, whose import takes seconds."""


def assert_untouched(path: Path) -> None:
    assert path.read_bytes() == b"before"
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_device_is_an_error_that_names_it() -> None:
    with pytest.raises(OSError, match="No space left on device: '/dev/full'") as caught:
        write_whole("/dev/full", b"x")
    assert caught.value.errno == errno.ENOSPC


def test_a_full_disk_leaves_what_was_there(tiny_disk: Path) -> None:
    path = tiny_disk / "file"
    write_whole(path, b"before")
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        write_whole(path, b"x" * 200_000)
    assert_untouched(path)
    write_whole(path, b"x" * 1000)


@POSIX
def test_a_limit_on_file_sizes_leaves_what_was_there(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "file"
    path.write_bytes(b"before")
    ran = subprocess.run(
        [sys.executable, "-c", WRITE, str(path), "200000"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert f"OSError: [Errno {errno.EFBIG}] File too large: '{path}'" in ran.stderr
    assert_untouched(path)


@POSIX
def test_a_folder_that_may_not_be_written_to_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    tmp_path.chmod(0o555)
    with unprivileged(), pytest.raises(PermissionError, match=f"Permission denied: '{path}'"):
        write_whole(path, b"after")
    tmp_path.chmod(0o755)
    assert_untouched(path)
    with pytest.raises(NotADirectoryError):
        write_whole(path / "below", b"")
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path, b"")


@pytest.mark.parametrize("failing", ["fsync", "write"])
def test_whatever_stops_it_the_draft_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, failing, interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"after")
    assert_untouched(path)


@POSIX
def test_a_kill_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    """Ten writers killed at odd moments; the file is always one of the two."""
    path = tmp_path / "file"
    contents = {b"a" * 1_000_000, b"b" * 2_000_000}
    path.write_bytes(min(contents))
    loop = WRITE.replace(
        'files.write_whole(sys.argv[1], b"x" * int(sys.argv[2]))',
        "while True: [files.write_whole(sys.argv[1], c * n) for c, n in "
        '((b"a", 1_000_000), (b"b", 2_000_000))]',
    )
    drafts = 0
    for number in range(10):
        writer = subprocess.Popen([sys.executable, "-c", loop, str(path)])
        time.sleep(0.1 + 0.013 * number)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert path.read_bytes() in contents
    drafts = len(list(tmp_path.iterdir())) - 1
    for draft in tmp_path.glob(f".*{DRAFT_SUFFIX}"):
        os.utime(draft, (0, 0))
    write_whole(path, b"last")
    assert [each.name for each in tmp_path.iterdir()] == ["file"], f"{drafts} drafts were left"


@pytest.mark.parametrize("name", [".file.my.draft", ".file.0123456.draft", ".file.0123456g.draft"])
def test_a_user_s_own_file_is_not_swept_away(tmp_path: Path, name: str) -> None:
    theirs, left = tmp_path / name, tmp_path / ".file.01234567.draft"
    for each in (theirs, left):
        each.write_bytes(b"old")
        os.utime(each, (0, 0))
    write_whole(tmp_path / "file", b"new")
    assert theirs.exists()
    assert not left.exists()


def test_long_names_and_young_drafts(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    young = tmp_path / f".{'n' * 40}.00000000{DRAFT_SUFFIX}"
    young.write_bytes(b"another process's")
    write_whole(path, b"x")
    assert young.exists()
    assert len(list(tmp_path.iterdir())) == 2


def test_folders_are_replaced(tmp_path: Path) -> None:
    target = tmp_path / "target"
    for content in ("one", "two"):
        draft = tmp_path / "draft"
        make_folder(draft)
        write_whole(draft / "file", content)
        replace_folder(draft, target)
        assert (target / "file").read_text() == content
        assert [each.name for each in tmp_path.iterdir()] == ["target"]


def test_folders_that_cannot_be_synced_are_let_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(number: int) -> None:
        def fsync(_: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fsync)

    refuse(errno.EINVAL)
    sync_folder(tmp_path)
    refuse(errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        sync_folder(tmp_path)


@POSIX
def test_only_one_process_holds_a_file(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    other = (
        "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX);"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", other, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError), hold(path):
            pass
        process.kill()
        process.wait()
        with hold(path), pytest.raises(BlockingIOError), hold(path):
            pass
