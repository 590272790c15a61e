"""The artifact's ``model.safetensors``, refused before tensors are made of what does not fit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Literal, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from latentsmooth.errors import ConfigurationError, CorruptArtifact
from latentsmooth.models.strict_json import strict_json

__all__ = ["HeadDtype", "in_stored_dtypes", "read_bounded", "read_weights"]

HeadDtype = Literal["float32", "bfloat16"]
"""What the head's matrices and kernels may be stored in."""
_PREFIX = 8
_ENTRY_BYTES = 256
"""Header bytes a tensor takes beside its name, generously."""


def in_stored_dtypes(tensors: Mapping[str, Tensor], head_dtype: HeadDtype) -> dict[str, Tensor]:
    """A classifier's tensors in the types they are stored in.

    Only the head's float32 matrices and kernels take ``head_dtype``. The encoder stays as it was
    verified; biases and what normalisation keeps are few, and rounding them costs the most.

    Args:
        tensors: by name, as encoder and head hold them.
        head_dtype: of the head's tensors of two dimensions or more.

    Raises:
        ConfigurationError: another type, or a number that is too large for it.

    Example:
        >>> held = {"encoder.w": torch.ones(2, 2), "head.w": torch.ones(2, 2)}
        >>> [tensor.dtype for tensor in in_stored_dtypes(held, "bfloat16").values()]
        [torch.float32, torch.bfloat16]
    """
    if head_dtype not in get_args(HeadDtype):
        raise ConfigurationError(
            f"wanted head_dtype as one of {', '.join(get_args(HeadDtype))}, got {head_dtype!r}"
        )
    stored = {
        name: tensor.to(_stored(name, tensor, head_dtype)) for name, tensor in tensors.items()
    }
    for name, tensor in stored.items():
        if tensor.dtype != tensors[name].dtype and not bool(tensor.isfinite().all()):
            raise ConfigurationError(f"{name} holds numbers too large for {head_dtype}")
    return stored


def _stored(name: str, tensor: Tensor, head_dtype: str) -> torch.dtype:
    narrowed = name.startswith("head.") and tensor.ndim >= 2 and tensor.dtype == torch.float32
    return torch.bfloat16 if narrowed and head_dtype == "bfloat16" else tensor.dtype


def read_bounded(path: Path, limit: int) -> bytes:
    """Bytes of a regular file, refused where they are more than ``limit``.

    Raises:
        CorruptArtifact: naming the file and what was wanted.
    """
    try:
        if path.exists() and not path.is_file():
            raise CorruptArtifact(f"{path} is not a file")
        with path.open("rb") as file:
            # Asked for a number of bytes, Python would first allocate that many.
            content = file.read() if os.fstat(file.fileno()).st_size <= limit else None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CorruptArtifact(f"cannot read {path}: {reason}") from error
    if content is None:
        raise CorruptArtifact(f"{path} is longer than the {limit:,} bytes it may take")
    return content


def read_weights(
    path: Path,
    *,
    expected: Mapping[str, Tensor],
    digest: str,
    head_dtype: HeadDtype = "float32",
) -> dict[str, Tensor]:
    """Tensors of a safetensors file, once they are known to be the expected ones.

    The file is read once, so that what was hashed is what is loaded, and no further than the
    expected tensors reach.

    Args:
        path: the file.
        expected: tensors of the names, shapes and types wanted; their values do not matter.
        digest: SHA-256 that the file must have.
        head_dtype: what the head's matrices and kernels are stored in.

    Returns:
        The tensors in the types of the expected ones, whatever they were stored in.

    Raises:
        CorruptArtifact: naming the file, what it holds and what was wanted.
    """
    dtypes = {name: _stored(name, tensor, head_dtype) for name, tensor in expected.items()}
    held = sum(tensor.numel() * dtypes[name].itemsize for name, tensor in expected.items())
    header = 4096 + sum(len(name.encode()) + _ENTRY_BYTES for name in expected)
    content = read_bounded(path, _PREFIX + header + held)
    actual = sha256(content).hexdigest()
    if actual != digest:
        raise CorruptArtifact(f"{path} has SHA-256 {actual}, its config states {digest}")
    _check_names(_stated_names(content, path), set(expected), path)
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CorruptArtifact(f"{path} is not a safetensors file: {_short(error)}") from error
    _check_names(set(tensors), set(expected), path)
    for name, tensor in tensors.items():
        _check(name, tensor, expected[name].shape, dtypes[name], path)
    return {name: tensor.to(expected[name].dtype) for name, tensor in tensors.items()}


def _stated_names(content: bytes, path: Path) -> set[str]:
    """Names in the header, of which the library keeps the last where one stands twice."""
    length = int.from_bytes(content[:_PREFIX], "little")
    try:
        if len(content) < _PREFIX or length > len(content) - _PREFIX:
            raise ValueError("its header is longer than the file")  # noqa: TRY301
        header = strict_json(content[_PREFIX : _PREFIX + length].decode())
        if not isinstance(header, dict):
            raise ValueError("its header is no JSON object")  # noqa: TRY301, TRY004
    except ValueError as error:
        raise CorruptArtifact(f"{path} is not a safetensors file: {_short(error)}") from error
    return set(header) - {"__metadata__"}


def _check_names(found: set[str], expected: set[str], path: Path) -> None:
    missing, surplus = sorted(expected - found), sorted(found - expected)
    if missing or surplus:
        raise CorruptArtifact(
            f"{path} does not fit its build: missing {missing[:3] or 'none'}, "
            f"unexpected {[name[:80] for name in surplus[:3]] or 'none'}"
        )


def _check(name: str, tensor: Tensor, shape: torch.Size, dtype: torch.dtype, path: Path) -> None:
    if tensor.shape != shape or tensor.dtype != dtype:
        raise CorruptArtifact(
            f"{path}: expected {name} of shape {tuple(shape)} in {dtype}, "
            f"got {tuple(tensor.shape)} in {tensor.dtype}"
        )
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        raise CorruptArtifact(f"{path}: {name} holds values that are not finite")


def _short(error: Exception) -> str:
    text = str(error)
    return text if len(text) <= 200 else text[:197] + "..."
