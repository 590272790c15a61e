from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from latentsmooth.errors import DataError
from latentsmooth.images.rows import FileRows, file_digest


def test_digest_of_one_file_is_its_sha256_and_of_two_their_concatenation(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    assert file_digest([first]) == hashlib.sha256(b"one").hexdigest()
    assert file_digest([first, second]) == hashlib.sha256(b"onetwo").hexdigest()
    with pytest.raises(DataError, match=r"cannot read .*nothing: No such file"):
        file_digest([tmp_path / "nothing"])


def test_fingerprint_of_files_sees_names_and_bytes_but_not_the_place(tmp_path: Path) -> None:
    def fingerprint(folder: str, name: str, content: bytes) -> str:
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        labels = np.zeros(1, dtype=np.int64)
        return FileRows([path], labels, root=path.parent).fingerprint()

    base = fingerprint("here", "a.png", b"x")
    assert fingerprint("there", "a.png", b"x") == base
    assert len({base, fingerprint("here", "b.png", b"x"), fingerprint("here", "a.png", b"y")}) == 3
