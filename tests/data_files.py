"""Where the tests find data that is too large for the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parent.parent
_VARIABLE = "LATENTSMOOTH_TEST_DATA"


def shared_data(relative: str) -> Path:
    """A file or folder under LATENTSMOOTH_TEST_DATA, by default ``../shared/data``.

    Where it is absent the calling test is skipped, or fails when the variable CI is set.
    """
    folder = Path(os.environ.get(_VARIABLE) or _ROOT.parent / "shared" / "data")
    path = folder / relative
    if path.exists():
        return path
    reason = f"needs {relative}, absent from {folder}; set {_VARIABLE} to the folder that has it"
    if os.environ.get("CI"):
        pytest.fail(f"{reason} (CI is set, so it must be there)", pytrace=False)
    pytest.skip(reason)
