"""What a file is, told by its first bytes and not by its name."""

from __future__ import annotations

import contextlib
import os
import re

__all__ = ["LFS_CAUSE", "image_fault", "is_lfs_pointer", "kind_of_content"]

HEAD = 64
"""Bytes that decide."""
LFS_CAUSE = (
    "a Git LFS pointer, which stands for a file that was not fetched; `git lfs pull` fetches it"
)
_POINTER = b"version https://git-lfs.github.com/spec/"
_IMAGES = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|II\*\0|MM\0\*|II\+\0|MM\0\+"
    rb"|P[1-6][\s#]|BM............[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    re.DOTALL,
)
_NOT_READ = ", a format that is not read"
_OTHERS = (
    (
        re.compile(rb"....ftyp(hei|hev|mif|msf)", re.DOTALL),
        f"a HEIC image{_NOT_READ}",
    ),
    (re.compile(rb"....ftypavi", re.DOTALL), f"an AVIF image{_NOT_READ}"),
    (
        re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
        f"a JPEG 2000 image{_NOT_READ}",
    ),
    (re.compile(rb"8BPS"), f"a Photoshop image{_NOT_READ}"),
    (re.compile(rb"%PDF"), "a PDF file"),
    (re.compile(rb"PK\x03\x04"), "a zip archive"),
    (re.compile(rb"\s*<(!doctype html|html)", re.IGNORECASE), "a web page"),
    (re.compile(rb"\s*<(\?xml|svg)", re.IGNORECASE), "an XML file"),
)


def kind_of_content(head: bytes) -> str | None:
    """``None`` for an image of a format that is read, else what the bytes are instead.

    >>> kind_of_content(b"GIF89a")
    >>> kind_of_content(b"<!DOCTYPE html>"), kind_of_content(b"some notes")
    ('a web page', 'no image')
    """
    if _IMAGES.match(head):
        return None
    if not head:
        return "an empty file"
    if is_lfs_pointer(head):
        return LFS_CAUSE
    return next((what for form, what in _OTHERS if form.match(head)), "no image")


def is_lfs_pointer(head: bytes) -> bool:
    """Whether a file is the text that Git LFS leaves in place of a large file."""
    return head.startswith(_POINTER)


def image_fault(path: str) -> str | None:
    """Why a file cannot be read as an image, ``None`` where its beginning is one.

    Pipes and devices are not waited for.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return "a dead link" if os.path.islink(path) else "missing"  # noqa: PTH114 - any name
    except (OSError, ValueError) as error:
        return f"unreadable ({getattr(error, 'strerror', None) or error})"
    try:
        return kind_of_content(os.read(descriptor, HEAD))
    except OSError as error:
        return f"unreadable ({error.strerror})"
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)
